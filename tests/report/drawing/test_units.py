"""Units behind numbers and names, and nothing where no unit is known."""

import pytest

from coregpt.report.drawing.units import labelled, told_in, with_unit


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("nats per byte", ("0.01 nats per byte", "val_loss in nats per byte", "val_loss (nats per byte)")),
        ("", ("0.01", "val_loss", "val_loss")),
    ],
)
def test_a_unit_that_nobody_knows_leaves_no_trace(unit: str, expected: tuple[str, str, str]) -> None:
    assert (with_unit("0.01", unit), told_in("val_loss", unit), labelled("val_loss", unit)) == expected
