"""`python -m coregpt.cli`."""

import sys

from coregpt.cli import main

sys.exit(main())
