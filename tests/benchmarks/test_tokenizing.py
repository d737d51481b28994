"""Both sides of the benchmark do the same work."""

from pathlib import Path

from benchmarks import tokenizing
from coregpt.engine.data import open_folder
from tests.text.conftest import text


def test_the_library_sees_the_tokens_that_shards_hold(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").write_text(text(number), encoding="utf-8")
    found = tokenizing.measure([folder], tmp_path, rounds=1, vocab=300)
    assert found.size == sum(path.stat().st_size for path in folder.iterdir())
    assert len(found.shares) == len(found.bytes_speed) == 1
    assert min(*found.shares, *found.bytes_speed) > 0
    source = open_folder(tmp_path / "out")  # the last one is of bytes
    assert len(source.train) + len(source.select) + len(source.held_out) == found.size + 200
    assert any("Wanted: 0.9" in line for line in tokenizing.page(found))
