"""The arms of a study's file: layers merged, settings checked, every option filled in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import CoreGPTError
from coregpt.lab.designs.design import Wrong
from coregpt.lab.kinds import kind_in
from coregpt.lab.study.declaration import OUR_METRIC, Arm, Machine, StudyFile
from coregpt.lab.study.identity import settled
from coregpt.lab.study.inputs import found_file, inputs_of
from coregpt.lab.study.kind import Foreign
from coregpt.lab.study.layers import Merged
from coregpt.lab.study.problems import Problem, coerced, explain, whole_shares
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.yamlfile import Key

Layer = tuple[Key, dict[str, Any]]
"""Where the file says something, and what it says."""
Layers = Sequence[Layer]
Note = Callable[[list[Problem]], None]


@dataclass(frozen=True)
class Arms:
    """What it takes to make one: the file, its techniques, and who is told of mistakes."""

    file: StudyFile
    catalogue: Catalogue
    made: bool
    """Whether a mode makes them of techniques."""
    inert: set[str]
    folder: Path
    wrong: Wrong

    def place(self, arm: str) -> Key:
        """Where the file says what an arm is."""
        return ("techniques",) if self.made else ("arms", arm)

    def read(self, name: str, own: dict[str, Any], layers: Layers) -> Arm | None:
        """`layers` lie over the base, in order: where each stands in the file, and what it says."""
        merged = Merged()
        merged.add(("base",), self.file.base)
        for place, settings in layers:
            merged.add(place, settings)
        if self.made:
            found = list(self.already_in(merged))
            merged.add(("techniques",), own, under=("plugins",))
        else:
            found = []
            merged.add(("arms", name), own)
        found += merged.problems

        def note(problems: list[Problem]) -> None:
            placed = (_blamed(key, text) for key, text in problems)
            found.extend((merged.origin(key, self.place(name)), text) for key, text in placed)

        if kind := kind_in(merged.data):
            made = self.of_kind(kind, name, merged, note)
            for where, text in found:
                self.wrong(where, text)
            return None if found else made

        machine_data = {key: merged.data[key] for key in Machine.model_fields if key in merged.data}
        run_data = settled({key: value for key, value in merged.data.items() if key not in Machine.model_fields})
        for key in ("seed", "data_seed"):
            if run_data.pop(key, None) is not None:
                note([((key,), "seeds are set by the study's 'seeds', the same for every arm")])
        note(check(Machine, machine_data))
        note(check(RunConfig, run_data))
        note(self.check_plugins(run_data.get("plugins")))
        inputs: dict[str, InputSource] = {}
        note(list(self.check_inputs(run_data.get("inputs"), inputs)))
        for where, text in found:
            self.wrong(where, text)
        if found:
            return None
        run = RunConfig(**{**run_data, "inputs": inputs})
        return self.complete(name, run, Machine(**machine_data))

    def of_kind(self, kind: type[Foreign], name: str, merged: Merged, note: Note) -> Arm | None:
        """An arm that is not our trainer's: of our settings it has the device alone."""
        for key in merged.data.keys() - {kind.KEY, "device"}:
            note([((key,), f"is a setting of our trainer, and '{name}' is a {kind.KEY}, which has none of them")])
        machine = {key: merged.data[key] for key in ("device",) if key in merged.data}
        note(check(Machine, machine))
        said = merged.data[kind.KEY]
        if not isinstance(said, dict):
            note([((kind.KEY,), f"expected a mapping, got {said!r}")])
            return None
        made = kind.read(said, self.folder, str(self.file.test.get("metric", OUR_METRIC)))
        if isinstance(made, list):
            note([((kind.KEY, *key), text) for key, text in made])
            return None
        return Arm(name, made, Machine(**machine), inert=name in self.inert)

    def already_in(self, merged: Merged) -> Iterator[Problem]:
        """A technique that base or scale enables would be in the arms that are to go without it."""
        there = merged.data.get("plugins")
        for name in self.file.techniques or ():
            if isinstance(there, dict) and name in there:
                text = f"'{name}' is one of the techniques; remove it here, or no arm would be without it"
                yield merged.origin(("plugins", name), ("base",)), text

    def check_plugins(self, plugins: Any) -> list[Problem]:
        found: list[Problem] = []
        for name, options in plugins.items() if isinstance(plugins, dict) else ():
            try:
                self.catalogue.cls(name)
                if not isinstance(options, dict):
                    continue
                taken = self.catalogue.instance(name, options)
                wrong = [*coerced(options, taken.model_dump()), *whole_shares(options, type(taken))]
            except ValidationError as error:
                wrong = list(self.option_problems(name, options, error))
            except CoreGPTError as error:
                wrong = [((), str(error))]
            found += [(("plugins", name, *key), text) for key, text in wrong]
        return found

    def option_problems(self, name: str, given: Mapping[str, Any], error: ValidationError) -> Iterator[Problem]:
        """What is wrong with options; where the file does not give one, the plugin's own default is wrong."""
        for key, text in explain(error, self.catalogue.cls(name)):
            theirs = text == "is missing" or not key or key[0] in given
            yield key, text if theirs else f"its default {text} ({self.catalogue.source(name)})"

    def check_inputs(self, given: Any, found: dict[str, InputSource]) -> Iterator[Problem]:
        """Finds every input on disk; what cannot be read as one is told with the other settings."""
        for name, source in given.items() if isinstance(given, dict) else ():
            key = ("inputs", name, "run" if isinstance(source, dict) and "run" in source else "file")
            try:
                found[name] = found_file(InputSource.model_validate(source), (self.folder, Path()))
                inputs_of(RunConfig(inputs={name: found[name]}), self.catalogue)
            except ValidationError:
                continue
            except CoreGPTError as error:
                yield key, str(error)

    def complete(self, name: str, run: RunConfig, machine: Machine) -> Arm | None:
        """Fills in every plugin option, so that a default that changes later is seen as a change."""
        try:
            made = self.catalogue.instances(run.plugins)
        except CoreGPTError as error:
            self.wrong(self.place(name), str(error))
            return None
        options = {plugin: settled(instance.model_dump(mode="json")) for plugin, instance in made}
        return Arm(name, run.model_copy(update={"plugins": options}), machine, inert=name in self.inert)


def _blamed(key: Key, text: str) -> Problem:
    """Where a problem of several settings is told: at the one that its text begins with, and so once for all arms."""
    first, _, rest = text.partition(" ")
    return ((first,), rest) if not key and first in RunConfig.model_fields else (key, text)


def check(model: type[BaseModel], data: dict[str, Any]) -> list[Problem]:
    try:
        taken = model(**data)
    except ValidationError as error:
        return explain(error, model)
    except TypeError:
        return [((), f"expected a mapping with keys {', '.join(model.model_fields)}")]
    return list(coerced(data, taken.model_dump()))
