"""The noise report: what its numbers mean, and pages that can be made twice."""

from typing import Any

import numpy as np
import pytest

from coregpt.report.designs.noise.analysis import NoiseReport, components, sharing
from coregpt.report.designs.noise.pages import detectable_table, noise_lines, render_noise

RNG = np.random.default_rng(5)
VALUES = 3.0 + np.add.outer(RNG.normal(size=3) * 0.01, RNG.normal(size=4) * 0.02) + RNG.normal(size=(3, 4)) * 0.005


def report(values: Any = VALUES, repeats: tuple[float, ...] | None = None, **changes: Any) -> NoiseReport:
    rows = tuple(tuple(map(float, row)) for row in values)
    again = (rows[0][0], rows[0][0]) if repeats is None else repeats
    parts = components(rows, again)
    facts: dict[str, Any] = {
        "name": "tiny-noise",
        "arm": "gpt & <co>",
        "question": "Does it help?",
        "metric": "val_loss",
        "unit": "nats per byte",
        "scale": "laptop",
        "device": "cpu",
        "data": "pydocs",
        "parameters": 123_456,
        "tokens": 100_000,
        "alpha": 0.05,
        "power": 0.9,
        "treatments": 1,
        "values": rows,
        "repeats": again,
        "components": parts,
        "sharing": sharing(parts, alpha=0.05, power=0.9, treatments=1),
        "run_ids": tuple(f"run{i}" for i in range(12)),
        "command": "coregpt noise tiny.yaml",
    }
    return NoiseReport(**{**facts, **changes})


def test_the_variance_of_a_run_is_the_sum_of_its_sources_and_shares_sum_to_one() -> None:
    found = report()
    assert found.sd**2 == pytest.approx(sum(c.variance for c in found.components))
    assert sum(c.share for c in found.components) == pytest.approx(1)


def test_a_difference_of_independent_runs_has_twice_the_variance_and_pairing_can_only_help() -> None:
    found = report()
    assert found.unpaired.sd == pytest.approx(2**0.5 * found.sd)
    assert found.best_paired.sd**2 == pytest.approx(2 * (found.components[2].variance + found.components[3].variance))
    sds = [s.sd for s in found.sharing]
    assert min(sds[:5]) == found.best_paired.sd
    assert sds[5] == 0


def test_what_pairing_can_buy_does_not_end_with_weights_and_order_each_for_itself() -> None:
    """Both arms of a seed have the same weights and the same order, so what the two do together is shared as well."""
    found = report()
    (line,) = [line for line in noise_lines(found) if "pairing by seed" in line]
    assert f"pairing by seed brings it to {found.best_paired.sd:.2g} where a technique keeps" in line
    assert "and lower where it keeps the luck of the two together too" in line


def test_three_seeds_of_one_pair_of_arms_are_no_test_and_more_seeds_find_less() -> None:
    row = report().unpaired.detectable
    assert row[0] is None
    assert row[1] > row[2] > row[3]  # type: ignore[operator]


def test_the_words_say_whether_bits_agree() -> None:
    assert any("the same number to the last bit (cpu)" in line for line in noise_lines(report()))
    first = float(VALUES[0, 0])
    moved = noise_lines(report(repeats=(first, first + 0.001)))
    assert any("differ by up to 0.001" in line for line in moved)
    assert not any("to the last bit" in line for line in moved)


def test_pages_are_deterministic_escaped_and_self_contained() -> None:
    files = render_noise(report())
    assert files == render_noise(report())
    assert set(files) == {"report.html", "report.md", "report.json"}
    assert "gpt &amp; &lt;co&gt;" in files["report.html"]
    assert "<co>" not in files["report.html"]
    assert "http" not in files["report.html"]
    for number in detectable_table(report()).rows[1]:
        assert number.split(":")[0] in files["report.md"]


def test_the_json_gives_the_report_back() -> None:
    made = report()
    assert NoiseReport.model_validate_json(render_noise(made)["report.json"]) == made


def test_runs_that_are_all_equal_have_no_noise_and_still_a_page() -> None:
    found = report(np.full((2, 2), 1.5))
    assert found.sd == 0
    assert all(c.share == 0 for c in found.components)
    assert render_noise(found)["report.md"]
