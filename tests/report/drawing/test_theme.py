"""Series colours can be told apart by every reader: simulated colour blindness, distances in CIE Lab."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from coregpt.report.drawing.theme import _DARK, _LIGHT

# Complete dichromacy in linear RGB: Machado, Oliveira and Fernandes 2009, table of severity 1.0.
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
PALETTES = {"light": (_LIGHT, "#ffffff"), "dark": (_DARK, "#171b23")}


def linear(colour: str) -> NDArray[np.float64]:
    """#rrggbb as linear RGB (sRGB standard)."""
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* under D65."""
    t = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", PALETTES)
def test_any_two_of_ten_series_are_far_apart(name: str, sight: str) -> None:
    seen = [lab(np.asarray(SIGHT[sight]) @ linear(colour)) for colour in PALETTES[name][0]]
    assert len(seen) == 10
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 15


@pytest.mark.parametrize("name", PALETTES)
def test_every_series_stands_out_from_the_paper(name: str) -> None:
    """Contrast of at least 3, which WCAG 2.1 asks of graphics and of large text."""
    colours, paper = PALETTES[name]
    luminance = {colour: float(TO_XYZ[1] @ linear(colour)) + 0.05 for colour in (*colours, paper)}
    for colour in colours:
        assert max(luminance[colour], luminance[paper]) / min(luminance[colour], luminance[paper]) >= 3
