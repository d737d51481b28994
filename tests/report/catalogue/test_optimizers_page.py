"""Our order of optimizers beside a published one: numbers of both, agreement counted over all orders."""

import itertools
from pathlib import Path

import pytest
from scipy import stats

from coregpt.report.catalogue.facts import Catalogued, Published
from coregpt.report.catalogue.names import INDEX
from coregpt.report.catalogue.optimizers_page import REPORT, optimizers_page
from coregpt.report.catalogue.pages import pages
from coregpt.report.catalogue.published import agreement, published_gain, published_in, settings
from coregpt.report.drawing.page import html, markdown
from tests.report.catalogue.test_atlas import effect
from tests.report.catalogue.test_catalogue import technique

ROOT = Path(__file__).parent.parent.parent.parent


def row(optimizer: str, name: str, size: str, loss: float) -> Published:
    return Published(optimizer=optimizer, technique=name, parameters=size, chinchilla=1, loss=loss)


def found() -> Catalogued:
    gains = {"quick": 0.3, "quicker": 0.2, "slow": -0.1, "unknown": 0.05}
    return Catalogued(
        techniques=tuple(technique(name, effects=(effect(0.01, gain, REPORT),)) for name, gain in gains.items()),
        clashes={},
        published=(
            row("AdamW", "adamw", "9M", 3.5),
            row("Quick", "quick", "9M", 3.4),
            row("Quicker", "quicker", "9M", 3.3),
            row("Slow", "slow", "9M", 3.6),
            row("Elsewhere", "", "9M", 3.1),
            row("AdamW", "adamw", "30M", 3.0),
            row("Quick", "quick", "30M", 2.9),
        ),
    )


@pytest.mark.parametrize(
    "theirs",
    [[1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 3.0, 5.0, 4.0], [5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 2.0, 3.0, 2.0]],
)
def test_agreement_is_spearmans_and_its_p_counts_every_order(theirs: list[float]) -> None:
    ours = [0.1, 0.2, 0.3, 0.4, 0.5]
    rho, p = agreement(ours, theirs)
    assert rho == pytest.approx(stats.spearmanr(ours, theirs).statistic)
    orders = [stats.spearmanr(ours, order).statistic for order in itertools.permutations(theirs)]
    assert p == pytest.approx(sum(each >= rho - 1e-9 for each in orders) / 120)


@pytest.mark.parametrize("count", [2, 10])
def test_agreement_of_too_few_or_too_many_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="three to nine"):
        agreement([*map(float, range(count))], [*map(float, range(count))])


def test_gains_are_over_adamw_of_the_same_size_and_length() -> None:
    rows = found().published
    assert settings(rows) == [("9M", 1), ("30M", 1)]
    assert published_gain(rows, "Quick", ("9M", 1)) == pytest.approx(0.1)
    assert published_gain(rows, "Quick", ("30M", 1)) == pytest.approx(0.1)
    assert published_gain(rows, "Slow", ("30M", 1)) is None


def test_the_page_has_both_and_says_what_only_one_has() -> None:
    made = optimizers_page(found(), "No promise.")
    assert made is not None
    for page in (markdown(made), html(made)):
        for words in (
            "9M and 1 times 20 tokens a parameter: rank correlation 0.50 over 3 optimizers",
            "of all orders a share of 0.50",
            "Published and not here: Elsewhere.",
            "Here and not published there: unknown.",
        ):
            assert words in page
    lines = markdown(made).splitlines()
    (told,) = (line for line in lines if line.startswith("| Quick (quick) |"))
    assert "| +0.300 |" in told
    assert told.endswith("| +0.100 | +0.100 |")
    assert not any("Elsewhere (" in line for line in lines)


def test_without_anything_published_there_is_no_page() -> None:
    without = found().model_copy(update={"published": ()})
    assert optimizers_page(without, "No promise.") is None
    assert "optimizers.html" not in pages(without)
    assert "optimizers.html" in pages(found())
    assert 'href="optimizers.html"' in pages(found())[INDEX]


def test_the_committed_table_is_complete_and_names_techniques_that_exist(tmp_path: Path) -> None:
    rows = published_in(ROOT / "reports")
    assert len(rows) == 11 * 5
    assert {row.optimizer for row in rows if row.technique == "adamw"} == {"AdamW"}
    names = {path.stem for path in (ROOT / "plugins").glob("*/*.py")} | {"", "adamw"}
    assert {row.technique for row in rows} <= names
    assert published_gain(rows, "Muon", ("130M", 1)) == pytest.approx(0.0665, abs=1e-4)
    assert published_gain(rows, "Muon", ("130M", 8)) == pytest.approx(0.0218, abs=1e-4)
    assert published_in(tmp_path) == ()
