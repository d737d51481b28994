"""Laws against winning by anything but the model, which techniques from elsewhere are put before until they may train.

Once for each version of a technique's code and its options, in a process of its own: whatever a technique leaves behind
ends with it, and whatever it would be judged by was there before it. Those that are as they came with CoreGPT are put
before all laws by its tests.
"""

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.errors import ConfigError, CoreGPTError, in_one_line
from coregpt.engine.data import cache_dir
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.guard.bound import Bound
from coregpt.lab.laws.building import leaves_global_randomness_alone
from coregpt.lab.laws.fair import FAIR
from coregpt.lab.laws.law_case import LawCase, LawError
from coregpt.lab.laws.seeing import rows_do_not_meet, sees_no_future
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.identity import engine_digest, plugin_digests, source_digest
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.whereabouts import where_set

FORBIDDEN = (*FAIR, sees_no_future, rows_do_not_meet)
"""Whoever breaks one of these may win without being better."""
TOLD = (leaves_global_randomness_alone,)
"""Whoever breaks one of these is harder to compare with."""
MOST_S = 300.0
TORN = "its code ended the process that tested it"


@dataclass(frozen=True)
class Verdict:
    """What came of a technique before the laws."""

    broken: tuple[str, ...] = ()
    """A sentence for each law that it breaks and must not."""
    told: tuple[str, ...] = ()
    """A sentence for each other one."""
    untested: str = ""
    """Why laws could not be tested: the tiny model does not go with its options, say."""


def refuse_unlawful(studies: Iterable[Study], say: Callable[[str], None]) -> None:
    """Says which laws could not be tested, and what else must be known of techniques.

    Raises ConfigError, a line per law that a technique must not break.
    """
    broken, lines = dict[str, None](), dict[str, None]()
    for study in studies:
        for arm, name, options in _foreign(study):
            found = verdict(study.catalogue, name, options, say)
            place = where_set(study, arm, "plugins", name)
            for law in found.broken:
                broken[f"{place}: {name} {law}; no run of it could count (coregpt plugins check tells more)"] = None
            for law in found.told:
                lines[f"note: {name} {law}"] = None
            if found.untested:
                lines[f"note: {name} was not put before every law: {found.untested}"] = None
    if broken:
        raise ConfigError("\n".join(broken))
    for line in lines:
        say(line)


def _foreign(study: Study) -> Iterator[tuple[Arm, str, dict[str, Any]]]:
    for arm in study.arms:
        for name, options in arm.run.plugins.items():
            if not study.catalogue.shipped(name):
                yield arm, name, dict(options or {})


def verdict(catalogue: Catalogue, name: str, options: dict[str, Any], say: Callable[[str], None]) -> Verdict:
    """As remembered of this code, or found now."""
    file = cache_dir() / "laws" / f"{_key(catalogue, name, options)}.json"
    known = _read(file)
    if known is not None:
        return known
    say(f"{name} as it is here did not come with CoreGPT: the laws are asked, once for this code and these options")
    found = _found(catalogue, name, options)
    if found.untested != TORN:
        with contextlib.suppress(OSError, CoreGPTError):  # a cache that can only be read: it is tested again next time
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, asdict(found))
    return found


def _key(catalogue: Catalogue, name: str, options: dict[str, Any]) -> str:
    """Digest of all that a verdict hangs on."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("*.py"), *(here.parent / "guard").glob("*.py")])
    laws = [source_digest(path.read_text("utf-8")) for path in sources]
    code = [*plugin_digests(catalogue, [name]).values(), engine_digest(), torch.__version__]
    said = json.dumps([name, options, code, laws], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _found(catalogue: Catalogue, name: str, options: dict[str, Any]) -> Verdict:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "verdict.json"
        files = [str(path.resolve()) for path in catalogue.files.values()]
        asked = {"name": name, "options": options, "files": files, "out": str(out)}
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, json.dumps(asked)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(MOST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return Verdict(untested=f"it took more than {MOST_S:.0f} s")
        return _read(out) or Verdict(untested=TORN)


def _read(path: Path) -> Verdict | None:
    try:
        found = read_json(path)
        return None if found is None else Verdict(tuple(found["broken"]), tuple(found["told"]), str(found["untested"]))
    except (CoreGPTError, KeyError, TypeError):  # damaged: it is tested again
        return None


# -- the process that tests --------------------------------------------------------------------------------------


def judged(case: LawCase) -> Verdict:
    """Put a technique that nobody has imported yet before the cheap laws."""
    torch.set_num_threads(1)
    case.bound = Bound.now()
    broken: dict[Any, str] = {}
    untested = ""
    for law in (*FORBIDDEN, *TOLD):
        try:
            law(case)
        except LawError as error:
            broken[law] = f"breaks a law ({law.__name__.replace('_', ' ')}): {error}"
        except (Exception, SystemExit) as error:  # a technique may fail in any way; so will its run, and say so
            untested = untested or (told(error) or in_one_line(error))
    must_not, may = (tuple(broken[law] for law in laws if law in broken) for laws in (FORBIDDEN, TOLD))
    return Verdict(must_not, may, untested)


def main(asked: dict[str, Any]) -> None:
    catalogue = Catalogue(map(Path, asked["files"]))
    found = judged(LawCase(catalogue, asked["name"], asked["options"]))
    write_json(Path(asked["out"]), asdict(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
