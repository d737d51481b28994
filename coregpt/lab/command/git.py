"""A repository that is only read: commits, patches, clones that share its objects.

git is called without optional locks, so that not even its index is refreshed, and whatever has to be written to freeze
uncommitted changes (an index, objects) goes to a folder of our own.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coregpt.contract.errors import ConfigError, RunError

QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}
INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
"""What a hook of git sets, which would send these calls to another repository."""
SECONDS = 120.0
CLONED = ("--quiet", "--shared", "--no-checkout", "--template=")
"""Without the files that git puts into a repository for people."""


class GitError(Exception):
    """What git said."""


def git(where: Path, *words: str, more: Mapping[str, str] | None = None, given: bytes | None = None) -> bytes:
    """What a command of git prints. Raises GitError, and ConfigError where there is no git."""
    own = {name: value for name, value in os.environ.items() if name not in INHERITED}
    safe = ("-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
    try:
        done = subprocess.run(
            ["git", *safe, "-C", str(where), *words],
            env={**own, **QUIET, **(more or {})},
            input=given,
            stdin=None if given is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError("git is not installed here, and a command's code is taken from a git repository") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {words[0]} did not end within {SECONDS:.0f} s") from None
    if done.returncode:
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git {words[0]} failed")
    return done.stdout


@dataclass(frozen=True)
class Version:
    """Code at a commit, with a patch laid over it."""

    commit: str
    patch: bytes = b""


@dataclass(frozen=True)
class Repository:
    """A git repository somewhere on this machine."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Repository":
        """The repository that a folder is of. Raises ConfigError."""
        if not path.is_dir():
            raise ConfigError(f"there is no folder {path}")
        try:
            top = Path(os.fsdecode(git(path, "rev-parse", "--show-toplevel")).strip())
            git(top, "rev-parse", "--verify", "HEAD^{commit}")
        except GitError:
            raise ConfigError(
                f"{path} is no git repository with a commit in it; a command runs at a commit (git init, git commit)"
            ) from None
        return cls(top)

    def version(self, at: str, beside: Path) -> Version:
        """What `at` means now. Raises ConfigError."""
        self._refuse_submodules()
        head = self.commit("HEAD")
        base, plus, laid = at.partition(" + ")
        if plus:
            at, head = laid.strip(), self.commit(base.strip())
        if at == "worktree":
            return Version(head, self.changes(head))
        patch = next((place for place in (beside / at, self.path / at) if at and place.is_file()), None)
        if not plus and (commit := self.find(at)) is not None:
            return Version(commit)
        if patch is not None:
            data = patch.read_bytes()
            if not data.strip():
                raise ConfigError(f"the patch {patch} is empty")
            return Version(head, data)
        raise ConfigError(f"'{at}' is no branch, tag or commit of {self.path}, and no patch file{self._nearest(at)}")

    def find(self, name: str) -> str | None:
        """The commit that a name means; None if it means none."""
        if name.startswith("-"):
            return None
        try:
            return git(self.path, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
        except GitError:
            return None

    def commit(self, name: str) -> str:
        """Raises ConfigError for a name that means no commit."""
        found = self.find(name)
        if found is None:
            raise ConfigError(f"'{name}' is no commit of {self.path}")
        return found

    def changes(self, head: str) -> bytes:
        """Everything uncommitted as one patch, new files included that git does not ignore; b"" if there is nothing."""
        with tempfile.TemporaryDirectory(prefix="coregpt-freeze-") as folder:
            aside = Path(folder)
            objects = os.fsdecode(
                git(self.path, "rev-parse", "--path-format=absolute", "--git-path", "objects")
            ).strip()
            (aside / "objects").mkdir()
            own = {
                "GIT_INDEX_FILE": str(aside / "index"),
                "GIT_OBJECT_DIRECTORY": str(aside / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
            }
            git(self.path, "read-tree", head, more=own)
            git(self.path, "add", "--all", more=own)
            return git(self.path, "diff", "--cached", "--binary", "--no-color", "--no-ext-diff", head, more=own)

    def tracked(self, commit: str, under: str) -> set[str]:
        """Files of a commit below a path."""
        found = git(self.path, "ls-tree", "-r", "-z", "--name-only", commit, "--", under)
        return {os.fsdecode(name) for name in found.split(b"\0") if name}

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return git(self.path, "log", "-1", "--format=%s", commit).decode(errors="replace").strip()

    def _refuse_submodules(self) -> None:
        if not (self.path / ".gitmodules").exists():
            return
        try:
            said = git(self.path, "submodule", "status", "--recursive").decode(errors="replace")
        except GitError as error:
            raise ConfigError(f"{self.path}: its submodules cannot be read: {error}") from None
        if said.strip():
            names = ", ".join(line[1:].split()[1] for line in said.splitlines() if len(line[1:].split()) > 1)
            dirty = [line[1:].split()[1] for line in said.splitlines() if line[:1] in "+-U"]
            more = f"; not at their commits: {', '.join(dirty)}" if dirty else ""
            raise ConfigError(
                f"{self.path} has submodules ({names}){more}: a clone would be without what is in them, or with other "
                "changes than you see. Commit their files into one repository, or give them as `reads`"
            )

    def _nearest(self, name: str) -> str:
        from coregpt.lab.study.registry import nearest

        try:
            said = git(self.path, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags")
        except GitError:
            return ""
        return nearest(name, said.decode(errors="replace").split())


def clone(repository: Path, version: Version, folder: Path) -> None:
    """A fresh clone of a version in `folder`, sharing objects with the repository. Raises RunError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        git(folder.parent, "clone", *CLONED, str(repository), str(folder))
        git(folder, "checkout", "--quiet", "--detach", version.commit)
    except GitError as error:
        gone = "" if repository.is_dir() else f": {repository} is not there any more"
        raise RunError(f"{version.commit[:10]} cannot be cloned from {repository}{gone or f': {error}'}") from None
    if version.patch:
        lay(version.patch, folder)


def lay(patch: bytes, folder: Path) -> None:
    """Lay a patch over a clone. Raises ConfigError where it does not fit."""
    try:
        git(folder, "apply", "--whitespace=nowarn", "-", given=patch)
    except GitError as error:
        raise ConfigError(f"its patch does not fit the commit: {' '.join(str(error).split())}") from None


@dataclass(frozen=True)
class Scratch:
    """A clone in which versions of a repository become trees, so that they can be held against each other."""

    folder: Path

    def tree(self, repository: Path, version: Version, change: Callable[[Path], None]) -> str:
        """The id of all files of a version, patched and changed by `change`."""
        clone(repository, version, self.folder)
        change(self.folder)
        git(self.folder, "add", "--all", "--force")
        return git(self.folder, "write-tree").decode().strip()


def difference(folder: Path, one: str, other: str, *how: str) -> str:
    """What `git diff` says of two trees that `folder` has, `one` before."""
    return git(folder, "diff", "--no-color", "--no-ext-diff", "-M", *how, one, other).decode(errors="replace")
