"""The section on both pages, its tables, and the way of a bracket through JSON."""

import json
import math
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coregpt.report.designs.bracket.section import allowance_table, found_table, tried_table
from coregpt.report.drawing.tables import confounds, results_note
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.inputs import Confound
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.paste import latex_table, sentence, table
from coregpt.report.pages.render import render
from tests.report import studies
from tests.report.designs.bracket.brackets import Tried, report, smooth
from tests.report.designs.bracket.test_charts import ALL_LOST
from tests.report.designs.bracket.test_design import EDGE
from tests.report.verdicts.test_compare import base, shifted

ROOT = Path(__file__).parents[4]
NASTY = "a|b <i>*c*</i> `d`"
VALUES = {"gpt": base(), "new": shifted(0.006)}
CLIFF: Tried = {**smooth(0.0, luck=3), 1.0: [math.inf, 3.2]}


def made(new: Tried | None = None, values: dict[str, list[float]] = VALUES) -> Report:
    return report({"gpt": smooth(luck=1), "new": new or smooth(0.1, luck=3)}, values)


def arm(report: Report, index: int = 1) -> ArmBracket:
    assert report.study.bracket is not None
    return report.study.bracket.arms[index]


def test_tables_say_what_was_tried_found_and_allowed() -> None:
    one = made(CLIFF)
    rows = tried_table(one, arm(one)).rows
    assert [row[0] for row in rows] == ["-1", "-0.5", "0", "+0.5", "+1"]
    assert rows[-1] == ("+1", "0.008", "∞", "3.2000", "∞")
    assert tried_table(one, arm(one)).bad == frozenset({4})
    assert [row[:2] for row in found_table(one).rows] == [("gpt", "0.004"), ("new", "0.004")]
    assert found_table(one).rows[1][5:7] == ("5", "10")
    (c,) = one.comparisons
    assert c.allowance is not None
    assert c.se is not None
    (row,) = allowance_table(one).rows
    assert row == ("new", f"{c.sampling_se:.5f}", f"{math.sqrt(c.allowance):.5f}", f"{c.se:.5f}")


@pytest.mark.parametrize("end", [5000.0, math.inf])
def test_an_interval_without_an_end_is_no_crash(end: float) -> None:
    one = made()
    assert one.study.bracket is not None
    wide = arm(one).model_copy(update={"interval": (-end, end)})
    found = one.study.bracket.model_copy(update={"arms": (arm(one, 0), wide)})
    one = one.model_copy(update={"study": one.study.model_copy(update={"bracket": found})})
    assert found_table(one).rows[1][3] == "0 to ∞"
    assert "0 to ∞" in render(one)["report.md"]


@pytest.mark.parametrize("new", [smooth(0.1, luck=3), CLIFF, EDGE, ALL_LOST])
def test_it_survives_json_with_the_same_bytes_and_stands_on_both_pages(new: Tried) -> None:
    one = made(new)
    text = to_json(one)
    assert from_json(text).study.bracket == one.study.bracket
    assert to_json(from_json(text)) == text
    assert render(from_json(text)) == render(one)
    for page in ("report.md", "report.html"):
        assert "Each arm at its own setting" in render(one)[page]
        assert "∞ where a run diverged" in render(one)[page]


def test_reports_without_a_bracket_say_nothing_of_it_and_keep_their_bytes() -> None:
    plain = studies.report(VALUES)
    assert '"bracket"' not in to_json(plain)
    assert '"allowance"' not in to_json(plain)
    assert "bracket" not in "".join(render(plain).values())
    for path in sorted((ROOT / "reports").glob("*/report.json")):
        if json.loads(path.read_text(encoding="utf-8"))["study"].get("bracket") is None:
            text = path.read_text(encoding="utf-8")
            assert to_json(from_json(text)) == text


class Reader(HTMLParser):
    """Text of captions and cells, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_that_mean_something_to_a_page_are_shown_as_they_are() -> None:
    other = "<b>x|y"
    tried: dict[str, Tried] = {NASTY: smooth(luck=1, seeds=6), other: CLIFF, "edge|": EDGE}
    pages = render(report(tried, {NASTY: base(), other: shifted(0.01), "edge|": shifted(0.0)}))
    reader = Reader()
    reader.feed(pages["report.html"])
    assert not reader.tags & {"i", "b"}
    assert f"Values tried of {NASTY}," in reader.text
    assert f"{other} ran at 0.00" in reader.text
    bare = pages["report.md"].replace("\\|", "")
    lines = [line for line in bare.splitlines() if line.startswith("| ")]
    widths = {line.count("|") for line in lines if line.startswith(("| arm | declared", "| edge | 0.004"))}
    assert widths == {10}


def test_only_what_is_in_a_picture_is_explained() -> None:
    plain, fallen = render(made())["report.html"], render(made(CLIFF))["report.html"]
    assert "Shaded:" in fallen
    assert "Shaded:" not in plain
    assert "× marks values" in fallen
    assert "× marks values" not in plain


def test_pasted_rows_have_the_interval_with_its_allowance_and_say_how_arms_were_set() -> None:
    one = made()
    (c,) = one.comparisons
    assert c.interval is not None
    (plain,) = studies.report(VALUES).comparisons
    assert plain.interval is not None
    assert c.interval[0] < plain.interval[0]
    ends = f"{c.interval[0]:+.5f} to {c.interval[1]:+.5f}".replace("-", "−")
    assert ends in sentence(one, c)
    assert "6 seeds, each arm at its own bracketed optim.lr, 1 k parameters" in sentence(one, c)
    assert table(one).rows[0][3] == ends
    assert "; each arm at its own bracketed optim.lr" in table(one).title
    assert "bracketed" in latex_table(one)
    assert "bracketed" not in sentence(studies.report(VALUES), plain)


def test_what_else_differs_marks_what_the_bracket_moved() -> None:
    settings = ("optim.lr", "optim.weight_decay", "peak learning rate")
    found = tuple(Confound(setting=each, values={"gpt": "1", "new": "2"}) for each in settings)
    tried: dict[str, Tried] = {"gpt": smooth(luck=1), "new": smooth(luck=3)}
    rows = confounds(report(tried, VALUES, confounds=found)).rows
    assert [(row[0], row[-1]) for row in rows] == [
        ("optim.lr", "tuned"),
        ("optim.weight_decay", "confound"),
        ("peak learning rate", "tuned"),
    ]
    own = report(tried, VALUES, setting="plugins.muon.lr", confounds=found)
    assert [row[-1] for row in confounds(own).rows] == ["confound", "confound", "tuned"]


def test_columns_without_the_allowance_are_named() -> None:
    assert "allow for tuning" in results_note(made())
    assert "tuning" not in results_note(studies.report(VALUES))


def test_the_method_says_how_the_error_is_made_up() -> None:
    assert "8 (u² of the arm + u² of the baseline)" in render(made())["report.md"]


def test_the_markdown_page_links_to_all_response_curves_as_one_file() -> None:
    files = render(made())
    assert "](responses.svg)" in files["report.md"]
    sheet = files["responses.svg"]
    assert sheet.count("optim.lr (log scale)") == len(made().study.arms)
    ElementTree.fromstring(sheet)
