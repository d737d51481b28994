"""Charts: nothing that is drawn runs through what is written."""

import xml.etree.ElementTree as ElementTree

from coregpt.report.drawing.charts import forest
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted

LARGEST_TEXT = 23.0
"""Height of row text on a phone, in the units of the picture."""


def elements(picture: str, class_: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(picture).iter() if e.get("class") == class_]


def test_the_zero_line_of_a_forest_plot_crosses_no_text_and_passes_every_interval() -> None:
    picture = forest(report({"gpt": base(), "up": shifted(0.03), "same": shifted(0.0003), "down": shifted(-0.02)}))
    words = elements(picture, "row") + elements(picture, "value")
    lines = [(float(e.get("y1", "")), float(e.get("y2", ""))) for e in elements(picture, "zero")]
    bars = [float(e.get("y1", "")) for e in elements(picture, "bar")]
    assert len(words) == 6
    assert len(bars) == 3
    for word in words:
        below = float(word.get("y", "")) + 0.25 * LARGEST_TEXT
        above = float(word.get("y", "")) - 0.8 * LARGEST_TEXT
        assert all(bottom <= above or top >= below for top, bottom in lines)
    for bar in bars:
        assert any(top < bar < bottom for top, bottom in lines)


def test_a_long_name_leaves_room_for_the_numbers() -> None:
    name = "the_same_technique_with_every_option_at_its_largest_value_and_more"
    picture = forest(report({"gpt": base(), name: shifted(0.03)}))
    (row,) = elements(picture, "row")
    assert row.text is not None
    assert len(row.text) < 50
    assert row.text.startswith("the_same_technique")
