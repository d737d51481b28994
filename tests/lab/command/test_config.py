"""What a file says of a command: refused with its key where it is wrong, and hashed by all that can change a number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.command.config import CommandRun
from coregpt.lab.study.identity import run_id
from tests.lab.command.conftest import EDIT, PATTERN, commit, git

Make = Callable[..., CommandRun]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repo": "nowhere"}, "repo: there is no folder"),
        ({"repo": "."}, "repo: .* is no git repository"),
        ({"at": "candidat"}, "at: 'candidat' is no branch, tag or commit .* did you mean 'candidate'"),
        ({"run": None}, "run: is missing"),
        ({"run": "pyton3 train.py"}, "run: the command 'pyton3' is not found here"),
        ({"run": "./train.sh"}, "run: there is no program ./train.sh in the repository"),
        ({"run": "python train.py --lr={lrr}"}, "run: nothing fills in {lrr}; did you mean 'lr'"),
        (
            {"run": "python trian.py"},
            "run: there is no file trian.py in .* did you mean 'train.py'",
        ),
        (
            {"run": "python -u scripts/go.py x.py"},
            "run: there is no file scripts/go.py in the repository",
        ),
        (
            {"run": "LR=1 bash train.sh"},
            "run: there is no file train.sh in .* did you mean 'train.py'",
        ),
        ({"run": "python 'train.py"}, "run: cannot be read as a command"),
        ({"edit": {}}, "run: {seed} stands nowhere in run, edit or env"),
        ({"edit": {"trian.py": {"a": "{seed}"}}}, "edit: there is no file trian.py"),
        ({"edit": {"train.py": {"random.sed(": "{seed}"}}}, "edit: 'random.sed\\(' is not found in train.py"),
        ({"edit": {"train.py": {"loss": "{seed}"}}}, "edit: 'loss' is found \\d+ times in train.py"),
        ({"edit": {"train.py": {"": "{seed}"}}}, "edit: train.py: an empty text stands everywhere"),
        ({"metric": {"pattern": "step {step}: val {x}"}}, "metric.pattern: names step, x, and test.metric is val_loss"),
        ({"metric": {"pattern": "no braces"}}, "has no name in braces"),
        ({"metric": {"pattern": "{a b}"}}, "{a b} is no name"),
        ({"metric": {"pattern": PATTERN, "format": "nanogpt"}}, "two ways to read a line"),
        ({"metric": {"format": "nanoGPT"}}, "metric.format: should be 'nanogpt'"),
        ({"set": {"seed": 3}}, "'seed' is filled in by the study"),
        ({"set": {"l r": 3}}, "'l r' is no name of a placeholder"),
        ({"reads": ["data/none"]}, "reads.0: there is no file or folder"),
        ({"reads": ["../elsewhere"]}, "reads.0: '../elsewhere' leads out of the repository"),
        ({"env": ["NOT_SET_ANYWHERE"]}, "env: 'NOT_SET_ANYWHERE' is not set where this is called"),
        ({"time_limit": "soon"}, "time_limit: expected a time such as 90s, 20m or 2h, got 'soon'"),
        ({"tme_limit": "1m"}, "tme_limit: unknown key; did you mean 'time_limit'"),
    ],
)
def test_bad_input_is_told_with_its_key(problems: Callable[..., str], changes: dict[str, Any], told: str) -> None:
    import re

    found = problems(**changes)
    assert re.search(told.replace("{", r"\{").replace("}", r"\}"), found), found


@pytest.mark.parametrize(
    "run",
    [
        "python -m train",
        "python -c 'import train' none.py",
        "python {out}/made.py",
        "python part_{seed}.py",
        "python $SCRIPT none.py",
        "cd data && python none.py",
        "python {file}.py none.py",
        "python data/step.py",
    ],
)
def test_a_script_that_is_there_or_that_nobody_can_tell_is_not_refused(
    problems: Callable[..., str], nano: Path, run: str
) -> None:
    (nano / ".git" / "info" / "exclude").write_text("data\n")
    (nano / "data").mkdir()
    (nano / "data" / "step.py").write_text("pass\n")
    assert problems(run=run, set={"lr": 1e-3, "file": "train"}, reads=["data"]) == ""


def test_a_submodule_is_refused(problems: Callable[..., str], nano: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet")
    commit(inner, "Inner", a_py="pass")
    git(nano, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner")
    commit(nano, "With a submodule")
    assert "has submodules (inner)" in problems()
    commit(nano / "inner", "Moved", a_py="other")
    assert "not at their commits: inner" in problems()


def test_a_commit_tag_patch_and_worktree_are_versions(command: Make, nano: Path) -> None:
    first = git(nano, "rev-parse", "main")
    git(nano, "tag", "v1")
    assert {command(at=at).command.commit for at in ("main", "v1", first, first[:10], "HEAD")} == {first}
    text = (nano / "train.py").read_text()
    (nano / "train.py").write_text(text.replace("max_iters = 50", "max_iters = 30"))
    patch = nano.parent / "short.patch"
    patch.write_text(git(nano, "diff") + "\n")
    frozen, patched = command(at="worktree"), command(at="short.patch")
    assert frozen.command.tree == patched.command.tree != command(at="main").command.tree
    assert frozen.command.commit == patched.command.commit == first
    # What is frozen stays what it is, whatever becomes of the live files.
    (nano / "train.py").write_text("broken(")
    assert b"max_iters = 30" in frozen.version().patch


def test_a_patch_that_does_not_fit_is_refused(problems: Callable[..., str], nano: Path) -> None:
    (nano.parent / "bad.patch").write_text("--- a/none.py\n+++ b/none.py\n@@ -1 +1 @@\n-a\n+b\n")
    assert "at: its patch does not fit the commit" in problems(at="bad.patch")
    (nano.parent / "empty.patch").write_text("\n")
    assert "is empty" in problems(at="empty.patch")


def test_a_version_as_a_file_says_it_again_is_the_same(command: Make, nano: Path, tmp_path: Path) -> None:
    (nano / "more.py").write_text("x = 1\n")
    first = command(at="worktree")
    git(nano, "clean", "-fq")
    commit(nano, "HEAD moves on", other_py="pass")
    again = CommandRun.read(first.words()["command"], tmp_path / "elsewhere", "val_loss")
    assert isinstance(again, CommandRun)
    assert again.same_as(first)
    assert again.command.commit == first.command.commit


def identity(run: CommandRun) -> str:
    return run_id(run, run.code(), run.source().digest)


def test_identity_counts_what_can_change_a_number_and_nothing_else(
    command: Make, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nano / ".git" / "info" / "exclude").write_text("*.bin\n")
    (nano / "data.bin").write_text("1")
    first = identity(command())
    assert identity(command()) == identity(command(time_limit="2m")) == identity(command(steps=7)) == first
    assert identity(command().twice()) == first
    changed = [
        command(seed=1),
        command(at="candidate"),
        command(set={"lr": 2e-3}),
        command(env={"OMP_NUM_THREADS": "2"}),
        command(run="python -O train.py --device=cpu --learning_rate={lr}"),
        command(reads=["data.bin"]),
        command(metric={"pattern": PATTERN, "final": "lowest"}),
    ]
    (nano / "data.bin").write_text("2")
    changed.append(command(reads=["data.bin"]))
    monkeypatch.setenv("KIND", "a")
    changed.append(command(env=["KIND"]))
    monkeypatch.setenv("KIND", "b")
    changed.append(command(env=["KIND"]))
    assert len({first, *map(identity, changed)}) == 1 + len(changed)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    nano.rename(elsewhere / "nano")
    assert identity(command(repo="elsewhere/nano")) == first


def test_other_packages_are_another_run(command: Make) -> None:
    one = command()
    other = command()
    other._aside = other.aside.model_copy(update={"packages": {**one.aside.packages, "torch": "0.1"}})
    assert identity(one) != identity(other)
    assert not one.same_as(other)


def test_a_record_gives_the_run_back(command: Make) -> None:
    run = command(seed=4, at="candidate").twice()
    back = CommandRun.of_record({"config": run.model_dump(mode="json"), "aside": run.kept()})
    assert back == run
    assert back.aside == run.aside
    assert identity(back) == identity(run)


def test_an_edit_may_hold_braces_of_its_own(command: Make) -> None:
    run = command(edit={"train.py": {**EDIT["train.py"], "print(f'Overriding: ": "print(f'{max_iters} {seed} "}})
    assert run.command.edit["train.py"]["print(f'Overriding: "].endswith("{seed} ")
