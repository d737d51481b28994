"""The file of final weights: what evaluation saw, the same bytes for the same run, read without running code."""

import contextlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from coregpt.contract.companion import Companion
from coregpt.contract.errors import RunError
from coregpt.engine.build import Run
from coregpt.engine.weights import read, save

RECORD = {"config": {"seed": 3}}


class Halved(Companion):
    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        head = self.run.assembly.params["head.out.weight"]
        before = head.detach().clone()
        head.data.mul_(0.5)
        yield
        head.data.copy_(before)

    def __init__(self, run: Run):
        self.run = run


def test_what_evaluation_saw_is_saved_and_the_run_is_left_as_it_was(build: Callable[..., Run], tmp_path: Path) -> None:
    run = build()
    run.companions.append(Halved(run))
    last = {path: param.detach().clone() for path, param in run.assembly.params.items()}
    save(tmp_path / "weights.pt", run, RECORD)
    found = read(tmp_path / "weights.pt")
    assert found.record == RECORD
    assert found.params.keys() == last.keys()
    for path, value in found.params.items():
        assert torch.equal(value, last[path] * (0.5 if path == "head.out.weight" else 1))
        assert torch.equal(run.assembly.params[path], last[path])
        assert value.dtype == torch.float32


def test_persistent_buffers_are_saved_and_tables_that_are_recomputed_are_not(
    build: Callable[..., Run], tmp_path: Path
) -> None:
    run = build(rope={})
    assert dict(run.model.named_buffers())
    run.model.register_buffer("seen", torch.arange(3))
    save(tmp_path / "weights.pt", run, {})
    found = read(tmp_path / "weights.pt")
    assert list(found.buffers) == ["seen"]
    assert torch.equal(found.buffers["seen"], torch.arange(3))


def test_the_same_weights_are_the_same_bytes_and_no_larger_than_they_are(
    build: Callable[..., Run], tmp_path: Path
) -> None:
    """Parameters are views of stacks; a stack saved with each of its rows would be many times as much."""
    for name in ("a.pt", "b.pt"):
        save(tmp_path / name, build(), RECORD)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    run = build()
    own = sum(param.numel() * 4 for param in run.assembly.params.values())
    assert own < (tmp_path / "a.pt").stat().st_size < own + 512 * (len(run.assembly.params) + 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_a_plain_mapping_of_tensors_is_read(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    found = read(tmp_path / "w.pt")
    assert list(found.params) == ["w"]
    assert not found.record


@pytest.mark.parametrize(
    ("content", "message"),
    [([torch.ones(1)], "found list"), ({"w": 3}, "a mapping with 'w': int"), ({}, "an empty one")],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(RunError, match=message):
        read(tmp_path / "x.pt")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    for name, dump in (("a.pt", lambda path: torch.save({"w": Trap()}, path)), ("b.pt", _pickled(Trap()))):
        dump(tmp_path / name)
        with pytest.raises(RunError, match="expected a file of weights"):
            read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def _pickled(trap: object) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(trap))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such file"):
        read(tmp_path / "none.pt")


def test_one_bit_that_changed_is_told(build: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save(path, build(), RECORD)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # inside of the numbers
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"the file is damaged \(checksum of "):
        read(path)
