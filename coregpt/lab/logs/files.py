"""Which files belong to which arm. Nothing is skipped in silence: what is left out is named."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.parse import LoggedRun, parse

SUFFIXES = (".txt", ".log", ".out", ".stdout", ".csv", ".jsonl")


@dataclass
class LoggedArm:
    """The runs of one arm in order of their file names, and what was noticed while reading them."""

    name: str
    runs: list[LoggedRun]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Selection:
    """One `--arm NAME=GLOB`."""

    name: str
    glob: str

    @classmethod
    def of(cls, text: str) -> "Selection":
        """Raises ConfigError for anything but NAME=GLOB."""
        name, equals, glob = text.partition("=")
        if not (name.strip() and equals and glob.strip()):
            raise ConfigError(f"--arm {text}: write NAME=GLOB, for example --arm muon='2026_muon/*.txt'")
        if Path(glob.strip()).is_absolute() or ".." in Path(glob).parts:
            raise ConfigError(
                f"--arm {text}: patterns are taken inside the folder of logs; write it without a leading '/' and '..'"
            )
        return cls(name.strip(), glob.strip())


def read_arms(folder: Path, selections: Sequence[Selection] = ()) -> list[LoggedArm]:
    """Every arm with its runs, byte copies left out. Raises ConfigError if there are not two arms with runs."""
    paths = _selected(folder, selections) if selections else _one_per_folder(folder)
    seen: dict[str, tuple[str, str]] = {}
    arms = [_read_arm(folder, name, files, seen) for name, files in paths.items()]
    empty = [arm for arm in arms if not arm.runs]
    if selections and empty:
        names = ", ".join(arm.name for arm in empty)
        raise ConfigError(f"{folder}: no run is left for {names}: {_why(empty)}. {_EXPECTED}")
    kept = [arm for arm in arms if arm.runs]
    if len(kept) < 2:
        found = f"only one arm has runs ({kept[0].name})" if kept else "no training log here"
        raise ConfigError(f"{folder}: {found}{': ' + _why(empty) if empty else ''}. {_EXPECTED}")
    for arm in empty:
        kept[0].warnings += arm.warnings
    kept[0].warnings += [] if selections else _beside(folder)
    return kept


def _beside(folder: Path) -> list[str]:
    """What lies in the folder and is read as no arm's log, with the reason."""
    found = []
    for child in _children(folder):
        if child.name.startswith("."):
            continue
        if child.is_file():
            found.append(f"{child.name} lies beside the folders of arms; not read")
        elif child.is_dir():
            others = sorted(path for path in child.rglob("*") if path.is_file() and path.suffix.lower() not in SUFFIXES)
            found += _no_logs(child.name, others, any(child.rglob("*")))
    return found


def _no_logs(name: str, others: Sequence[Path], anything: bool) -> list[str]:
    if not others:
        return [] if anything else [f"{name} is an empty folder; no arm"]
    endings = ", ".join(sorted({path.suffix or "no ending" for path in others}))
    files = f"1 file in {name} is" if len(others) == 1 else f"{len(others)} files in {name} are"
    return [f"{files} no log by name ({endings}); not read"]


_EXPECTED = (
    "Expected one folder per arm with logs in them (.txt, .log, .out, .stdout, .csv or .jsonl) whose lines read "
    "'step:250/3000 val_loss:4.1234 train_time:15036ms', 's:250 tel:6.5023', "
    "'step 250: train loss 4.2, val loss 4.1' or "
    '\'{"step": 250, "val_loss": 4.1}\'; '
    "or name the arms yourself: --arm NAME=GLOB --arm NAME=GLOB"
)


def _why(arms: Sequence[LoggedArm]) -> str:
    return "; ".join(dict.fromkeys(text for arm in arms for text in arm.warnings)) or "no file there"


def _one_per_folder(folder: Path) -> dict[str, list[Path]]:
    return {child.name: _logs(child) for child in _children(folder) if child.is_dir() and _logs(child)}


def _selected(folder: Path, selections: Sequence[Selection]) -> dict[str, list[Path]]:
    _children(folder)
    found: dict[str, list[Path]] = {}
    owner: dict[Path, str] = {}
    for selection in selections:
        try:
            files = sorted(path for path in folder.glob(selection.glob) if path.is_file())
        except ValueError as error:  # such as a**b
            raise ConfigError(f"--arm {selection.name}={selection.glob}: not a pattern ({error})") from None
        if not files:
            raise ConfigError(f"--arm {selection.name}={selection.glob}: no file in {folder} matches. {_EXPECTED}")
        for path in files:
            if owner.setdefault(path, selection.name) != selection.name:
                raise ConfigError(
                    f"{path} belongs to two arms, {owner[path]} and {selection.name}; narrow the patterns"
                )
        found[selection.name] = sorted({*found.get(selection.name, []), *files})
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        raise ConfigError(f"{folder}: no such folder. {_EXPECTED}") from None
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read as a folder ({error.strerror}). {_EXPECTED}") from None


def _logs(folder: Path) -> list[Path]:
    _children(folder)  # a folder that cannot be read is an error, not an empty one
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _read_arm(folder: Path, name: str, files: Sequence[Path], seen: dict[str, tuple[str, str]]) -> LoggedArm:
    arm = LoggedArm(name, [])
    for path in files:
        shown = path.relative_to(folder).as_posix()
        data = _bytes(path)
        digest = sha256(data).hexdigest()
        if digest in seen:
            other, first = seen[digest]
            arm.warnings.append(f"{shown} is a byte copy of {first}; {counted_once(other, name)}")
            continue
        seen[digest] = (name, shown)
        runs = parse(_text(path, data), shown)
        if not any(run.readings for run in runs):
            arm.warnings.append(f"{shown} holds no metric line; not counted")
        for run in runs:
            _refuse_unread(path, run)
            arm.warnings += run.notes
            if run.last_step > 0:
                arm.runs.append(run)
            else:
                arm.warnings.append(f"{run.name} ends at step 0; not counted")
    _presume_lengths(arm)
    return arm


def counted_once(of: str, copied_to: str) -> str:
    """What becomes of a run that is there twice, in two arms perhaps."""
    doubt = "" if of == copied_to else f", for {of}, and which arm it is of is not known"
    return f"counted once{doubt}"


def _refuse_unread(path: Path, run: LoggedRun) -> None:
    """Raises ConfigError for a loss that is no number: whoever drops it may drop a run that was lost."""
    if run.unread:
        more = f" (and {len(run.unread) - 1} more)" if len(run.unread) > 1 else ""
        raise ConfigError(
            f"{path}:{run.unread[0]} cannot be read as a number{more}: write nan if the run was lost there, or mend it"
        )


def _presume_lengths(arm: LoggedArm) -> None:
    """Where logs do not say how long a run was to be, the arm's longest run tells which others ended early."""
    longest = max((run.last_step for run in arm.runs), default=0)
    unsaid = [run for run in arm.runs if run.planned is None]
    if any(run.last_step < longest for run in unsaid):
        for run in unsaid:
            run.planned = longest
        arm.warnings.append(
            f"The logs of {arm.name} do not say how long the runs were planned; taken as {longest} steps, the longest."
        )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); make it readable or move it away") from None


def _text(path: Path, data: bytes) -> str:
    if b"\0" not in data:
        return data.decode("utf-8-sig", errors="replace")  # one odd letter in a comment makes no log unreadable
    raise ConfigError(f"{path}: not a text file; give the training log, or leave it out with --arm NAME=GLOB")
