"""Steps are counted as in a run, and what that costs is told as a share of the run."""

from benchmarks import counting_cost
from coregpt.contract.config import ModelShape


def test_a_tiny_run_is_told_by_its_parts() -> None:
    shape = ModelShape(dim=16, depth=1, heads=2, context=32)
    changes = {"model": shape, "tokens": 64 * 30, "batch_tokens": 64, "eval_tokens": 64, "precision": "fp32"}
    config = counting_cost.runs()["GPT with Muon"].model_copy(update=changes)
    found = counting_cost.measure(config, rounds=3)
    assert found["steps"] == 30
    assert found["step_ms"]["counted"] > found["step_ms"]["plain"] > 0
    assert 0 < found["step_ms"]["asked"] < found["step_ms"]["plain"]
    assert found["share"] > 0
    assert found["plan_ms"] > 0
    assert "| tiny | 30 |" in "\n".join(counting_cost.page({"tiny": found}))
