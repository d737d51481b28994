"""The loss that counts is the judge's, whatever a technique does to the process that trains it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from coregpt.lab.execute import judge
from coregpt.lab.execute.worker import FAILED, main
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STUDY
from tests.lab.execute import test_worker
from tests.lab.execute.cheats import cheat

folder_of = test_worker.folder_of
SHORT = {"tokens": 64 * 12, "evals": 2}


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    yield from test_worker._signals.__wrapped__()  # type: ignore[attr-defined]


@pytest.fixture
def cheating(folder_of: Callable[..., RunFolder], tmp_path: Path, shards: Path) -> Callable[[str], RunFolder]:
    """The folder of a run with a technique that cheats in some way."""

    def make(kind: str) -> RunFolder:
        (tmp_path / "cheat.py").write_text(cheat(kind, eval_tokens=256, data=shards))
        base = {**STUDY["base"], **SHORT}
        return folder_of(base=base, arms={"gelu": {}, "cheat": {"plugins": {"cheat": {}}}}, plugin_files=["cheat.py"])

    return make


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("imported", "torch.nn.functional.cross_entropy is another function"),
        ("evaluating", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("rows", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("logits", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("precision", "the precision of fp32 products is medium, not highest"),
        ("threads", "the number of threads is 2, not 1"),
        ("held_out", r"opened .*/val.bin while it was trained"),
        ("leak check", "coregpt.lab.execute.judge.refuse_leaks is another function"),
    ],
)
def test_a_cheat_fails_its_run_and_is_named(cheating: Callable[[str], RunFolder], kind: str, told: str) -> None:
    folder = cheating(kind)
    inner, precision = torch.nn.functional.cross_entropy, torch.get_float32_matmul_precision()
    leaks = judge.refuse_leaks
    try:
        assert main([str(folder.path)]) == FAILED
    finally:
        torch.nn.functional.cross_entropy = inner
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(1)
        judge.refuse_leaks = leaks
    error = folder.error()
    assert error is not None
    assert re.search(told, error["message"]), error["message"]
    assert error["must_repeat"]
    assert folder.result() is None
