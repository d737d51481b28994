import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import TokenStream, read_shard, write_shard


def header(*numbers: int) -> bytes:
    """An independent statement of the header layout."""
    return b"".join(number.to_bytes(4, "little", signed=True) for number in [*numbers, *[0] * (256 - len(numbers))])


def test_a_written_shard_has_the_published_layout(tmp_path):
    write_shard(tmp_path / "a.bin", [0, 1, 258, 65535])
    expected = header(20240520, 1, 4) + bytes([0, 0, 1, 0, 2, 1, 255, 255])
    assert (tmp_path / "a.bin").read_bytes() == expected


def test_a_wide_shard_has_the_layout_of_llm_c_for_llama_3(tmp_path):
    write_shard(tmp_path / "a.bin", [1, 65536, 128255], wide=True)
    expected = header(20240801, 7, 3) + bytes([1, 0, 0, 0, 0, 0, 1, 0, 255, 244, 1, 0])
    assert (tmp_path / "a.bin").read_bytes() == expected
    assert read_shard(tmp_path / "a.bin").tolist() == [1, 65536, 128255]


def test_narrow_and_wide_shards_are_one_stream(tmp_path):
    write_shard(tmp_path / "a.bin", [1, 2])
    write_shard(tmp_path / "b.bin", [70000], wide=True)
    stream = TokenStream([read_shard(tmp_path / "a.bin"), read_shard(tmp_path / "b.bin")])
    assert stream.slice(0, 3).tolist() == [1, 2, 70000]


def test_a_shard_reads_back_as_a_read_only_memory_map(tmp_path):
    tokens = np.arange(1000) * 65
    write_shard(tmp_path / "a.bin", tokens)
    read = read_shard(tmp_path / "a.bin")
    assert isinstance(read, np.memmap)
    assert read.tolist() == tokens.tolist()
    assert not read.flags.writeable


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds 0 bytes"),
        (header(20240520, 1, 2)[:1000], "holds 1000 bytes"),
        (header(7, 1, 2) + bytes(4), "begins with 7"),
        (header(20240520, 2, 2) + bytes(4), "format version 2"),
        (header(20240520, 1, 0), "announces 0 tokens"),
        (header(20240520, 1, -3), "announces -3 tokens"),
        (header(20240520, 1, 2) + bytes(3), "is truncated"),
        (header(20240520, 1, 2) + bytes(5), "is too long"),
        (header(20240520, 1, 2) + bytes(8), "header for uint16 tokens and the size of uint32"),
        (header(20240801, 7, 2) + bytes(4), "header for uint32 tokens and the size of uint16"),
        (header(20240801, 1, 2) + bytes(8), r"version 7 \(uint32"),
        (b"version https://git-lfs.github.com/spec/v1\n" + bytes(2000), "magic number 20240520"),
    ],
)
def test_a_damaged_shard_is_refused_by_name_with_what_was_found(tmp_path, content, complaint):
    path = tmp_path / "fineweb_train_000001.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as error:
        read_shard(path)
    assert str(path) in str(error.value)
    assert "coregpt data fetch fineweb10B" in str(error.value)


def test_a_missing_shard_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"no_such\.bin cannot be read"):
        read_shard(tmp_path / "no_such.bin")


@pytest.mark.parametrize("tokens", [[], [-1], [65536], [0.5], [[1, 2]], ["a"]])
def test_tokens_a_shard_cannot_hold_are_refused_before_any_file_appears(tmp_path, tokens):
    with pytest.raises(DataError, match=r"a\.bin"):
        write_shard(tmp_path / "a.bin", tokens)
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_shard_and_no_litter(tmp_path, monkeypatch):
    write_shard(tmp_path / "a.bin", [1, 2, 3])

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_shard(tmp_path / "a.bin", [9])
    assert os.listdir(tmp_path) == ["a.bin"]
    assert read_shard(tmp_path / "a.bin").tolist() == [1, 2, 3]


def shards_of(folder: Path, tokens: np.ndarray, sizes: list[int]) -> TokenStream:
    bounds = np.cumsum([0, *sizes])
    for i, (start, end) in enumerate(itertools.pairwise(bounds)):
        write_shard(folder / f"{i}.bin", tokens[start:end])
    return TokenStream([read_shard(folder / f"{i}.bin") for i in range(len(sizes))])


def test_every_slice_across_shard_borders_equals_the_concatenation(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 65536, 23)
    stream = shards_of(tmp_path, tokens, [7, 1, 2, 13])
    assert len(stream) == 23
    assert stream.shards == 4
    for start in range(24):
        for length in range(24 - start):
            part = stream.slice(start, length)
            assert part.dtype == np.int64
            assert part.tolist() == tokens[start : start + length].tolist()


def test_every_part_is_the_stream_of_those_tokens(tmp_path):
    tokens = np.arange(20)
    stream = shards_of(tmp_path, tokens, [7, 1, 8, 4])
    for start in range(21):
        for stop in range(start, 21):
            part = stream.part(start, stop)
            assert part.slice(0, len(part)).tolist() == tokens[start:stop].tolist()
            assert (
                part.part(0, len(part) // 2).slice(0, len(part) // 2).tolist()
                == tokens[start:stop][: len(part) // 2].tolist()
            )


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 24), (23, 1), (3, -1)])
def test_a_slice_outside_the_stream_is_refused(tmp_path, start, length):
    stream = shards_of(tmp_path, np.arange(23), [20, 3])
    with pytest.raises(DataError, match="a stream of 23 tokens"):
        stream.slice(start, length)


def test_a_stream_opens_more_tokens_than_fit_in_memory(tmp_path):
    path = tmp_path / "big.bin"
    count = 2**31 - 1  # the largest shard the format allows, as a sparse file
    with open(path, "wb") as file:
        file.write(header(20240520, 1, count))
        file.truncate(1024 + 2 * count)
        file.seek(1024 + 2 * (count - 2))
        file.write(bytes([1, 0, 2, 0]))
    stream = TokenStream([read_shard(path)] * 8)
    assert len(stream) == 8 * count
    assert stream.slice(5 * count - 3, 5).tolist() == [0, 1, 2, 0, 0]
