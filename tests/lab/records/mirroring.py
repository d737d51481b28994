"""`python -m tests.lab.records.mirroring STUDY STORE PAGES` mirrors a study's runs, and prints the warning."""

import sys
from pathlib import Path

from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.mirror import mirror

if __name__ == "__main__":
    study, store, pages = map(Path, sys.argv[1:])
    print(mirror(plan(outline(load(study))), store, pages))  # noqa: T201
