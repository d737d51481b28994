"""A declared history of the noise through the whole report, by simulation."""

import numpy as np

from coregpt.report.facts.inputs import PriorFacts
from tests.report.studies import compare


def test_borrowed_noise_keeps_alpha_and_finds_more() -> None:
    """30 earlier variances of the same noise; 3 seeds that alone allow no test at all."""
    rng = np.random.default_rng(2)
    prior = PriorFacts(variance=2 * 0.01**2, df=58.0, files={"old.json": "0" * 64})

    def rate(effect: float, studies: int) -> float:
        called = 0
        for _ in range(studies):
            shared = rng.normal(3, 0.05, 3)
            values = {"gpt": shared + rng.normal(0, 0.01, 3), "arm": shared - effect + rng.normal(0, 0.01, 3)}
            found = compare({name: row.tolist() for name, row in values.items()}, prior=prior)
            called += found.verdict in ("better", "worse")
        return called / studies

    assert rate(0.0, 400) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert rate(0.03, 100) > 0.8
    alone = compare({"gpt": [3.0, 3.1, 3.05], "arm": [2.9, 3.02, 2.94]})
    assert alone.verdict == "inconclusive"
