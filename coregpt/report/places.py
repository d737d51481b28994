"""Where reports lie: one's own beside the runs they are of, published ones where everybody looks for them."""

from pathlib import Path

RUNS, NAME = Path("runs"), "reports"
PUBLISHED = Path("reports")
"""Nothing is written here unless somebody asks for it (`--reports reports`)."""


def own(runs: Path = RUNS) -> Path:
    """The folder of reports on runs in `runs`, which no repository keeps."""
    return runs / NAME
