"""What is left for `-m slow` is all that is not tested now; what was edited is tested now."""

import pytest

from coregpt.lab.study import registry
from coregpt.lab.study.registry import Catalogue
from tests import sampled

NAMES = Catalogue().names()
PARTS = 3


def parts() -> list[set[str]]:
    return [{name for name in NAMES if sampled.now(name, "a sweep", PARTS, part)} for part in range(PARTS)]


def test_parts_are_the_whole_and_share_nothing():
    found = parts()
    assert set.union(*found) == set(NAMES)
    assert sum(map(len, found)) == len(NAMES)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_sweeps_are_drawn_apart():
    assert {name for name in NAMES if sampled.now(name, "another", PARTS)} != parts()[0]


def test_the_rest_is_slow_and_nothing_else():
    each = sampled.each("a sweep", PARTS, NAMES)
    soon, later = ([case.id for case in each if bool(case.marks) is slow] for slow in (False, True))
    assert set(soon) == parts()[0]
    assert set(later) == set(NAMES) - parts()[0]
    assert {mark.name for case in each for mark in case.marks} == {"slow"}


def test_an_edited_technique_is_in_every_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampled, "edited", lambda: frozenset({"rope"}))
    assert all("rope" in part for part in parts())
    assert sum(map(len, parts())) == len(NAMES) + PARTS - 1


def test_a_technique_counts_as_edited_until_it_is_listed(monkeypatch: pytest.MonkeyPatch):
    """As if the list had another digest of one file."""
    listed = registry.as_listed
    own = Catalogue().source("rope")
    monkeypatch.setattr(registry, "as_listed", lambda root, files: own not in list(files) and listed(root, files))
    found = sampled.edited.__wrapped__()
    assert "rope" in found
    assert "swiglu" not in found


def test_an_edit_draws_another_part(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(sampled, "ROOT", tmp_path)
    before = sampled.seed.__wrapped__()
    assert sampled.seed.__wrapped__() == before
    (tmp_path / "plugins" / "one.py").write_text("x = 2\n")
    assert sampled.seed.__wrapped__() != before
