"""The pictures of `plugins widths`: every line has its name and a colour."""

import itertools
import re

from coregpt.lab.laws.widths import Coordinates, Sweep
from coregpt.report.catalogue.widths import Widths, page, sweep_picture
from coregpt.report.drawing.labels import spread
from coregpt.report.drawing.page import html

WIDTHS = (32, 64, 128)
PLACES = [f"blocks.*.part_{number}" for number in range(18)]


def made() -> Widths:
    sizes = {place: tuple(0.1 * (w / 32) ** (0.02 * i) for w in WIDTHS) for i, place in enumerate(PLACES)}
    rates = (0.001, 0.002, 0.004)
    sweep = Sweep(rates, {width: tuple(2 + rate * width for rate in rates) for width in WIDTHS}, 5.5)
    return Widths("mup", 0.002, 10, {"plain": Coordinates(WIDTHS, sizes)}, 60, {"plain": sweep})


def test_every_line_has_its_name_and_its_colour() -> None:
    text = html(page(made()))
    for index, place in enumerate(PLACES):
        drawn = re.findall(rf'<g class="s{index}">(.*?)</g>', text)
        assert any("<polyline" in part for part in drawn)
        assert any(f">{place}<" in part for part in drawn)
        assert f".s{index}{{--c:" in text
    sweep = sweep_picture("plain", (made().sweeps or {})["plain"]).drawing
    assert all(f">width {width}<" in sweep for width in WIDTHS)
    assert "learning rate" in sweep
    assert "training loss in nats per token" in sweep


def test_names_are_apart_and_in_the_order_of_their_lines() -> None:
    heights = [100.0, 101.0, 40.0, 102.0, 300.0]
    found = spread(heights, 17, 30, 290)
    order = sorted(range(5), key=heights.__getitem__)
    assert sorted(range(5), key=found.__getitem__) == order
    assert all(found[b] - found[a] >= 17 for a, b in itertools.pairwise(order))
    assert found[4] <= 294
