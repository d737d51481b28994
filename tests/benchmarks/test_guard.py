"""The guard finds what was slowed down, keeps quiet otherwise, and computes Student's interval."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import guard
from benchmarks.guard import Tree, change, measure
from coregpt.lab.planning.load import load


def test_the_interval_is_students() -> None:
    random = np.random.default_rng(0)
    base = np.exp(random.normal(0, 0.5, 9))
    head = base * np.exp(random.normal(0.1, 0.05, 9))
    found = change(base.tolist(), head.tolist(), 0.998)
    low, high = stats.ttest_1samp(np.log(head / base), 0).confidence_interval(0.998)
    assert (found.low, found.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert found.ratio == pytest.approx(stats.gmean(head) / stats.gmean(base))


def test_equal_commits_are_rarely_called_slower() -> None:
    random = np.random.default_rng(1)
    called = [change(*np.exp(random.normal(0, 0.02, (2, 9))).tolist(), 0.998).slower for _ in range(8_000)]
    assert np.mean(called) == pytest.approx(0.001, abs=0.0012)  # one of two tails of 0.2%


def slowed(folder: Path, loops: int) -> Tree:
    """A tree whose `--help` burns processor time in proportion to `loops`."""
    package = folder / "coregpt" / "cli"
    package.mkdir(parents=True)
    (folder / "coregpt" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(f"for _ in range({loops}): pass")
    (folder / "plugins").mkdir()
    return guard.tree(folder, folder / "site")


def test_a_slower_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "STARTS", 1)
    base, head = slowed(tmp_path / "base", 1), slowed(tmp_path / "head", 6_000_000)
    assert measure(base, head, ["start-up"], pairs=3, steps=1)["start-up"].slower
    assert not measure(head, base, ["start-up"], pairs=3, steps=1)["start-up"].slower


def test_only_the_trees_own_package_is_imported(tmp_path: Path) -> None:
    found = slowed(tmp_path, 1).run("-c", "import coregpt, coregpt_plugins; print(coregpt.__file__)")[0]
    assert Path(found.strip()).resolve() == tmp_path / "coregpt" / "__init__.py"


def test_the_small_study_is_one(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(guard.SMALL)
    study = load(path)
    assert [(arm.run.precision, arm.run.compile, arm.run.device) for arm in study.arms] == [("fp32", False, "cpu")] * 2
    assert len(study.arms) * len(study.seeds) == 10


def test_an_unknown_commit_is_an_error_and_not_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        guard.main(["no-such-commit"])
    assert stopped.value.code == 2
    assert "no-such-commit" in capsys.readouterr().err
