"""Long documents against slow sums over single tokens."""

import dataclasses
import json
import math
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
import yaml

from coregpt.cli import main
from coregpt.cli.models.evaluated import Found
from coregpt.cli.models.evaluation_page import page as page_of
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.build import assemble
from coregpt.engine.data import open_folder
from coregpt.engine.inputs import open_inputs
from coregpt.lab.study.sections.evaluate import BooksFile, EvaluateFile
from coregpt.report.drawing.page import html
from coregpt.trained.books import ByPlace, Cut, by_place, perplexity, read_windows, windows_of
from coregpt.trained.breakdown import Calibration, Part
from coregpt.trained.estimates import Mean
from coregpt.trained.lengths import Longer
from coregpt.trained.opening import fill
from coregpt.trained.outcomes import Text, measure

WORDS = ["the", "river", "runs", "under", "a", "stone", "over", "light", "slow", "café", "北京", "it's", "Straße"]
LENGTH, ROWS, BUCKET = 96, 2, 20


def book(seed, words):
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """As PG19 has them: a file a book, by number. One is too short."""
    folder = tmp_path_factory.mktemp("pg19") / "test"
    folder.mkdir()
    for number, words in enumerate((400, 30, 900, 500)):
        (folder / f"{10_000 + number}.txt").write_text(book(number, words), encoding="utf-8")
    return folder


