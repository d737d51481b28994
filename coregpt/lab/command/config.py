"""A command as a kind of run: what is declared of it, what it is hashed by, what a worker needs to execute it."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr, ValidationError, model_serializer

from coregpt.contract.config import Frozen
from coregpt.contract.errors import ConfigError, RunError
from coregpt.engine.accounting import Cost
from coregpt.engine.data import TokenSource, TokenStream, cache_dir
from coregpt.lab.atomic import read_json, write_bytes
from coregpt.lab.command import inputs, interpreter
from coregpt.lab.command.edits import edit
from coregpt.lab.command.file import OWN, CommandFile, MetricFile, filled, unknown
from coregpt.lab.command.git import GitError, Repository, Scratch, Version
from coregpt.lab.study.kind import UNCOUNTED, Foreign
from coregpt.lab.study.problems import Problem, explain
from coregpt.lab.study.registry import nearest

RULES = "command 1"
"""How a program is executed and its numbers are read; another number where that changes what a run comes to."""
TRIAL = {"seed": 0, "out": "OUT"}
"""What placeholders stand for while a file is checked."""


class Command(Frozen):
    """All of a program that can change its numbers."""

    repo: str
    """Its name; where it lies changes nothing."""
    run: str
    commit: str
    patch: str = ""
    """sha256 of what is laid over the commit."""
    tree: str
    """git's name of all files, patched and edited with the placeholders as they stand."""
    edit: dict[str, dict[str, str]] = Field(default_factory=dict)
    set: dict[str, int | float | str | bool] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """sha256 of what it reads beside its code, by path."""
    metric: MetricFile = MetricFile()
    reports: str = "val_loss"
    """What of its numbers decides."""
    env: dict[str, str] = Field(default_factory=dict)
    time_limit: float | None = None


