"""The memory estimate against the resident memory of a process that really trained, and against sums by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.build import build
from coregpt.engine.inputs import stored_file
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.planning.memory import estimate, fitting_rows, room
from coregpt.lab.study.registry import Catalogue
from tests import sampled

WIDE = ModelShape(vocab=1024, dim=256, depth=4, heads=4, context=256)

TRAINED = """
import json, sys
import torch
from coregpt.contract.config import RunConfig
from coregpt.engine.build import build
from coregpt.engine.arithmetic.platform import peak_memory, set_up_cpu
from coregpt.lab.study.registry import Catalogue

set_up_cpu()  # the heap that a run has
config = RunConfig.model_validate_json(sys.argv[1])
run = build(config, Catalogue().instances(config.plugins), separator=0)
tokens = torch.randint(0, 256, (config.batch_tokens // config.model.context, config.model.context))
for _ in range(2):  # from the second on all is there at once
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
        loss, _ = run.model(tokens, tokens, run.dials.values)
    loss.backward()
    for companion in run.companions:
        companion.after_update(run.timeline.clock(0))
    run.optimizer.step(1.0, run.dials.values)
print(json.dumps(peak_memory(torch.device("cpu"))))
"""


def run_config(**changes: object) -> RunConfig:
    return RunConfig(**{"model": WIDE, "batch_tokens": 256 * 16, "eval_tokens": 256, "tokens": 10**6, **changes})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child's peak includes its parent's")
@pytest.mark.parametrize(
    "changes",
    [
        {"plugins": {"rope": {}}},
        pytest.param({"plugins": {"rope": {}, "swiglu": {}, "muon": {}}}, marks=pytest.mark.slow),
        {"plugins": {"ngpt": {}}, "batch_tokens": 256 * 4},
        pytest.param({"plugins": {"window_warmup": {}, "ema": {}}, "precision": "bf16"}, marks=pytest.mark.slow),
    ],
)
def test_the_estimate_is_within_30_percent_of_a_process_that_trained(changes, catalogue: Catalogue) -> None:
    config = run_config(**changes)
    command = [sys.executable, "-c", TRAINED, config.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    measured = json.loads(done.stdout)
    assert estimate(config, catalogue.instances(config.plugins)).peak == pytest.approx(measured, rel=0.3)


def test_weights_gradients_and_states_are_the_sums_by_hand(catalogue: Catalogue) -> None:
    config = run_config(plugins={"rope": {}})
    found = estimate(config, catalogue.instances(config.plugins))
    numbers = 4 * (4 * 256**2 + 2 * 256 * 1024) + 2 * 1024 * 256
    assert found.gradients == 4 * numbers
    assert found.weights == 4 * (numbers + 4 * 2 * 256 * 64)  # and the tables of rope: sine and cosine of each layer
    assert found.optimizer == 8 * numbers  # AdamW: two moments
    assert estimate(config, catalogue.instances(config.plugins), ranks=2).rows == 8


def test_activations_grow_with_rows_and_micro_rows_bound_them(catalogue: Catalogue) -> None:
    plugins = catalogue.instances({"rope": {}})
    whole = estimate(run_config(), plugins)
    quarter = estimate(run_config(micro_rows=4), plugins)
    assert (whole.rows, quarter.rows) == (16, 4)
    assert quarter.activations == pytest.approx(whole.activations / 4, rel=0.05)
    assert fitting_rows(whole, whole.peak) == 16
    assert fitting_rows(whole, quarter.peak + (1 << 20)) == 4
    assert fitting_rows(whole, whole.lasting) is None


def test_the_largest_stage_is_what_must_fit(catalogue: Catalogue) -> None:
    growing = {"batch_schedule": {"batch": [0.5, 1, 2], "lr": [1, 1, 1]}}
    plain = estimate(run_config(plugins={"rope": {}}), catalogue.instances({"rope": {}}))
    staged = estimate(run_config(plugins=growing), catalogue.instances({"rope": {}, **growing}))
    assert staged.rows == 2 * plain.rows
    assert staged.activations == pytest.approx(2 * plain.activations, rel=0.05)
    shorter = {"rope": {}, "seq_len_schedule": {"length": [1.0, 0.3]}}
    assert estimate(run_config(plugins=shorter), catalogue.instances(shorter)).activations == plain.activations


@sampled.halves("memory", 3)
def test_every_technique_can_be_estimated(chosen: list[str], catalogue: Catalogue) -> None:
    for name in chosen:
        case = LawCase(catalogue, name)
        config = case.config()
        inputs = {key: stored_file(Path(source.file)) for key, source in config.inputs.items()}
        assert estimate(config, catalogue.instances(config.plugins), inputs).activations > 0, name


def test_the_machine_has_room() -> None:
    assert room("cpu") > 1 << 30


def test_logits_of_a_large_vocabulary_are_not_kept(catalogue: Catalogue) -> None:
    """64 rows of 1,024 tokens: their logits alone would take 13 GB in fp32, several times."""
    shape = ModelShape(vocab=50304, dim=64, depth=1, heads=1, context=1024)
    common = {"model": shape, "eval_tokens": 1024, "batch_tokens": 64 * 1024, "tokens": 10**6, "device": "cuda"}
    found = estimate(run_config(**common), [])
    logits = 4 * 64 * 1024 * 50304
    assert found.activations + found.working < logits / 2
    kept = estimate(run_config(**common, plugins={"z_loss": {}}), catalogue.instances({"z_loss": {}}))
    assert kept.activations > 2 * logits


@pytest.mark.parametrize(
    "plugins",
    [{}, {"gqa": {"kv_heads": 2}}, {"window_warmup": {}}, {"alibi": {}}, {"qk_clip": {}, "muon": {}}],
    ids=lambda plugins: " ".join(plugins) or "plain",
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_scores_are_kept_on_a_gpu(catalogue: Catalogue, plugins: dict, precision: str) -> None:
    """Twice the tokens in a row, half the rows: as many activations, under document masks and score rules too."""

    def activations(context: int, device: str) -> int:
        shape = ModelShape(vocab=256, dim=64, depth=2, heads=4, context=context)
        settings = {"data": {"source": "tiny", "document_mask": True}, "precision": precision, "device": device}
        config = run_config(model=shape, plugins=plugins, eval_tokens=context, batch_tokens=8192, **settings)
        return estimate(config, catalogue.instances(plugins)).activations

    assert activations(8192, "cuda") == pytest.approx(activations(1024, "cuda"), rel=0.05)
    assert activations(8192, "cpu") > 3 * activations(8192, "cuda")


def test_a_layer_on_a_gpu_keeps_what_its_kernels_read(catalogue: Catalogue) -> None:
    """By hand, in fp32, per token: what each operator reads again, and attention its output and a sum for each head."""
    shape = ModelShape(vocab=256, dim=64, depth=1, heads=4, context=512)
    config = run_config(model=shape, eval_tokens=512, batch_tokens=1024, device="cuda")
    one = estimate(config, []).activations
    two = estimate(config.model_copy(update={"model": shape.model_copy(update={"depth": 2})}), []).activations
    attention = 64 + 1 + 3 * 64 + 64 + 4  # normed rows and a factor for each, q, k, v, output, a sum for each head
    mlp = 64 + 1 + 2 * 256  # the same, before and after GELU
    assert (two - one) / 1024 / 4 == attention + mlp


def test_an_estimate_leaves_nothing_that_a_step_would_read(catalogue: Catalogue) -> None:
    """Masks of attention are kept from call to call: none may be made of fake numbers."""
    shape = ModelShape(vocab=97, dim=48, depth=1, heads=3, context=56)
    config = RunConfig(model=shape, tokens=112, batch_tokens=112, eval_tokens=56, precision="bf16", device="cpu")
    estimate(config, [])
    run = build(config, [], separator=0)
    tokens = torch.zeros(2, 56, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = run.model(tokens, tokens, run.dials.values)
    loss.backward()
    assert type(loss) is torch.Tensor
    assert estimate(config, []).peak > 0  # nor the other way round
