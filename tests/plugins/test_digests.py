"""The list of what ships is that of what is tested here."""

from coregpt.lab.study.code.shipped import LIST, listing
from coregpt.lab.study.registry import Catalogue
from tests.plugins.digests import PLUGINS


def test_every_technique_here_is_known_by_its_content() -> None:
    written = (PLUGINS / LIST).read_text(encoding="utf-8")
    assert written == listing(PLUGINS), "after an edit of a technique: python -m tests.plugins.digests"
    catalogue = Catalogue()
    assert [name for name in catalogue.names() if not catalogue.shipped(name)] == []
