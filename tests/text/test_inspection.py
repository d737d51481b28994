import dataclasses
import itertools
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest

from coregpt.cli import main
from coregpt.engine.data import open_folder
from coregpt.report.drawing.page import html
from coregpt.text import inspection
from coregpt.text import page as pages
from coregpt.text.inspection import inspect
from coregpt.text.prepare import Wanted, prepare
from coregpt.text.tokenizer import Bytes

from .conftest import everything, text
from .test_words import runs


@pytest.fixture(scope="session")
def prepared(texts, bpe, tmp_path_factory):
    """The texts, some of them twice, as shards; and an overlap on purpose: validation begins as a training text."""
    folder = shutil.copytree(texts, tmp_path_factory.mktemp("inspected") / "texts")
    for path in sorted(folder.iterdir())[:30]:
        shutil.copy(path, folder / f"z{path.name}")
    for path in sorted(folder.iterdir())[::7]:
        path.write_text(path.read_text(encoding="utf-8") + text(10_000), encoding="utf-8")
    out = folder.parent / "out"
    prepare([folder], out, bpe, Wanted(held_out=0.2, select=0.1), lambda line: None)
    return out


@pytest.mark.parametrize("part", [1000, 2**22])
def test_the_facts_are_those_of_a_slow_count_over_texts(prepared, bpe, monkeypatch, part):
    monkeypatch.setattr(inspection, "PART", part)
    source = open_folder(prepared)
    found = inspect(source, bpe, 10**9)
    rows = [json.loads(line) for line in (prepared / "documents.jsonl").read_text().splitlines()]
    texts = {}
    for name in ("train", "select", "held_out"):
        stream = getattr(source, name)
        own = [(start, tokens, size) for each, start, tokens, size, _ in rows if each == name]
        texts[name] = [bpe.decode(stream.slice(start, tokens).tolist()).decode() for start, tokens, _ in own]
        facts = found.streams[name]
        assert (facts.tokens, facts.of, facts.documents) == (len(stream), len(stream), len(own))
        assert facts.bytes == sum(size for _, _, size in own)
        assert facts.lengths["shortest"] == min(tokens - 1 for _, tokens, _ in own)
        assert facts.lengths["longest"] == max(tokens - 1 for _, tokens, _ in own)
        assert sum(count for _, _, count in facts.bars) == len(own)
        assert facts.repeated == len(own) - len(set(texts[name]))
    assert found.streams["train"].repeated > 0
    trained = {run for each in texts["train"] for run in runs(each, 13)}
    held = [run for each in texts["held_out"] for run in runs(each, 13)]
    assert found.overlap["held_out"].runs == len(held)
    assert found.overlap["held_out"].seen == sum(run in trained for run in held) > 0
    assert found.overlap["held_out"].documents == sum(each in set(texts["train"]) for each in texts["held_out"])
    counts = Counter(id_ for id_ in source.train.slice(0, len(source.train)).tolist() if id_ != bpe.separator)
    whole = sum(counts.values())
    assert found.used_ids == len(counts)
    assert [share for _, _, share in found.common] == [n / whole for _, n in counts.most_common(24)]
    assert dict(found.ranks)[1] == counts.most_common(1)[0][1] / whole


def test_a_long_stream_is_looked_at_from_its_beginning(prepared, bpe):
    found = inspect(open_folder(prepared), bpe, 500)
    assert found.streams["train"].tokens <= 501 < found.streams["train"].of


def test_bytes_of_a_source_without_notes_are_looked_at_too(texts, tmp_path):
    prepare([texts], tmp_path / "out", Bytes(), Wanted(held_out=0.1, select=0.1), lambda line: None)
    found = inspect(open_folder(tmp_path / "out"), Bytes(), 10**9)
    assert sum(each.bytes for each in found.streams.values()) == sum(map(len, everything(texts)))


def test_the_page_holds_every_table_and_both_pictures(prepared, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["data", "inspect", str(prepared), "--html", str(page)]) == 0
    said, written = capsys.readouterr().out, page.read_text(encoding="utf-8")
    assert "bytes per token" in said
    pictures = re.findall(r"<svg.*?</svg>", written, re.S)
    assert len(pictures) == 2
    for each in pictures:
        ElementTree.fromstring(each)
    for title in ("Streams", "What evaluation shares", "Tokens per document", "The most common tokens"):
        assert title in written
    assert main(["data", "inspect", str(prepared), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["streams"]["train"]["documents"] > 0


def test_a_tokenizer_that_did_not_make_the_shards_is_refused(prepared, tmp_path, capsys):
    assert main(["data", "inspect", str(prepared), "--tokenizer", "bytes"]) == 2
    assert "is not the one that the shards" in capsys.readouterr().err
    copy = shutil.copytree(prepared, tmp_path / "copy")
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert main(["data", "inspect", str(copy)]) == 2
    assert "is not the one" in capsys.readouterr().err


def test_a_token_of_spaces_can_be_seen(prepared, bpe):
    found = inspect(open_folder(prepared), bpe, 10**9)
    found.common[:] = [(7, "    ", 0.5), (8, "\n", 0.25)]
    assert [row[1] for row in pages.common(found).rows] == ["'␣␣␣␣'", "'\\n'"]  # browsers draw four spaces as one
    assert "400 ids occur in training; ␣ is a space</caption>" in html(pages.page("x", found))


@pytest.mark.parametrize("bars", [4, 16, 17, 20])
def test_numbers_have_room_where_narrow_screens_draw_them_large(prepared, bpe, bars):
    found = inspect(open_folder(prepared), bpe, 10**9)
    bars = [(2**power, 2 ** (power + 1), 2000) for power in range(bars)]
    lengths = pages.lengths_picture(dataclasses.replace(found.streams["train"], bars=bars)).drawing
    ranks = pages.ranks_picture(dataclasses.replace(found, ranks=[(1, 0.1), (1000, 1e-8)])).drawing
    for drawing in (lengths, ranks):
        ticks = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="tick"(?: text-anchor="(\w+)")?>([^<]*)<', drawing)
        shares = {"": 0, "middle": 0.5, "end": 1}
        boxes = [(float(x) - 13 * len(words) * shares[at], len(words), float(y)) for x, y, at, words in ticks]
        assert all(0 <= left <= pages.WIDTH - 13 * size for left, size, _ in boxes)
        below = sorted(box for box in boxes if box[2] > pages.HEIGHT - pages.BOTTOM + 10)
        assert len(below) > 3
        assert all(left + 13 * size <= after for (left, size, _), (after, _, _) in itertools.pairwise(below))


def test_the_last_rank_is_not_cut_off_by_the_edge(prepared, bpe):
    found = inspect(open_folder(prepared), bpe, 10**9)
    drawn = pages.ranks_picture(dataclasses.replace(found, ranks=[(1, 0.1), (1000, 1e-6)])).drawing
    assert re.search(r'text-anchor="end"[^>]*>1,000<', drawn)
