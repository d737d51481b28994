"""`coregpt` and `python -m coregpt.cli`."""

import contextlib
import os
import sys
from typing import NoReturn

from coregpt.cli import main


def run() -> NoReturn:
    """Ends at once: taking down everything that was imported would be a second of every study."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
