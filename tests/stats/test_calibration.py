"""A small calibration keeps its promises, results are seeded, and a broken promise is noticed."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from coregpt.stats.calibration import batch, calibrate, intervals, power, rates
from coregpt.stats.calibration.noise import Noise, residuals
from coregpt.stats.calibration.rows import Kind, Row, kept, of_flags
from coregpt.stats.looks.sequential import Looks, look

RANDOM = np.random.default_rng(0)


def row(kind: Kind, measured: float, studies: int = 20_000, nominal: float = 0.95) -> Row:
    return Row("x", kind, "normal", nominal, measured, 0.001, studies)


def test_every_promise_is_kept_in_a_small_calibration():
    rows = list(calibrate(600, seed=0))
    broken = [each.procedure for each, ok in zip(rows, kept(rows), strict=True) if not ok]
    assert not broken
    assert {each.noise for each in rows} == {"normal", "real residuals"}
    kinds = {"false positives", "power", "power at least", "coverage", "coverage at least", "no promise"}
    assert {each.kind for each in rows} == kinds


def test_the_same_seed_gives_the_same_rows():
    def some(seed: int) -> list[Row]:
        return list(rates.rows(Noise("normal", np.random.default_rng(seed)), 200))

    assert some(3) == some(3) != some(4)


def test_a_liberal_procedure_is_noticed(monkeypatch: pytest.MonkeyPatch):
    for module in (batch, intervals):
        monkeypatch.setattr(module, "dunnett_critical", lambda alpha, k, df: 2.0)
    noise = Noise("normal", np.random.default_rng(0))
    rows = [each for module in (rates, power, intervals) for each in module.rows(noise, 1000)]
    broken = [each for each, ok in zip(rows, kept(rows), strict=True) if not ok]
    assert {each.kind for each in broken} == {"false positives", "power", "coverage"}
    assert all("Dunnett" in each.procedure for each in broken)


def test_a_table_of_promises_that_are_just_kept_is_rarely_called_broken():
    lines, studies, rate = 100, 2000, 0.01
    fewest = next(h for h in range(20, 80) if not kept([row("false positives", h / studies, studies, rate)] * lines)[0])
    assert lines * stats.binom.sf(fewest - 1, studies, rate) <= 0.01
    hits = RANDOM.binomial(studies, rate, (10_000, lines))
    assert (hits.max(1) >= fewest).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 10_000)


@pytest.mark.parametrize(
    ("kind", "measured", "ok"),
    [
        ("false positives", 0.1, True),
        ("false positives", 0.952, True),
        ("false positives", 0.97, False),
        ("power", 0.921, True),
        ("power", 0.91, False),
        ("power", 0.979, True),
        ("coverage", 0.961, True),
        ("coverage", 0.969, False),
        ("coverage", 0.931, False),
        ("coverage at least", 0.99, True),
        ("coverage at least", 0.94, False),
    ],
)
def test_what_is_called_broken(kind: Kind, measured: float, ok: bool):
    assert kept([row(kind, measured)] * 100) == [ok] * 100


def test_a_line_without_a_promise_is_never_broken_and_makes_no_other_line_harder_to_break():
    free = of_flags("x", "no promise", "normal", 0.05, np.arange(100) < 67)
    assert (free.measured, free.error) == (0.67, pytest.approx(np.sqrt(0.67 * 0.33 / 100)))
    assert not free.binds
    assert kept([free]) == [True]
    fewest = next(h for h in range(1000) if not kept([row("false positives", h / 2000, 2000, 0.1)])[0])
    assert kept([row("false positives", fewest / 2000, 2000, 0.1), *[free] * 100])[0] is False


@pytest.mark.parametrize("gain", [None, 1.0])
def test_looks_of_many_studies_end_as_looks_at_one_study_do(gain: float | None):
    plan = Looks((4, 7, 10), 0.1, "pocock", gain, 0.2)
    d = RANDOM.normal(0.5, 1, (300, 10))
    found = batch.looks(d, plan)
    for i, values in enumerate(d):
        ended = next(each for n in plan.sizes if (each := look(values[:n], plan)).decision != "continue")
        assert found.pairs[i] == ended.n
        assert found.rejected[i] == (ended.decision == "reject")
        assert found.futile[i] == (ended.decision == "futile")
        assert found.sign[i] == (np.sign(ended.gain) if ended.decision == "reject" else 0)


def test_tests_of_many_studies_agree_with_scipy():
    y = RANDOM.normal(size=(4, 2, 6))

    def each() -> Iterator[tuple[float, float]]:
        for a, b in y:
            yield stats.ttest_rel(a, b).pvalue, stats.ttest_ind(a, b, equal_var=False).pvalue

    assert np.column_stack([batch.paired_p(y), batch.welch_p(y[:, 0], y[:, 1])]) == pytest.approx(np.array([*each()]))
    exact = [stats.permutation_test((a - b,), np.mean, permutation_type="samples").pvalue for a, b in y]
    assert batch.sign_flip_p(batch.difference(y)) == pytest.approx(exact)


def test_a_row_has_the_error_of_its_promise():
    found = of_flags("x", "false positives", "normal", 0.01, np.zeros(100, dtype=bool))
    assert (found.measured, found.error, found.studies) == (0, pytest.approx(np.sqrt(0.01 * 0.99 / 100)), 100)


def test_residuals_are_those_of_real_runs_centred_by_arm():
    values = residuals()
    assert len(values) > 100
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert 0.0009 < np.std(values) < 0.0013
