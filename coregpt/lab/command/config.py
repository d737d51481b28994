"""A command as a kind of run: what is declared of it, what it is hashed by, how it stands against another one."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, PrivateAttr, ValidationError, model_serializer

from coregpt.contract.errors import ConfigError, RunError
from coregpt.engine.accounting import Cost
from coregpt.engine.data import TokenSource, TokenStream, cache_dir
from coregpt.lab.atomic import read_json, write_bytes
from coregpt.lab.command import inputs, interpreter
from coregpt.lab.command.file import CommandFile, as_text
from coregpt.lab.command.git import Version
from coregpt.lab.command.making import Making, WrongError
from coregpt.lab.command.resolved import Aside, Command
from coregpt.lab.study.kind import UNCOUNTED, Foreign
from coregpt.lab.study.problems import Problem, explain
from coregpt.lab.study.registry import nearest

RULES = "command 1"
"""How a program is executed and its numbers are read; another number where that changes what a run comes to."""


class CommandRun(Foreign):
    """One run of a program that is not ours."""

    KEY: ClassVar[str] = "command"
    FILE: ClassVar[type[BaseModel]] = CommandFile

    command: Command
    _aside: Aside = PrivateAttr()

    @classmethod
    def read(cls, said: Mapping[str, Any], beside: Path, metric: str) -> "Self | list[Problem]":
        """From an arm's settings; what is wrong with them, by key, where something is."""
        try:
            file = CommandFile.model_validate(said)
        except ValidationError as error:
            return [(key or ("run",), text) for key, text in explain(error, CommandFile)]
        if file.metric.pattern is not None and metric not in file.metric.names:
            names = ", ".join(file.metric.names)
            return [
                (
                    ("metric", "pattern"),
                    f"names {names}, and test.metric is {metric}{nearest(metric, file.metric.names)}",
                )
            ]
        made = Making(file, beside, metric)
        try:
            return cls._of(*made.make())
        except WrongError as error:
            return [(error.key, error.text)]

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """As a run's config.json has it."""
        run = cls.model_validate(record["config"])
        run._aside = Aside.model_validate(record["aside"])
        return run

    @classmethod
    def restored(cls, settings: Mapping[str, Any], store: Path) -> Self:
        said = settings[cls.KEY]
        wanted = Command.model_validate({key: value for key, value in said.items() if key != "time_limit"})
        for file in sorted(store.glob("*/config.json")):
            record = read_json(file) or {}
            if cls.KEY in record.get("config", {}) and record["config"][cls.KEY].get("tree") == wanted.tree:
                found = cls.of_record(record)
                if found.command == wanted:
                    own = {"repeat": False, "time_limit": said.get("time_limit")}
                    found._aside = found._aside.model_copy(update=own)
                    return found
        raise ConfigError(f"no run in {store} knows where the repository {wanted.repo} of its program lies")

    @classmethod
    def _of(cls, command: Command, aside: Aside) -> Self:
        run = cls(command=command)
        run._aside = aside
        return run

    @model_serializer(mode="plain")
    def _plain(self) -> dict[str, Any]:
        return {
            "command": self.command.model_dump(mode="json"),
            "device": self.device,
            "seed": self.seed,
            "data_seed": self.data_seed,
        }

    # -- what the house asks ------------------------------------------------------------------------------------

    @property
    def aside(self) -> Aside:
        return self._aside

    def kept(self) -> dict[str, Any]:
        return self._aside.model_dump(mode="json")

    def seeded(self, seed: int, device: Literal["cpu", "cuda"]) -> Self:
        """One run of it."""
        return self.model_copy(update={"seed": seed, "data_seed": seed, "device": device})

    def twice(self) -> Self:
        again = self.model_copy()
        again._aside = self._aside.model_copy(update={"repeat": True})
        return again

    def settings(self) -> dict[str, Any]:
        limit = self._aside.time_limit
        return {"command": self.command.model_dump(mode="json") | ({} if limit is None else {"time_limit": limit})}

    def same_as(self, other: Foreign) -> bool:
        """Under which commit the same files lie changes nothing."""
        return isinstance(other, CommandRun) and self.essence() == other.essence() and self.code() == other.code()

    def essence(self) -> dict[str, Any]:
        return {self.KEY: self.command.model_dump(mode="json", exclude={"commit", "patch"})}

    def label(self) -> str:
        return self.command.commit[:10] + (f"+{self.command.patch[:6]}" if self.command.patch else "")

    def unlike(self, first: Foreign) -> list[Problem]:
        mine, theirs = self.command, first.command if isinstance(first, CommandRun) else self.command
        found: list[Problem] = []
        if mine.metric != theirs.metric:
            found.append((("metric",), "differs from that of the first arm; arms must be judged by the same numbers"))
        if mine.edit != theirs.edit:
            found.append((("edit",), "differs from that of the first arm; an edit is made in every arm alike"))
        if isinstance(first, CommandRun) and self._aside.time_limit != first.aside.time_limit:
            found.append((("time_limit",), "differs from that of the first arm; arms must have the same time"))
        return found

    def shown(self) -> dict[str, Any]:
        own, aside = self.command, self._aside
        patch = f" with patch {own.patch[:10]}" if own.patch else ""
        said = {
            "repo": own.repo,
            "version": f"{own.commit[:10]}{patch} ({aside.at})",
            "run": own.run,
            **{f"set.{name}": value for name, value in own.set.items()},
            **{f"env.{name}": value for name, value in own.env.items()},
            **{f"reads.{name}": digest[:12] for name, digest in own.inputs.items()},
            "python": aside.version or "unknown",
            "packages": interpreter.digest_of(aside.packages)[:12],
        }
        return {f"command.{key}": value for key, value in said.items()}

    def words(self) -> dict[str, Any]:
        own, aside = self.command, self._aside
        said = {
            "repo": aside.place,
            "run": own.run,
            "at": own.commit + (f" + {kept_patch(aside.patch)}" if own.patch else ""),
            "edit": own.edit,
            "set": own.set,
            "reads": list(own.inputs),
            "metric": own.metric.model_dump(exclude_none=True),
            "env": own.env,
            "time_limit": aside.time_limit,
            "steps": aside.steps,
        }
        return {"command": {key: value for key, value in said.items() if value not in (None, {}, [])}}

    def cost(self) -> Cost:
        steps = self._aside.steps or UNCOUNTED
        return Cost(parameters=0, parameters_by_role={}, flops_per_token=1.0, steps=steps, tokens=steps)

    def derived(self) -> dict[str, str]:
        return {}

    def engine(self) -> str:
        return RULES

    def code(self) -> dict[str, str]:
        own = self._aside
        return {"python": own.version or "unknown", "packages": interpreter.digest_of(own.packages)}

    def source(self) -> TokenSource:
        nothing = TokenStream([])
        said = "\n".join(f"{name} {digest}" for name, digest in sorted(self.command.inputs.items()))
        digest = hashlib.sha256(said.encode()).hexdigest()
        name = ", ".join(self.command.inputs) or "read by the program"
        return TokenSource(name, "token", 1, nothing, nothing, nothing, None, digest)

    def longest(self) -> float | None:
        return self._aside.time_limit

    def place(self) -> str:
        own = self._aside
        python = f", Python {own.version} at {own.python}, {len(own.packages)} packages" if own.python else ""
        return f"Program: {own.place}, {self.command.commit[:10]}{python}"

    def environment(self) -> dict[str, str]:
        own = self._aside
        return {"python": own.version, "interpreter": own.python, "packages": interpreter.digest_of(own.packages)[:12]}

    def version(self) -> Version:
        """Its code."""
        return Version(self.command.commit, base64.b64decode(self._aside.patch))

    def refuse_moved(self) -> None:
        own = self._aside
        now = interpreter.Interpreter(own.python, own.version, own.places).packages()
        if own.python and (not Path(own.python).exists() or now != own.packages):
            changed = _changed(own.packages, now)
            raise RunError(f"the Python of this run is not what it was planned with ({changed}); call coregpt again")
        root = Path(own.place)
        if not root.is_dir():
            raise RunError(f"the repository {root} is not there any more")
        for name, digest in self.command.inputs.items():
            files = [each for each in own.files if each == name or each.startswith(f"{name.rstrip('/')}/")]
            try:
                same = inputs.digest(root, files) == digest
            except OSError as error:
                raise RunError(f"the input {root / name} cannot be read: {error.strerror}") from None
            if not same:
                raise RunError(f"the input {root / name} has changed since this run was planned; call coregpt again")

    def refuse_again(self, run: Path) -> None:
        for file in sorted(run.parent.glob("*/result.json")):
            repetition = (read_json(file) or {}).get("repetition") if (file.parent / "config.json").exists() else None
            record = read_json(file.parent / "config.json") or {} if repetition else {}
            theirs = record.get("config", {}).get(self.KEY, {}).get("repo")
            if repetition and not repetition["same"] and theirs == self.command.repo:
                raise ConfigError(
                    f"run {run.name} has a result, and this program gives other numbers with an equal seed (run "
                    f"{file.parent.name} was made twice). Another result would make the run count no longer"
                )

    def execute(self, run: Path, stop: Callable[[], bool]) -> dict[str, Any]:
        from coregpt.lab.command.running import execute

        return execute(self, run, stop)


def kept_patch(patch: str) -> Path:
    """A patch (in base64) as a file of the cache, named by its content."""
    data = base64.b64decode(patch)
    file = cache_dir() / "command" / "patches" / f"{hashlib.sha256(data).hexdigest()[:16]}.patch"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, data)
    return file


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    told = [f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}" for name in names[:4]]
    return ", ".join(told) or "its interpreter is gone"


def placeholders(run: CommandRun, out: Path) -> dict[str, Any]:
    """What they come to in one run."""
    return {**{name: as_text(value) for name, value in run.command.set.items()}, "seed": run.seed, "out": str(out)}
