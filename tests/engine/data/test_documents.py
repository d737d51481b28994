import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import documents
from coregpt.engine.data.documents import Document, module_docstrings, without_repetitions

SENTENCE = "This sentence is long enough to count as a passage because it runs on for well over one hundred characters."


@pytest.fixture
def stdlib(tmp_path):
    """A standard library in miniature, with what must be read and what must not."""
    files = {
        "json/__init__.py": '"""Package."""\n',
        "json/decoder.py": (
            '"""Module."""\nclass A:\n    """Class.\n\n    Indented."""\n    async def f(self):\n        "Async."\n'
            "        def g():\n            'Inner.'\n"
            "try:\n    pass\nexcept OSError:\n    def h():\n        'Handler.'\nelse:\n    def i():\n        'Else.'\n"
        ),
        "abc.py": "x = 'no docstring'\nbackslash = '\\d'\n",
        "json/tests/test_it.py": '"""Tested."""',
        "test/support.py": '"""Support."""',
        "stranger.py": '"""Not of the standard library."""',
        "site-packages/json.py": '"""Installed."""',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_docstrings_are_read_at_any_depth_in_source_order(stdlib):
    assert module_docstrings(stdlib) == {
        "module:abc": [],
        "module:json.__init__": ["Package."],
        "module:json.decoder": ["Module.", "Class.\n\nIndented.", "Async.", "Inner.", "Handler.", "Else."],
    }


def test_modules_are_read_but_never_run(stdlib):
    (stdlib / "abc.py").write_text('"""Doc."""\nraise SystemExit\n')
    assert module_docstrings(stdlib)["module:abc"] == ["Doc."]


def test_a_broken_module_is_named(stdlib):
    (stdlib / "abc.py").write_text("def (")
    with pytest.raises(DataError, match=r"abc\.py is not readable Python"):
        module_docstrings(stdlib)


def test_a_text_already_used_is_dropped_however_short():
    kept = without_repetitions([("a", ["Same.", "Own."]), ("b", ["Same.", "Other."]), ("c", ["Same."])])
    assert kept == [Document("a", "Same.\n\nOwn."), Document("b", "Other.")]


def test_a_paragraph_holding_an_earlier_passage_is_dropped_whatever_its_line_breaks():
    again = "Before it.\n\nMore words, then: " + SENTENCE.replace(" ", "\n   ") + " And more.\n\nAfter it."
    assert without_repetitions([("a", [SENTENCE]), ("b", [again])])[1].text == "Before it.\n\nAfter it."


def test_a_passage_over_several_short_paragraphs_is_dropped_as_well():
    pieces = SENTENCE.replace(" ", "\n\n")
    assert without_repetitions([("a", [SENTENCE]), ("b", ["Before.\n\n" + pieces + "\n\nAfter."])])[1].text == (
        "Before.\n\nAfter."
    )


def test_a_short_repetition_inside_fresh_text_stays():
    kept = without_repetitions([("a", ["See also the manual. One."]), ("b", ["See also the manual. Two."])])
    assert [document.text for document in kept] == ["See also the manual. One.", "See also the manual. Two."]


def test_a_document_may_repeat_itself():
    text = SENTENCE + "\n\n" + SENTENCE + " But differently."
    assert without_repetitions([("a", [text])]) == [Document("a", text)]


def test_the_separator_and_half_characters_cannot_enter_the_bytes():
    (document,) = without_repetitions([("a", ["x\0y \ud800"])])
    assert document.encoded() == b"xy ?"


def test_the_result_does_not_depend_on_string_hashing(tmp_path):
    shutil.copytree(Path(sysconfig.get_path("stdlib")) / "email", tmp_path / "email")
    here = without_repetitions((name, texts * 2) for name, texts in module_docstrings(tmp_path).items())
    program = (
        "import pathlib, sys\n"
        "from coregpt.engine.data.documents import module_docstrings, without_repetitions\n"
        "modules = module_docstrings(pathlib.Path(sys.argv[1]))\n"
        "print(ascii(without_repetitions((name, texts * 2) for name, texts in modules.items())))"
    )
    root = Path(documents.__file__).parents[3]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(root)}
    there = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == ascii(here)
    assert len(here) > 10


def test_a_python_without_help_topics_makes_do_with_docstrings(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    plenty = " ".join(f"word{i}" for i in range(120_000))
    monkeypatch.setattr(documents, "module_docstrings", lambda stdlib: {"module:abc": [plenty]})
    assert documents.python_documentation() == [Document("module:abc", plenty)]


@pytest.mark.parametrize("topics", [True, False])
def test_a_python_without_readable_sources_is_told_what_to_install(tmp_path, monkeypatch, topics):
    if not topics:
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "decoder.pyc").write_bytes(b"compiled")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match=r"0 module sources.*libpython3-stdlib") as error:
        documents.python_documentation()
    assert ("(0 help topics" in str(error.value)) is not topics
