"""`coregpt plugins new`, `plugins api` and `try`: what an author calls, from the first file to a verdict."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.authoring import small_study
from coregpt.lab.authoring.reference import page
from coregpt.lab.laws import laws
from coregpt.lab.study.code.checkouts import Checkout

ROOT = Path(__file__).parent.parent
Run = Callable[..., tuple[int, str, str]]
TINY = {
    "model": {"vocab": 256, "dim": 16, "depth": 1, "heads": 1, "context": 16},
    "tokens": 1024,
    "batch_tokens": 64,
    "eval_tokens": 64,
    "evals": 1,
    "device": "cpu",
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(small_study, "BASE", TINY)
    return tmp_path


def test_new_says_what_it_wrote_and_what_to_call_next(run: Run, outside: Path) -> None:
    code, out, _ = run("plugins", "new", "head_gain", "--hook", "make_attend")
    assert code == 0
    assert {path.name for path in outside.iterdir()} == {"head_gain.py", "test_head_gain.py", "head_gain.yaml"}
    for command in (
        "coregpt try head_gain.py",
        "python -m pytest test_head_gain.py",
        "coregpt ablate head_gain.yaml",
        "coregpt plugins check head_gain.py",
    ):
        assert command in out.splitlines()
    for inside in ("README", "plugins pages", "tests.plugins.digests"):
        assert inside not in out
    code, _, err = run("plugins", "new", "head_gain", "--hook", "make_attend")
    assert code == 2
    assert "head_gain.py is there already; nothing was written" in err
    code, _, err = run("plugins", "new", "other", "--hook", "make_attent")
    assert code == 2
    assert "did you mean 'make_attend'?" in err


def test_new_inside_the_repository_names_what_else_must_have_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coregpt" / "contract").mkdir(parents=True)
    (tmp_path / "coregpt" / "contract" / "hookspecs.py").touch()
    (tmp_path / "plugins").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Checkout, "searched", property(lambda _: True))
    code, out, _ = run("plugins", "new", "head_gain", "--hook", "make_attend")
    assert code == 0
    lines = out.splitlines()
    assert "coregpt plugins check head_gain" in lines
    rest = lines[lines.index("coregpt plugins check head_gain") :]
    assert any("README.md" in line and "attention" in line for line in rest)
    assert rest.index("python -m tests.plugins.digests") < rest.index("coregpt plugins pages")


def test_try_tests_the_laws_compares_and_says_where_all_is(run: Run, outside: Path) -> None:
    run("plugins", "new", "head_gain", "--hook", "make_attend")
    code, out, _ = run("try", "head_gain.py", "--options", "{start: 0.5}")
    assert code == 0, out
    assert "ok    sees no future" in out
    assert "10 runs to train" in out
    assert "95% interval" in out or "90% interval" in out
    assert (outside / "tries" / "reports" / "head_gain" / "report.html").exists()
    assert "tries/head_gain.yaml" in out.splitlines()[-1]
    assert "tries/runs" in out.splitlines()[-1]
    assert "head_gain: {plugins: {head_gain: {start: 0.5}}}" in (outside / "tries" / "head_gain.yaml").read_text()
    # The plain model's runs serve the next try, whatever is tried.
    code, out, _ = run("try", "softcap")
    assert code == 0
    assert "5 runs to train" in out


def test_try_trains_nothing_with_a_broken_law(run: Run, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laws, "LAWS", laws.LAWS[:3])
    (outside / "bad.py").write_text(
        '"""No source."""\n\nfrom coregpt.api import Plugin\n\n\nclass Bad(Plugin):\n    pass\n'
    )
    code, out, _ = run("try", "bad.py")
    assert code == 1
    assert "FAIL  documented" in out
    assert out.rstrip().endswith("a law is broken, so nothing was trained")
    assert not (outside / "tries").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{cap: -1}", "plugins.softcap.cap: "),
        ("{cpa: 1}", "no such option; did you mean 'cap'?"),
        ("cap", "expected a mapping such as"),
        ("{cap: ", "--options: not YAML"),
    ],
)
def test_wrong_options_are_told_before_anything_runs(options: str, said: str, run: Run, outside: Path) -> None:
    code, out, err = run("try", "softcap", "--options", options)
    assert code == 2
    assert said in err
    assert not out
    assert not (outside / "tries").exists()


def test_api_prints_the_page(run: Run) -> None:
    code, out, _ = run("plugins", "api")
    assert (code, out) == (0, page())


def test_the_list_names_the_folders_searched(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert run("plugins", "list")[1].splitlines()[-1] == "searched: plugins"
    (tmp_path / "coregpt" / "contract").mkdir(parents=True)
    (tmp_path / "coregpt" / "contract" / "hookspecs.py").touch()
    (tmp_path / "plugins").mkdir()
    monkeypatch.chdir(tmp_path)
    searched, note = run("plugins", "list")[1].splitlines()[-2:]
    assert searched == f"searched: {ROOT / 'plugins'}"
    assert f"{tmp_path / 'plugins'} is not searched" in note


@pytest.mark.slow
def test_a_first_verdict_takes_less_than_90_seconds_on_two_cores(tmp_path: Path) -> None:
    """Processor time of the whole command, laws included, divided over two cores."""
    program = [sys.executable, "-m", "coregpt.cli"]
    subprocess.run([*program, "plugins", "new", "head_gain", "--hook", "make_attend"], cwd=tmp_path, check=True)
    before = _children_seconds()
    subprocess.run([*program, "try", "head_gain.py"], cwd=tmp_path, check=True)
    assert (_children_seconds() - before) / 2 < 60


def _children_seconds() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
