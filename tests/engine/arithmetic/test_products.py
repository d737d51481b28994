"""fp32 products of evaluation: oneDNN where it is faster, the same numbers to rounding, and nothing else touched."""

import contextlib
import functools

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from coregpt.engine.arithmetic import platform
from coregpt.engine.arithmetic.compiling import prepare
from coregpt.engine.arithmetic.products import fast_products
from coregpt.engine.training.evaluate import evaluate

CPU = torch.device("cpu")
wide = pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="oneDNN is no faster here")


@pytest.fixture(autouse=True)
def amd(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN is taken on AMD's processors; it computes the same on others."""
    monkeypatch.setattr(platform, "is_amd", lambda: True)


def test_where_intel_made_the_processor_its_own_library_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "is_amd", lambda: False)
    with Calls() as calls, torch.no_grad(), fast_products(CPU):
        F.linear(random(4, 8), random(6, 8))
    assert "mkldnn::_linear_pointwise" not in calls.names


class Calls(TorchDispatchMode):
    """The operators that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "x",
    [random(0, 7), random(1, 7), random(3, 5, 7), random(2, 7, 4).transpose(1, 2), random(7)],
    ids=["no row", "row", "rows", "strided", "vector"],
)
def test_a_product_is_that_of_float64_to_rounding(x: torch.Tensor, bias: bool) -> None:
    for weight in (random(9, 7), random(7, 9).T, random(18, 7)[::2], random(1, 7)):
        added = random(len(weight)) if bias else None
        with torch.no_grad(), fast_products(CPU):
            got = F.linear(x, weight, added)
        wanted = x.double() @ weight.double().T + (0 if added is None else added.double())
        torch.testing.assert_close(got.double(), wanted, rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_are_left_alone(dtype: torch.dtype) -> None:
    x, weight = random(4, 8, dtype=dtype), random(6, 8, dtype=dtype)
    with torch.no_grad(), fast_products(CPU):
        got = F.linear(x, weight)
    assert got.dtype == dtype
    assert torch.equal(got, F.linear(x, weight))


def test_not_a_number_stays_one() -> None:
    x = random(4, 8)
    x[2, 3] = torch.nan
    with torch.no_grad(), fast_products(CPU):
        got = F.linear(x, random(6, 8))
    assert got.isnan().any(1).tolist() == [False, False, True, False]


@wide
def test_every_projection_of_an_evaluation_is_fast_and_the_loss_the_same(build, batch) -> None:
    run = build(shape={"init_std": 0.3})
    x, y = batch(6)
    with Calls() as calls:
        got = evaluate(run.model, run.model.logits, x, y, run.dials.values, rows=6)
    projections = [info for info in run.assembly.infos.values() if info.role in ("matrix", "head")]
    assert calls.names.count("mkldnn::_linear_pointwise") == len(projections)
    assert "aten::mm" not in calls.names
    with torch.no_grad():
        logits = run.model.logits(x, run.dials.values)
    plain = F.cross_entropy(logits.double().flatten(0, 1), y.flatten())
    assert got.item() == pytest.approx(plain.item(), abs=1e-6)


def test_a_compiled_run_is_evaluated_by_the_arithmetic_of_an_uncompiled_one(
    build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: functools.partial(function))
    run = build(config={"compile": True})
    made = prepare(run, lambda step: 4, contextlib.nullcontext)
    assert made.note is None
    assert isinstance(made.forward, functools.partial)
    assert made.logits == run.model.logits
