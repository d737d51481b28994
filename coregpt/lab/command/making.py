"""From the words of a file to a command on this machine; everything that can be wrong before a run is found here."""

import base64
import difflib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from coregpt.contract.errors import ConfigError, RunError
from coregpt.lab.command import inputs, interpreter
from coregpt.lab.command.edits import edit
from coregpt.lab.command.file import CommandFile, as_text, filled, unknown
from coregpt.lab.command.git import GitError, Repository, Scratch, Version
from coregpt.lab.command.resolved import Aside, Command
from coregpt.lab.study.registry import nearest

TRIAL = {"seed": 0, "out": "OUT"}
"""What placeholders stand for while a file is checked."""


class WrongError(Exception):
    """Something in the file that only the machine can tell."""

    def __init__(self, key: tuple[str | int, ...], text: str):
        super().__init__(text)
        self.key, self.text = key, text


class Making:
    """From the words of a file to a command on this machine."""

    def __init__(self, file: CommandFile, beside: Path, metric: str):
        self.file, self.beside, self.metric = file, beside, metric
        self.values = {**TRIAL, **file.set}

    def make(self) -> tuple[Command, Aside]:
        file = self.file
        if lacking := unknown(file.run.replace("${", "$("), self.values):
            raise WrongError(
                ("run",), f"nothing fills in {{{lacking[0]}}}{nearest(lacking[0], self.values)}; add it to set"
            )
        env = self._environment()
        try:
            repository = Repository.at(_located(file.repo, self.beside))
        except ConfigError as error:
            raise WrongError(("repo",), str(error)) from None
        try:
            version = repository.version(file.at, self.beside)
        except ConfigError as error:
            raise WrongError(("at",), str(error)) from None
        except GitError as error:
            raise WrongError(("at",), f"git says: {error}") from None
        read = dict(self._inputs(repository, version.commit))
        variables = interpreter.environment(env)
        beside = [each for files in read.values() for each in files]
        tree, program = self._tree(repository, version, variables, beside)
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
        )
        aside = Aside(
            place=str(repository.path),
            at=file.at,
            subject=repository.subject(version.commit),
            patch=base64.b64encode(version.patch).decode(),
            time_limit=file.time_limit,
            steps=file.steps,
            python=python.path if python else "",
            version=python.version if python else "",
            places=python.places if python else (),
            packages=python.packages() if python else {},
            files=tuple(beside),
        )
        return command, aside

    def _environment(self) -> dict[str, str]:
        for name in self.file.passed:
            if name not in os.environ:
                raise WrongError(("env",), f"'{name}' is not set where this is called; give it a value, NAME: value")
        said = {name: as_text(value) for name, value in self.file.environment.items()}
        return said | {name: os.environ[name] for name in self.file.passed}

    def _inputs(self, repository: Repository, commit: str) -> Iterator[tuple[str, list[str]]]:
        for place, name in enumerate(self.file.reads):
            try:
                yield name, inputs.files_of(repository, commit, name)
            except (ConfigError, GitError) as error:
                raise WrongError(("reads", place), str(error)) from None

    def _tree(
        self, repository: Repository, version: Version, variables: Mapping[str, str], beside: Sequence[str]
    ) -> tuple[str, str]:
        """The files of a version as they are run, but for what placeholders come to; and the program that is called.

        `beside` are the inputs that git does not have.
        """
        with tempfile.TemporaryDirectory(prefix="coregpt-look-") as folder:
            clone = Path(folder) / "clone"
            try:
                tree = Scratch(clone).tree(repository.path, version, lambda at: edit(at, self.file.edit, None))
            except (ConfigError, RunError, GitError) as error:
                key = "edit" if isinstance(error, ConfigError) and str(error).startswith("edit") else "at"
                raise WrongError((key,), str(error).removeprefix("edit: ")) from None
            run = filled(self.file.run, self.values)
            try:
                program = interpreter.found(run, clone, variables)
            except ConfigError as error:
                raise WrongError(("run",), str(error)) from None
            named = filled(self.file.run, self.file.set)  # what hangs on seed and place, a run has
            if script := interpreter.missing_script(named, clone, beside):
                there = [*repository.tracked(version.commit, "."), *beside]
                near = difflib.get_close_matches(script, there, n=1)
                told = f"; did you mean '{near[0]}'?" if near else ""
                raise WrongError(("run",), f"there is no file {script} in the repository at this version{told}")
        return tree, program


def _located(said: str, beside: Path) -> Path:
    """Beside the study's file, or where the command is called."""
    folder = Path(said).expanduser()
    places = [(beside / folder).resolve(), folder.resolve()]
    return next((place for place in places if place.is_dir()), places[0])
