"""YAML as people mean it."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.yamlfile import parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-2", -2),
        ("010", 10),
        ("1_000", 1000),
        (".inf", float("inf")),
        ("true", True),
        ("no", "no"),
        ("on", "on"),
        ("~", None),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ("0x1f", "0x1f"),
    ],
)
def test_scalars_mean_what_they_say(text: str, value: object) -> None:
    found = parse(f"key: {text}", "f.yaml").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_words_even_if_they_look_like_numbers_or_truth_values() -> None:
    assert parse("1: a\ntrue: b\nno: c", "f.yaml").data == {"1": "a", "true": "b", "no": "c"}


def test_every_key_and_item_knows_its_line() -> None:
    document = parse("a: 1\nb:\n  c: [2,\n      3]\n", "f.yaml")
    assert [document.line(key) for key in (("a",), ("b", "c"), ("b", "c", 1))] == [1, 3, 4]
    assert document.where(("b", "c", "missing")) == "f.yaml:3: b.c.missing"


def test_a_merge_key_brings_what_is_not_there_and_lines_say_where_it_stands() -> None:
    text = (
        "x-small: &small\n  dim: 8\n  deep: {a: 1}\nb: {<<: *small, dim: 16}\nc:\n  <<: [{dim: 3}, *small]\n'<<': 1\n"
    )
    document = parse(text, "f.yaml")
    assert document.data["b"] == {"dim": 16, "deep": {"a": 1}}
    assert document.data["c"] == {"dim": 3, "deep": {"a": 1}}
    assert document.data["<<"] == 1  # quoted, a word like any other
    assert [document.line(key) for key in (("b", "dim"), ("b", "deep", "a"), ("c", "dim"))] == [4, 3, 6]


def test_merged_mappings_may_merge_themselves() -> None:
    data = parse("a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}", "f.yaml").data
    assert data["c"] == {"z": 3, "y": 2, "x": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "f.yaml:1: the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- 1", "f.yaml:1: expected a mapping"),
        ("a: 1\nb: {c: 2,\n  c: 3}", "f.yaml:3: 'c' is given twice, first in line 2"),
        ("a: 1\nb: [", "f.yaml:2: not valid YAML"),
        ("a: &x [*x]", "contains itself"),
        ("a: !!python/name:os.system x", "f.yaml:1: the tag of 'x' means nothing here"),
        ("a: 1\nb: 1__0240", "f.yaml:2: '1__0240' looks like a number and is none"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: 1\n<<: 3", "f.yaml:2: '<<' takes from a mapping"),
        ("a: &a {b: 1}\n<<: [*a, 3]", "f.yaml:2: '<<' takes from a mapping"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a", "f.yaml:4: '<<' is given twice, first in line 3"),
        ("a: 1\nb: !!set {c, d}", "f.yaml:2: the tag tag:yaml.org,2002:set means nothing here"),
        ("a: !!python/object:os.system {}", "means nothing here"),
        ("? [1]\n: 2", "a key must be a word"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_bad_files_are_refused_with_their_line(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    assert words in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: caf\xe9")
    for path, words in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "UTF-8"),
    ):
        with pytest.raises(ConfigError, match=words):
            read(path)
