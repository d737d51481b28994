import numpy as np
import pytest

from benchmarks.what_a_second_buys import Size, at_size, lines, ratio_interval


def test_the_interval_of_gain_over_sd_holds_what_it_should() -> None:
    """Of 400 sets of 6 paired differences whose true ratio is 2, 95% have it inside."""
    draws = np.random.default_rng(0).normal(2.0, 1.0, (400, 6))
    t = np.sqrt(6) * draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    inside = [low <= 2.0 <= high for low, high in (ratio_interval(float(each), 6) for each in t)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)  # three standard errors of 400


def test_worth_begins_at_zero_where_there_may_be_no_gain() -> None:
    size = Size("512x280", "ngpt", 6, 10.0, 0.1, 0.1, (0.06, 0.25), 1.0, (-0.1, 2.0))
    assert size.worth == (0.1, 0.0, 0.4)
    assert lines([size])[-1].endswith("| 0.10 (0.00 to 0.40) |")


def test_a_study_at_another_size_is_itself_but_for_what_was_asked() -> None:
    study = {
        "base": {"optim": {"lr": 0.1}},
        "arms": {"gpt": None, "ngpt": {"optim": {"weight_decay": 0}}},
        "tuned": {"from": "x.json"},
        "scales": {"laptop": {"tokens": 1, "batch_tokens": 1, "evals": 4}, "node": {}},
    }
    made = at_size(study, "512x280", {"ngpt": 0.2}, "laptop")
    assert made == {
        "base": {"optim": {"lr": 0.1}},
        "arms": {"gpt": None, "ngpt": {"optim": {"weight_decay": 0, "lr": 0.2}}},
        "scales": {"laptop": {"tokens": 143_360, "batch_tokens": 512, "evals": 4}},
    }
    assert "tuned" in study
