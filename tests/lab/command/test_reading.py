"""Lines to numbers: a pattern as people write it, and the formats of known programs."""

import math

import pytest

from coregpt.lab.command.file import MetricFile, filled, seconds
from coregpt.lab.command.reading import Found, nearest_line, reader


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        ("step {step}: val loss {val_loss}", "step 5: val loss 3.25", Found(5, {"val_loss": 3.25})),
        ("val {val_loss} at {step}", "12:00 val 3.25 at 5, more", Found(5, {"val_loss": 3.25})),
        ("val={val_loss}", "val=1e-3", Found(None, {"val_loss": 1e-3})),
        ("loss: {val_loss} |", "loss:   -2.5   | x", Found(None, {"val_loss": -2.5})),
        ("({val_loss})", "(7)", Found(None, {"val_loss": 7.0})),
        ("acc {acc}", "acc 93.5%", Found(None, {"acc": 93.5})),
        ("val {val_loss}", "val tensor(3.5)", Found(None, {"val_loss": 3.5})),
        ("val {val_loss}", "something else", None),
        ("epoch {epoch} val {val_loss}", "epoch 1 val 2", Found(None, {"epoch": 1.0, "val_loss": 2.0})),
    ],
)
def test_a_pattern_reads_its_line_and_no_other(pattern: str, line: str, found: Found | None) -> None:
    assert reader(MetricFile(pattern=pattern))(line) == found


def test_a_lost_value_is_a_number_and_a_word_is_none() -> None:
    read = reader(MetricFile(pattern="val {val_loss}"))
    lost = read("val nan")
    assert lost is not None
    assert math.isnan(lost.values["val_loss"])
    assert read("val -inf") == Found(None, {"val_loss": -math.inf})
    with pytest.raises(ValueError, match="val_loss: 'none'"):
        read("val none")


def test_json_lines_do_not_need_a_step() -> None:
    assert reader(MetricFile())('{"val_loss": 2.5}') == Found(None, {"val_loss": 2.5})
    assert reader(MetricFile())("[1]") is None


def test_the_nearest_line_is_that_with_most_of_the_words() -> None:
    lines = ["hello", "iter 3 loss 4", "step 1 - train loss: 3, val loss: 4"]
    assert nearest_line(MetricFile(pattern="step {step}: train loss {a}, val loss {b}"), lines) == lines[2]
    assert nearest_line(MetricFile(pattern="x {a}"), []) == ""


@pytest.mark.parametrize(("said", "found"), [("90s", 90.0), ("20m", 1200.0), ("1.5h", 5400.0), ("7", 7.0), (8, 8)])
def test_times_are_read_as_people_write_them(said: object, found: float) -> None:
    assert seconds(said) == found


def test_only_known_placeholders_are_filled_in() -> None:
    assert filled("{seed} {x} {{seed}}", {"seed": 3}) == "3 {x} {3}"
