"""Names that mean something to Markdown or HTML are shown as they are, on every kind of page."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.noise.pages import render_noise
from coregpt.report.designs.sizes.analysis import trends
from coregpt.report.designs.sizes.pages import render_trend
from coregpt.report.facts.inputs import Confound, ForkFacts, RuleFacts, TrunkFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import OtherRun
from coregpt.report.pages.render import render
from tests.report.designs.noise.test_analysis import report as noise_report
from tests.report.imported.test_facts import BASE, NEW, arm, imported
from tests.report.studies import report, run, study
from tests.report.verdicts.test_compare import base, shifted

NASTY = "a|b <i>*c*</i> `d` ```e\n# f"
SHOWN = "a|b <i>*c*</i> `d` ```e # f"
OTHER = "g|h <b>*i*</b>"


def plain() -> Report:
    other = OtherRun(run_id="x", arm=NASTY, seed=1, status="failed", value=None, reason=NASTY)
    return report(
        {NASTY: base(), OTHER: [None, *shifted(0.03)[1:]]},
        question=NASTY,
        name=NASTY,
        hypothesis=NASTY,
        command=NASTY,
        exploratory=NASTY,
        target=1.45,
        match="flops",
        declaration={"some": "thing"},
        other_runs=(other,),
        confounds=(Confound(setting=NASTY, values={NASTY: "1", OTHER: NASTY}),),
    )


def forked() -> Report:
    trunks = tuple(TrunkFacts(run_id=NASTY, seed=seed, state="s") for seed in range(6))
    facts = study(
        (NASTY, OTHER, NASTY + "2"), yardstick=NASTY + "2", fork=ForkFacts(step=4, tokens=4000, trunks=trunks)
    )
    columns = {NASTY: base(), OTHER: base(), NASTY + "2": shifted(-0.05)}
    return summarise(facts, [run(name, seed, y) for name, values in columns.items() for seed, y in enumerate(values)])


def looked() -> Report:
    return report({NASTY: base(), OTHER: shifted(0.03)}, rule=RuleFacts(sizes=(4, 6)), question=NASTY)


def trend() -> dict[str, str]:
    each = [plain(), plain()]
    for i, made in enumerate(each):
        arms = tuple(facts.model_copy(update={"parameters": 10 ** (6 + i)}) for facts in made.study.arms)
        each[i] = made.model_copy(update={"study": made.study.model_copy(update={"arms": arms, "name": f"{NASTY}{i}"})})
    return render_trend(trends(NASTY, (NASTY, OTHER), each))


def noise() -> dict[str, str]:
    names = dict.fromkeys(("name", "arm", "question", "metric", "unit", "device", "data", "command"), NASTY)
    return render_noise(noise_report(**names))


PAGES = {
    "report": lambda: render(plain()),
    "fork": lambda: render(forked()),
    "looks": lambda: render(looked()),
    "imported": lambda: render(imported(arm(NASTY, BASE), arm(OTHER, NEW))),
    "trend": trend,
    "noise": noise,
}


@pytest.mark.parametrize("kind", PAGES)
def test_markdown_shows_names_as_they_are(kind: str) -> None:
    page = PAGES[kind]()["report.md"]
    lines = list(outside_fences(page))
    assert sum("a" in line and "&lt;i>" in line for line in lines) > 1
    for line in lines:
        bare = re.sub(r"\\[\\`*|]", "", line)
        assert not re.search(r"</?[ib]>", bare), line
        assert not re.search(r"\*[ci]\*", bare), line
        assert "``" not in bare, line
        assert not line.startswith("# f"), line
    assert not any(line.startswith("# ") for line in lines[1:])


@pytest.mark.parametrize("kind", PAGES)
def test_rows_of_markdown_tables_have_as_many_cells_as_their_heads(kind: str) -> None:
    page = "\n".join(outside_fences(PAGES[kind]()["report.md"]))
    tables = re.findall(r"(?:^\|.*\n?)+", page, re.M)
    assert len(tables) > 1
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


@pytest.mark.parametrize("kind", PAGES)
def test_html_shows_names_as_they_are(kind: str) -> None:
    words = Words(PAGES[kind]()["report.html"])
    assert not {"i", "b"} & words.tags
    assert SHOWN in " ".join(words.said.split())


def outside_fences(page: str) -> Iterator[str]:
    """Lines that are not code; a fence is closed by one that is no shorter."""
    fence = ""
    for line in page.splitlines():
        ticks = re.match(r"`{3,}", line)
        if not fence and ticks:
            fence = ticks.group()
        elif fence:
            fence = "" if line.strip("`") == "" and len(line) >= len(fence) else fence
        else:
            yield line
    assert not fence


class Words(HTMLParser):
    """The text of a page and the names of its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said += data
