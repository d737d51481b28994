"""The tests marked `gpu` need one CUDA device. With COREGPT_GPU_DRY set they go as far as a CPU does: without compiled
kernels, and without FlexAttention's backward pass, which CPUs do not have."""

import functools

import pytest
import torch

from tests.gpu.tiny import DRY


@pytest.fixture(scope="session")
def device() -> str:
    if DRY:
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip("no usable GPU here")
    return "cuda"


@pytest.fixture(scope="session")
def dry() -> bool:
    return DRY


@pytest.fixture(autouse=True)
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run traces graphs and lets no compiler make code of them."""
    torch._dynamo.reset()
    if DRY:
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