def slow(model, shelf, tokenizer):
    """{place: [(book, loss)]}: each window by itself, the model made for rows so long, in float64."""
    longer, found = model.longer(LENGTH // model.context), {}
    for number, path in enumerate(sorted(shelf.iterdir())):
        ids = [tokenizer.separator, *tokenizer.encode([path.read_bytes()])[0].tolist()]
        whole = (len(ids) - 1) // LENGTH
        if whole < ROWS:
            continue
        for start in (0, whole // 2 * LENGTH):
            logits = longer.logits(torch.tensor([ids[start : start + LENGTH]]))[0].double()
            for place in range(LENGTH):
                loss = torch.logsumexp(logits[place], 0) - logits[place, ids[start + place + 1]]
                found.setdefault(place, []).append((number, float(loss)))
    return found


def test_perplexity_by_place_is_that_of_every_window_by_itself(done, shelf):
    model = done.open("plain/0")
    tokenizer = model.open_tokenizer()
    windows = read_windows(shelf, tokenizer, Cut(LENGTH, ROWS))
    assert (windows.books, windows.rows, windows.length, windows.short) == (3, ROWS, LENGTH, 1)
    found, _ = by_place(model, windows, BUCKET)
    wanted = slow(model, shelf, tokenizer)
    assert [part.name for part in found.parts] == ["0 to 19", "20 to 39", "40 to 59", "60 to 79", "80 to 95"]
    for part, low in zip(found.parts, range(0, LENGTH, BUCKET), strict=True):
        own = [loss for place in range(low, min(low + BUCKET, LENGTH)) for _, loss in wanted[place]]
        assert part.mean.value == pytest.approx(sum(own) / len(own), abs=1e-5)
        assert part.mean.count == len(own)
    assert found.perplexities() == [pytest.approx(math.exp(part.mean.value)) for part in found.parts]
    assert sum(part.share for part in found.parts) == pytest.approx(1)


def test_books_are_the_units_of_the_interval(done, shelf):
    model = done.open("plain/0")
    windows = read_windows(shelf, model.open_tokenizer(), Cut(LENGTH, ROWS))
    part = by_place(model, windows, LENGTH)[0].parts[0].mean
    wanted, each = slow(model, shelf, model.open_tokenizer()), {}
    for own in wanted.values():
        for number, loss in own:
            each.setdefault(number, []).append(loss)
    means = np.array([np.mean(own) for own in each.values()])
    assert part.value == pytest.approx(means.mean(), abs=1e-5)
    assert part.high - part.low == pytest.approx(2 * 4.302653 * means.std(ddof=1) / math.sqrt(3), rel=1e-3)  # t of 2


def test_a_model_that_knows_nothing_has_the_vocabulary_as_its_perplexity(done, shelf):
    model = done.open("plain/0")
    blank = dataclasses.replace(model, again=lambda config: _zeroed(model.again(config)))
    windows = read_windows(shelf, model.open_tokenizer(), Cut(LENGTH))
    found, _ = by_place(blank, windows, 32)
    assert found.perplexities() == pytest.approx([416.0] * 3, rel=1e-5)


def _zeroed(made):
    with torch.no_grad():
        made.assembly.params["head.out.weight"].zero_()
    return made


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_windows_are_whole_apart_and_from_everywhere(rows):
    ids = np.arange(1001)
    found = windows_of(ids, Cut(100, rows))
    starts = [int(each[0]) for each in found]
    assert starts == [place * 10 // rows * 100 for place in range(rows)]
    assert all(each.tolist() == list(range(each[0], each[0] + 101)) for each in found)
    assert windows_of(ids[:300], Cut(100, 3)) == []  # its last token has no target
    assert len(windows_of(ids[:301], Cut(100, 3))) == 3


def test_rows_of_parquet_and_lines_are_books_too(done, shelf, tmp_path):
    tokenizer = done.open("plain/0").open_tokenizer()
    texts = [path.read_text(encoding="utf-8") for path in sorted(shelf.iterdir())]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / "test.parquet")
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    wanted = read_windows(shelf, tokenizer, Cut(LENGTH, ROWS))
    for name in ("test.parquet", "test.jsonl"):
        found = read_windows(tmp_path / name, tokenizer, Cut(LENGTH, ROWS))
        assert torch.equal(found.inputs, wanted.inputs)
        assert torch.equal(found.targets, wanted.targets)
    assert read_windows(shelf, tokenizer, Cut(LENGTH, ROWS, 2)).books == 2


def test_books_that_are_too_short_are_refused(done, shelf):
    model = done.open("plain/0")
    with pytest.raises(DataError, match=r"none of 4 documents has 96,001 tokens, which 3 windows of 32,000 need"):
        read_windows(shelf, model.open_tokenizer(), Cut(32_000, 3))
    windows = read_windows(shelf, model.open_tokenizer(), Cut(50))
    with pytest.raises(ConfigError, match="multiple of"):
        by_place(model, windows, 10)


def test_a_model_with_a_table_of_places_says_why_it_has_none(done, shelf):
    model, cpu = done.open("plain/0"), torch.device("cpu")
    config = model.config.model_copy(update={"plugins": {}})
    learned = assemble(config, (), open_inputs({}, {}, cpu, None), cpu, None)

    def again(config):
        made = assemble(config, (), open_inputs({}, {}, cpu, None), cpu, None)
        fill(made, learned.assembly.params, {}, "here")
        return made

    bare = dataclasses.replace(model, config=config, made=learned, again=again)
    windows = read_windows(shelf, model.open_tokenizer(), Cut(LENGTH))
    found, losses = by_place(bare, windows, BUCKET)
    assert losses is None
    assert "takes no rows of 96 tokens" in found.refused
    text = Text(open_folder(done.data), open_folder(done.data).held_out, "held_out", 512)
    said = EvaluateFile(books=BooksFile(path="x", length=LENGTH, bucket=BUCKET))
    measured, _ = measure(bare, text, said, (), windows)
    assert list(measured.refused) == ["loss in books, in windows of 96"]


def test_an_outcome_of_a_study_is_what_eval_says(done, shelf):
    model, source = done.open("scaled/1"), open_folder(done.data)
    windows = read_windows(shelf, model.open_tokenizer(), Cut(64, 1, 2))
    said = EvaluateFile(books=BooksFile(path="x", length=64, books=2, bucket=32))
    found, _ = measure(model, Text(source, source.held_out, "held_out", 512), said, (), windows)
    parts = by_place(model, windows, 32)[0].parts
    assert found.values == {f"loss in books, tokens before: {part.name}": part.mean.value for part in parts}


def test_the_command_tells_two_runs_in_the_same_windows(done, shelf, capsys, monkeypatch):
    words = ["eval", "scaled/0", "--runs", str(done.runs), "--books", str(shelf), "--rows", "2", "--against", "plain/0"]
    assert main([*words, "--length", "96", "--bucket", "48"]) == 0
    said = capsys.readouterr().out
    assert "3 books, 2 windows each; 1 documents are too short" in said
    assert "tokens before, windows of 96" in said
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["books"]["length"] == 128  # four times the context
    own, other, gap = (found[key] for key in ("books", "other_in_books", "differences_in_books"))
    value = own["parts"][0]["mean"]["value"]
    assert value - other[0]["mean"]["value"] == pytest.approx(gap[0]["mean"]["value"])
    assert perplexity(value) == math.exp(value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--length", "33"], "--length 33: expected a multiple of"),
        (["--books", "nowhere"], "there is no file or folder"),
    ],
)
def test_what_cannot_be_asked_is_refused(done, shelf, capsys, more, complaint):
    assert main(["eval", "plain/0", "--runs", str(done.runs), "--books", str(shelf), *more]) == 2
    assert complaint in capsys.readouterr().err


@pytest.fixture
def asking(done, shelf, tmp_path):
    """The finished study with another question."""
    shutil.copytree(done.folder, tmp_path / "again")
    study = yaml.safe_load((tmp_path / "again" / "study.yaml").read_text())

    def ask(**books):
        file = tmp_path / "again" / "study.yaml"
        file.write_text(
            yaml.safe_dump({**study, "evaluate": {"books": {"path": str(shelf), **books}}}, sort_keys=False)
        )
        where = ["--runs", str(file.parent / "runs"), "--reports", str(file.parent / "reports"), "--no-mlflow"]
        return main(["ablate", str(file), *where]), file.parent

    return ask


def test_a_study_measures_its_arms_in_books_and_draws_them(asking, capsys):
    code, folder = asking(length=128, bucket=32, rows=2)
    assert code == 0
    assert "nothing to train" in capsys.readouterr().out
    report = json.loads((folder / "reports" / "study" / "report.json").read_text())
    evaluated = report["study"]["evaluated"]
    names = [f"loss in books, tokens before: {low} to {low + 31}" for low in range(0, 128, 32)]
    assert [each["name"] for each in evaluated["outcomes"]] == names
    assert evaluated["context"] == 32
    assert all(value is not None for each in evaluated["outcomes"] for arm in each["values"].values() for value in arm)
    page = (folder / "reports" / "study" / "report.html").read_text()
    assert "Perplexity in books over the tokens that stand before, for 2 arms" in page
    assert "trained on 32" in page
    assert "](books.svg)" in (folder / "reports" / "study" / "report.md").read_text()
    assert (folder / "reports" / "study" / "books.svg").exists()


def test_books_that_a_study_cannot_use_are_refused_before_training(asking, capsys):
    for books, complaint in (
        ({"length": 100}, "evaluate.books.length: expected a multiple of the 32 tokens of a row of 'plain', got 100"),
        ({"length": 96_000}, "evaluate.books: "),
        ({"length": 64, "path": "nowhere"}, "there is no file or folder"),
    ):
        assert asking(**books)[0] == 2
        said = capsys.readouterr().err
        assert complaint in said
        assert "study.yaml:" in said


def test_the_page_has_every_table_and_both_pictures(done, shelf, tmp_path, capsys):
    page = tmp_path / "page.html"
    words = ["eval", "scaled/0", "--runs", str(done.runs), "--books", str(shelf), "--against", "plain/0"]
    assert main([*words, "--length", "96", "--bucket", "48", "--longer", "2", "--html", str(page)]) == 0
    said, written = capsys.readouterr().out, page.read_text(encoding="utf-8")
    assert f"{page}: the same with pictures" in said
    longer, books = (ElementTree.fromstring(each) for each in re.findall(r"<svg.*?</svg>", written, re.S))
    lines = [each.get("points").split() for each in books.iter("polyline")]
    assert [len(points) for points in lines] == [2, 2]  # two buckets of each run
    assert len(longer.findall(".//polyline")) == 1
    drawn = "".join(books.itertext())
    assert {done.id(cell)[:8] in drawn for cell in ("scaled/0", "plain/0")} == {True}
    assert "trained on 32" in drawn
    ids = re.findall(r'<clipPath id="([^"]*)"', written)
    assert len(set(ids)) == len(ids) == 2
    for line in said.splitlines():
        for number in re.findall(r"\d\.\d{4}", line):
            assert number in written
    assert "another seed" in written


def test_the_page_says_why_a_model_takes_no_longer_rows():
    found = Found("abc", "select", Mean(1.0, 8, None, None), None, {}, Calibration([], 0.0))
    found.longer = [Longer(64, 4, [], "the model takes no rows of 64 tokens (a table)")]
    assert "The model takes no rows of 64 tokens (a table)." in html(page_of(found, [], 32))


def test_weights_that_have_diverged_have_a_table_and_no_picture():
    found = Found("abc", "select", Mean(math.nan, 8, None, None), None, {}, Calibration([], 0.0))
    found.books = ByPlace(1, 1, 64, 0, [Part("0 to 63", Mean(math.nan, 64, None, None), 1.0)])
    written = html(page_of(found, [], 32))
    assert "<svg" not in written
    assert "0 to 63" in written
