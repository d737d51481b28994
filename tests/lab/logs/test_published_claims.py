"""Published numbers about public records, each recomputed from the logs and named with what came out."""

from pathlib import Path

import pytest

from tests.lab.logs.published import Claim, check, claims, document

PARTIAL = "cannot be checked: measured {} (38 of the 40 runs are here)"
FIVE = "cannot be checked: measured {} (it is not said which 5 of the 10 runs; this is all of them)"
NOT_PLAINLY = {
    "2024-12-04_ValueEmbed: one-sample t-test vs 3.28 (less), p = 0.0003": PARTIAL.format("0.000426277"),
    "2024-12-04_ValueEmbed: mean, mean loss = 3.2777": PARTIAL.format("3.27761"),
    "2024-12-04_ValueEmbed: std (ddof=1), sd loss = 0.0040": PARTIAL.format("0.00406244"),
    "2025-09-29_PolarExpress: std (ddof=1), sd loss = 0.0007057": "holds (cut off, not rounded)",
    "2025-09-29_PolarExpress: mean, mean time s = 149.6434": "does not hold: measured 148.589",
    "2025-09-29_PolarExpress: std (ddof=1), sd time s = 0.0732": "does not hold: measured 0.035809",
    "2025-10-27_FixMuonLR: mean, mean time s = 142.9522": FIVE.format("139.652"),
    "2025-10-27_FixMuonLR: std (ddof=1), sd time s = 0.2375": FIVE.format("0.182465"),
    "20260505_aurora: z-test sigma=0.0013: z, z = 0.886": (
        "does not hold: measured 3.97332 (without the factor √n it would be 0.888)"
    ),
    "20260505_aurora: z-test sigma=0.0013: p, p = 0.188": "does not hold: measured 3.54387e-05",
    "20260515_contranormuown: rule LHS (3.28-mean)*sqrt(n), LHS = 0.00496": "does not hold: measured 0.0049842",
}


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: f"{claim.name}: {NOT_PLAINLY.get(claim.name, 'holds')}")
def test_a_published_number(claim: Claim) -> None:
    assert check(claim).text == NOT_PLAINLY.get(claim.name, "holds")


def test_every_claim_is_checked_and_every_exception_is_one() -> None:
    names = [claim.name for claim in claims()]
    assert len(names) == len(set(names)) == 49
    assert set(NOT_PLAINLY) <= set(names)


def test_the_table_in_the_documentation_is_this_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "published_claims.md"
    assert page.read_text(encoding="utf-8") == document()
