"""A study's YAML file, read and checked: every mistake at once, each with its line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.combinations import problems as combined
from coregpt.lab.planning.arms import Arms, Layer, Layers, check
from coregpt.lab.study.declaration import Arm, Criterion, Keep, Study, StudyFile
from coregpt.lab.study.identity import WATCHING
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.layers import Merged
from coregpt.lab.study.place import located, placed
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.registry import Catalogue, nearest
from coregpt.lab.study.text_unit import BITS, METRICS
from coregpt.lab.study.written import as_written, refusal
from coregpt.lab.study.yamlfile import Document, Key

MANY_GPUS = 8
"""From this many visible GPUs on, a scale called node-... is the default."""
MANY_SEEDS = 1000
RUNS = Path("runs")
"""Where runs lie unless a command says otherwise."""
SCALED = ("seeds", "test", "gpus_per_run", "keep")
"""What a scale may set beside run settings."""


def load(
    path: Path, scale: str | None = None, gpus: int = 0, store: Path = RUNS, over: Mapping[str, Any] | None = None
) -> Study:
    """Read and check a study file. Every scale is checked, one is chosen: `scale`, or a default.

    The default is the scale listed first; with 8 or more `gpus`, the first one called node-...
    Runs that others are given as inputs are looked for in `store`. Keys of `over` stand in place of the file's.
    Raises ConfigError with one line per problem, each with file, line and key.
    """
    first, *others = load_family(path, scale, gpus, store, over)
    if others:
        raise ConfigError(f"{path}: sizes: this command takes one size, and the study has {1 + len(others)}")
    return first


def load_family(
    path: Path, scale: str | None = None, gpus: int = 0, store: Path = RUNS, over: Mapping[str, Any] | None = None
) -> list[Study]:
    """As `load`, for a file that may declare several studies, in its order."""
    document, file = as_written(path, over)
    return _Loader(document, file, path, store).studies(scale, gpus)


class _Loader:
    """Collects problems while a document becomes a study."""

    def __init__(self, document: Document, file: StudyFile, path: Path, store: Path):
        self.document, self.file, self.path, self.store = document, file, path, store
        self.problems: list[Problem] = []

    def studies(self, scale: str | None, gpus: int) -> list[Study]:
        self.catalogue = self.load_plugin_files()
        self.own = self.declared_arms()
        inert = self.said_inert()
        self.arms = Arms(self.file, self.catalogue, self.made_arms, inert, self.path.parent, self.wrong)
        chosen = self.choose(scale, gpus)
        members = {name: layer for design in DESIGNS for name, layer in design.members(self.file).items()}
        made = {
            name: [study for member in members or [""] if (study := self.at_scale(name, member, members)) is not None]
            for name in self.file.scales or [""]
        }
        for family in made.values():
            for design in DESIGNS:
                for key, text in design.alike(family):
                    self.wrong(key, text)
        self.stop_if_wrong()
        return made[chosen]

    def wrong(self, key: Key, message: str) -> None:
        if (key, message) not in self.problems:
            self.problems.append((key, message))

    def stop_if_wrong(self) -> None:
        if self.problems:
            raise refusal(self.document, self.problems)

    def declared_arms(self) -> dict[str, dict[str, Any]]:
        """What each arm lays over base and scale: its settings, or its techniques where a mode makes the arms."""
        file = self.file
        for design in DESIGNS:
            self.problems += design.file_problems(file)
        self.stop_if_wrong()
        made = [arms for design in DESIGNS if (arms := design.arms(file)) is not None]
        self.made_arms = bool(made)
        if not made:
            if len(file.arms or {}) < 2:
                self.wrong(("arms",), "at least two arms are needed: a baseline and something to compare with it")
            return {name: arm or {} for name, arm in (file.arms or {}).items()}
        options = {name: given or {} for name, given in (file.techniques or {}).items()}
        return {name: {technique: options[technique] for technique in chosen} for name, chosen in made[0].items()}

    def said_inert(self) -> set[str]:
        """Arms with `inert: true`, which is no setting of a run."""
        found = set()
        for name, own in () if self.made_arms else self.own.items():
            if "inert" not in own:
                continue
            said = own["inert"]
            self.own[name] = {key: value for key, value in own.items() if key != "inert"}
            if not isinstance(said, bool):
                self.wrong(("arms", name, "inert"), f"expected true or false, got {said!r}")
            elif said:
                found.add(name)
        return found

    def load_plugin_files(self) -> Catalogue:
        files = []
        for i, name in enumerate(self.file.plugin_files):
            file = (self.path.parent / name).resolve()
            if file.is_file() and file.suffix == ".py" and file.stem.isidentifier():
                files.append(file)
            else:
                self.wrong(("plugin_files", i), f"expected a Python file, but {file} is none")
        return Catalogue(files, stores=[self.store])

    def choose(self, scale: str | None, gpus: int) -> str:
        names = list(self.file.scales)
        if scale is not None and scale not in names:
            there = nearest(scale, names) if names else "; the study declares no scales"
            raise ConfigError(f"{self.document.file}: unknown scale '{scale}'{there}")
        nodes = [name for name in names if name.startswith("node-")]
        default = nodes[0] if gpus >= MANY_GPUS and nodes else names[0] if names else ""
        return default if scale is None else scale

    def at_scale(self, scale: str, member: str, members: Mapping[str, Layer]) -> Study | None:
        settings = dict(self.file.scales.get(scale) or {})
        own = {name: settings.pop(name) for name in SCALED if name in settings}
        place: Key = ("scales", scale)
        before = len(self.problems)
        layers: Layers = ((place, settings), *([members[member]] if member else []))
        arms = [self.arms.read(name, own_arm, layers) for name, own_arm in self.own.items()]
        seeds = self.seeds(own.get("seeds", self.file.seeds), (*place, "seeds") if "seeds" in own else ("seeds",))
        criterion = self.criterion(own.get("test", {}), (*place, "test"), len(seeds))
        gpus = own.get("gpus_per_run", self.file.gpus_per_run)
        if gpus != "auto" and (not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 1):
            self.wrong((*place, "gpus_per_run"), f"expected a number of GPUs, or auto, got {gpus!r}")
        keep = own.get("keep", self.file.keep)
        if keep not in get_args(Keep):
            self.wrong((*place, "keep"), f"expected {' or '.join(get_args(Keep))}, got {keep!r}")
        made = [arm for arm in arms if arm is not None]
        self.compare(made, criterion)
        ours = any(foreign(arm.run) is None for arm in made)
        if criterion is not None and ours and criterion.metric not in METRICS:
            self.wrong(
                ("test", "metric"),
                f"should be {' or '.join(map(repr, METRICS))}, got {criterion.metric!r}",
            )
        if len(self.problems) > before or criterion is None or self.problems:
            return None
        name = self.path.stem if scale == next(iter(self.file.scales), "") else f"{self.path.stem}-{scale}"
        question = " ".join(self.file.question.split())
        declared = Study(
            f"{name}-{member}" if member else name,
            self.path,
            question,
            tuple(made),
            seeds,
            scale,
            criterion,
            self.catalogue,
            1 if gpus == "auto" else gpus,
            tuple(self.file.techniques or ()),
            hypothesis=" ".join(self.file.hypothesis.split()),
            direction=self.file.direction,
            equal=self.file.axis,
            designs={key: value for design in DESIGNS for key, value in design.declare(self.file).items()},
            family=name,
            member=member,
            splits=gpus == "auto",
            keep=keep,
            systems=tuple(self.file.systems),
        )
        for design in DESIGNS:
            declared = design.reshape(declared, self.file, self.wrong)
        return declared

    def seeds(self, given: Any, key: Key) -> tuple[int, ...]:
        if isinstance(given, int) and not isinstance(given, bool) and given <= MANY_SEEDS:
            given = list(range(given))
        if not isinstance(given, list) or any(not isinstance(s, int) or isinstance(s, bool) or s < 0 for s in given):
            self.wrong(
                key, f"expected how many seeds (up to {MANY_SEEDS}), or a list of seeds (0 or larger), got {given!r}"
            )
            return ()
        if any(seed >= 2**63 for seed in given):
            self.wrong(key, f"a seed is smaller than 2^63, got {max(given)}")
        if len(set(given)) < len(given):
            self.wrong(key, f"seeds must differ, got {given}: two runs with one seed are one observation")
        if len(given) < 2:
            self.wrong(key, "at least 2 seeds are needed: one run per arm cannot tell a technique from luck")
        return tuple(given)

    def criterion(self, own: Any, place: Key, seeds: int) -> Criterion | None:
        merged = Merged()
        if self.made_arms:
            merged.data["baseline"] = next(iter(self.own))
        merged.add(("test",), self.file.test)
        if isinstance(own, dict):
            merged.add(place, own)
        else:
            self.wrong(place, f"expected a mapping, got {own!r}")
        wrong = check(Criterion, merged.data)
        for design in DESIGNS:
            wrong += design.test_problems(self.file, merged.data, len(self.own), seeds)
        found = [*merged.problems, *((merged.origin(key, ("test",)), text) for key, text in wrong)]
        for key, text in combined(name for design in DESIGNS for name in design.names(self.file, merged.data)):
            found.append((merged.origin(key[1:], ("test",)) if key[0] == "test" else key, text))
        for where, text in found:
            self.wrong(where, text)
        if found:
            return None
        made = Criterion(**merged.data)
        if made.baseline not in self.own:
            self.wrong(("test", "baseline"), f"'{made.baseline}' is not an arm{nearest(made.baseline, self.own)}")
        return made

    def compare_foreign(self, arms: list[Arm]) -> None:
        """Arms of another kind: all of one, judged alike, and different."""
        kinds = {arm.name: foreign(arm.run) for arm in arms}
        first = next(kind for kind in kinds.values() if kind is not None)
        for place, (name, kind) in enumerate(kinds.items()):
            if kind is None or kind.KEY != first.KEY:
                self.wrong(("arms", name), f"is not a {first.KEY} as other arms are; all arms are of one kind")
                return
            for key, text in kind.unlike(first):
                self.wrong(("arms", name, kind.KEY, *key), text)
            same = (other for other, theirs in list(kinds.items())[:place] if theirs and theirs.same_as(kind))
            if (other := next(same, None)) is not None:
                self.wrong(
                    ("arms", name),
                    f"is the same as '{other}', byte for byte: all that can change a number is equal. To see how often "
                    "this study would call nothing something, use coregpt placebo",
                )

    def compare(self, arms: list[Arm], criterion: Criterion | None) -> None:
        """Arms must differ, and must be judged on the same tokens."""
        if any(foreign(arm.run) is not None for arm in arms):
            self.compare_foreign(arms)
            return
        places = {arm.name: located(arm.run.data.source, self.path.parent) for arm in arms}
        plain = {}
        for arm in arms:
            trained = {key: value for key, value in arm.settings().items() if key not in WATCHING}
            data = placed(arm.run.data, self.path.parent).model_dump(mode="json")
            plain[arm.name] = self.catalogue.canonical({**trained, "data": data})
        for i, arm in enumerate(arms):
            for other in arms[:i]:
                if plain[arm.name] == plain[other.name]:
                    self.wrong(
                        self.arms.place(arm.name),
                        f"is the same as '{other.name}': all that can change a number is equal",
                    )
            if places[arm.name] != places[arms[0].name] and criterion is not None and criterion.metric != BITS:
                text = (
                    f"data.source is {places[arm.name]}, but {places[arms[0].name]} in '{arms[0].name}': losses per "
                    "token of other tokens or of another text mean other things. Arms with data of their own are "
                    "compared in 'test: {metric: bits_per_byte}', on one text; with one tokenizer keep one source to "
                    "be judged by, and train on others under data.mixture"
                )
                self.wrong(("arms", arm.name), text)
            for setting, mine, first in (
                ("eval_tokens", arm.run.eval_tokens, arms[0].run.eval_tokens),
                ("held_out_curve", arm.run.held_out_curve, arms[0].run.held_out_curve),
            ):
                if mine != first:
                    text = (
                        f"{setting} is {mine}, but {first} in '{arms[0].name}'; arms must be judged on the same tokens"
                    )
                    self.wrong(("arms", arm.name), text)
