"""Where techniques are looked for, and whether that is where one stands: an editable install may be of another
checkout of CoreGPT than the working directory.
"""

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import coregpt

GROUP = "coregpt.plugins"
"""The entry points that name packages of techniques."""


@dataclass(frozen=True)
class Checkout:
    """A folder that holds the source of CoreGPT and its techniques."""

    root: Path

    @classmethod
    def around(cls, folder: Path) -> "Checkout | None":
        """The checkout that `folder` lies in."""
        folder = folder.resolve()
        for root in (folder, *folder.parents):
            if (root / "coregpt" / "contract" / "hookspecs.py").is_file() and (root / "plugins").is_dir():
                return cls(root)
        return None

    @property
    def techniques(self) -> Path:
        return self.root / "plugins"

    @property
    def searched(self) -> bool:
        """Whether this checkout's techniques are those that can be named."""
        return self.techniques in searched()


def searched() -> list[Path]:
    """The folders in which techniques are looked for, links resolved."""
    values = sorted({entry.value for entry in importlib.metadata.entry_points(group=GROUP)})
    return [folder for value in values for folder in folders(value)]


def folders(package: str) -> list[Path]:
    """Where a package lies; nowhere if it cannot be found."""
    try:
        spec = importlib.util.find_spec(package)
    except (Exception, SystemExit):  # what surrounds a subpackage is imported, and may fail in any way
        return []
    return [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []


def where_searched() -> str:
    """`searched: plugins`, the folders as one would write them here, or `searched: nowhere`."""
    here = Path.cwd().resolve()
    shown = [str(path.relative_to(here)) if path.is_relative_to(here) else str(path) for path in searched()]
    return f"searched: {', '.join(shown) or 'nowhere'}"


def elsewhere(folder: Path | None = None) -> str:
    """What to tell whoever stands in a checkout that is not the one used; empty for all others."""
    checkout = Checkout.around(folder or Path.cwd())
    if checkout is None:
        return ""
    program = Path(coregpt.__file__).resolve().parent
    other = [f"this program is {program}"] if program != checkout.root / "coregpt" else []
    other += [f"{checkout.techniques} is not searched"] if not checkout.searched else []
    if not other:
        return ""
    return f"{' and '.join(other)}; `python -m pip install -e {checkout.root}` makes this checkout the one that is used"
