"""Both media show the same sections in the same order, whatever the kind of page."""

import re
from html import unescape

import pytest

from tests.report.pages.test_escaping import PAGES

PICTURES_ONLY = {"Learning curves", "The gap along the way", "Seed by seed"}


@pytest.mark.parametrize("kind", PAGES)
def test_sections_stand_in_one_order(kind: str) -> None:
    files = PAGES[kind]()
    shown = re.findall(r"<section><h2>(.*?)</h2>", files["report.html"])
    written = re.findall(r"^## (.*)$", files["report.md"], re.M)
    assert [unescape(title) for title in shown if title not in PICTURES_ONLY] == written
    assert len(set(written)) == len(written) > 3
