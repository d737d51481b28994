"""Studies of arms that do nothing: verdicts through the whole report, and that a wrong one would be noticed."""

import numpy as np
import pytest

from coregpt.report.analysis import null_studies as module
from coregpt.report.analysis.null_studies import null_studies
from coregpt.stats.calibration.noise import Noise
from coregpt.stats.calibration.rows import kept


def test_verdicts_on_arms_that_do_nothing_are_rare_and_seeded() -> None:
    rows = list(null_studies(200, seed=0))
    assert all(kept(rows))
    assert rows == list(null_studies(200, seed=0))
    assert {row.noise for row in rows} == {"normal", "real residuals"}


def test_arms_that_differ_get_a_verdict() -> None:
    noise = Noise("normal", np.random.default_rng(0))
    facts = module.made_up(2, 5, paired=True)
    assert module._decides(facts, noise.study(1, 2, 5)[0] + np.array([[9.0], [0.0]]))


def test_a_report_that_says_better_too_often_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    decides = module._decides
    monkeypatch.setattr(module, "_decides", lambda facts, y: decides(facts, y + 3 * (y[:, :1] > y.mean())))
    rows = list(null_studies(200, seed=0))
    assert not all(kept(rows))