class Aside(Frozen):
    """What a worker needs beside it, which changes no number."""

    place: str
    """Where the repository lies."""
    at: str
    """How the file called the version."""
    subject: str = ""
    patch: str = ""
    """In base64."""
    steps: int | None = None
    python: str = ""
    version: str = ""
    places: tuple[str, ...] = ()
    """Where packages are."""
    packages: dict[str, str] = Field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Inputs, below the repository."""
    repeat: bool = False
    """Whether it is made twice, to see whether equal seeds give equal numbers."""


class CommandRun(Foreign):
    """One run of a program that is not ours."""

    KEY: ClassVar[str] = "command"

    command: Command
    _aside: Aside = PrivateAttr()

    @classmethod
    def read(cls, said: Mapping[str, Any], beside: Path, metric: str) -> "Self | list[Problem]":
        """From an arm's settings; what is wrong with them, by key, where something is."""
        try:
            file = CommandFile.model_validate(said)
        except ValidationError as error:
            return explain(error, CommandFile)
        if file.metric.pattern is not None and metric not in file.metric.names:
            names = ", ".join(file.metric.names)
            return [
                (
                    ("metric", "pattern"),
                    f"names {names}, and test.metric is {metric}{nearest(metric, file.metric.names)}",
                )
            ]
        made = _Making(file, beside, metric)
        try:
            return cls._of(*made.make())
        except _WrongError as error:
            return [(error.key, error.text)]

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """As a run's config.json has it."""
        run = cls.model_validate(record["config"])
        run._aside = Aside.model_validate(record["aside"])
        return run

    @classmethod
    def restored(cls, settings: Mapping[str, Any], store: Path) -> Self:
        wanted = Command.model_validate(settings[cls.KEY])
        for file in sorted(store.glob("*/config.json")):
            record = read_json(file) or {}
            if cls.KEY in record.get("config", {}) and record["config"][cls.KEY].get("tree") == wanted.tree:
                found = cls.of_record(record)
                if found.command == wanted:
                    found._aside = found._aside.model_copy(update={"repeat": False})
                    return found
        raise ConfigError(f"no run in {store} knows where the repository {wanted.repo} of its program lies")

    @classmethod
    def _of(cls, command: Command, aside: Aside) -> Self:
        run = cls(command=command)
        run._aside = aside
        return run

    @model_serializer(mode="plain")
    def _plain(self) -> dict[str, Any]:
        own = self.command.model_dump(mode="json", exclude={"time_limit"})
        limit = self.command.time_limit
        return {
            "command": own | ({} if limit is None else {"time_limit": limit}),
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

    def twice(self) -> Self:
        again = self.model_copy()
        again._aside = self._aside.model_copy(update={"repeat": True})
        return again

    def settings(self) -> dict[str, Any]:
        return {"command": self.command.model_dump(mode="json")}

    def same_as(self, other: Foreign) -> bool:
        """The commit's name and message change nothing, and neither does how long it may take."""
        return isinstance(other, CommandRun) and self.essence() == other.essence() and self.code() == other.code()

    def essence(self) -> dict[str, Any]:
        return {self.KEY: self.command.model_dump(mode="json", exclude={"commit", "patch", "time_limit"})}

    def label(self) -> str:
        return self.command.commit[:10] + (f"+{self.command.patch[:6]}" if self.command.patch else "")

    def unlike(self, first: Foreign) -> list[Problem]:
        mine, theirs = self.command, first.command if isinstance(first, CommandRun) else self.command
        found: list[Problem] = []
        if mine.metric != theirs.metric:
            found.append((("metric",), "differs from that of the first arm; arms must be judged by the same numbers"))
        if mine.edit != theirs.edit:
            found.append((("edit",), "differs from that of the first arm; an edit is made in every arm alike"))
        if mine.time_limit != theirs.time_limit:
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
            "time_limit": own.time_limit,
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
        return self.command.time_limit

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


class _WrongError(Exception):
    """Something in the file that only the machine can tell."""

    def __init__(self, key: tuple[str | int, ...], text: str):
        super().__init__(text)
        self.key, self.text = key, text


class _Making:
    """From the words of a file to a command on this machine."""

    def __init__(self, file: CommandFile, beside: Path, metric: str):
        self.file, self.beside, self.metric = file, beside, metric
        self.values = {**TRIAL, **file.set}

    def make(self) -> tuple[Command, Aside]:
        file = self.file
        if lacking := unknown(file.run.replace("${", "$("), self.values):
            raise _WrongError(
                ("run",), f"nothing fills in {{{lacking[0]}}}{nearest(lacking[0], self.values)}; add it to set"
            )
        env = self._environment()
        try:
            repository = Repository.at(_located(file.repo, self.beside))
        except ConfigError as error:
            raise _WrongError(("repo",), str(error)) from None
        try:
            version = repository.version(file.at, self.beside)
        except ConfigError as error:
            raise _WrongError(("at",), str(error)) from None
        except GitError as error:
            raise _WrongError(("at",), f"git says: {error}") from None
        read = dict(self._inputs(repository, version.commit))
        variables = interpreter.environment(env)
        tree, program = self._tree(repository, version, variables)
        python = interpreter.interpreter(program, variables)
        command = Command(
            repo=repository.path.name,
            run=file.run,
            commit=version.commit,
            patch=hashlib.sha256(version.patch).hexdigest() if version.patch else "",
            tree=tree,
            edit=file.edit,
            set=file.set,
            inputs={name: inputs.digest(repository.path, files) for name, files in read.items()},
            metric=file.metric,
            reports=self.metric,
            env=env,
            time_limit=file.time_limit,
        )
        aside = Aside(
            place=str(repository.path),
            at=file.at,
            subject=repository.subject(version.commit),
            patch=base64.b64encode(version.patch).decode(),
            steps=file.steps,
            python=python.path if python else "",
            version=python.version if python else "",
            places=python.places if python else (),
            packages=python.packages() if python else {},
            files=tuple(each for files in read.values() for each in files),
        )
        return command, aside

    def _environment(self) -> dict[str, str]:
        for name in self.file.passed:
            if name not in os.environ:
                raise _WrongError(("env",), f"'{name}' is not set where this is called; give it a value, NAME: value")
        said = {name: _plain(value) for name, value in self.file.environment.items()}
        return said | {name: os.environ[name] for name in self.file.passed}

    def _inputs(self, repository: Repository, commit: str) -> Iterator[tuple[str, list[str]]]:
        for place, name in enumerate(self.file.reads):
            try:
                yield name, inputs.files_of(repository, commit, name)
            except (ConfigError, GitError) as error:
                raise _WrongError(("reads", place), str(error)) from None

    def _tree(self, repository: Repository, version: Version, variables: Mapping[str, str]) -> tuple[str, str]:
        """The files of a version as they are run, but for what placeholders come to; and the program that is called."""
        with tempfile.TemporaryDirectory(prefix="coregpt-look-") as folder:
            clone = Path(folder) / "clone"
            try:
                tree = Scratch(clone).tree(repository.path, version, lambda at: edit(at, self.file.edit, None))
            except (ConfigError, RunError, GitError) as error:
                key = "edit" if isinstance(error, ConfigError) and str(error).startswith("edit") else "at"
                raise _WrongError((key,), str(error).removeprefix("edit: ")) from None
            try:
                program = interpreter.found(filled(self.file.run, self.values), clone, variables)
            except ConfigError as error:
                raise _WrongError(("run",), str(error)) from None
        return tree, program


def kept_patch(patch: str) -> Path:
    """A patch (in base64) as a file of the cache, named by its content."""
    data = base64.b64decode(patch)
    file = cache_dir() / "command" / "patches" / f"{hashlib.sha256(data).hexdigest()[:16]}.patch"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, data)
    return file


def _located(said: str, beside: Path) -> Path:
    """Beside the study's file, or where the command is called."""
    folder = Path(said).expanduser()
    places = [(beside / folder).resolve(), folder.resolve()]
    return next((place for place in places if place.is_dir()), places[0])


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    told = [f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}" for name in names[:4]]
    return ", ".join(told) or "its interpreter is gone"


def placeholders(run: CommandRun, out: Path) -> dict[str, Any]:
    """What they come to in one run."""
    return {**{name: _plain(value) for name, value in run.command.set.items()}, "seed": run.seed, "out": str(out)}


__all__ = ["OWN", "Aside", "Command", "CommandRun", "placeholders"]
