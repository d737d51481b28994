import math

import pytest
import torch

from coregpt.contract.config import InputSource, ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.engine import weights
from coregpt.engine.build import build as engine_build
from coregpt.testing import TINY
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


@pytest.fixture
def taught(build, tmp_path):
    """`taught(share=..)`: a run with a teacher of another depth, and the teacher."""

    def make(shape=None, **options):
        model = ModelShape(**{**TINY, "depth": 2, **(shape or {})})
        sizes = {"batch_tokens": model.context, "eval_tokens": model.context, "tokens": model.context}
        config = RunConfig(model=model, seed=7, **sizes)
        teacher = engine_build(config, [])
        with torch.no_grad():
            for param in teacher.assembly.params.values():
                param.mul_(8)  # far from uniform
        weights.save(tmp_path / "teacher.pt", teacher, {"config": config.model_dump(mode="json")})
        given = {"teacher": InputSource(file=str(tmp_path / "teacher.pt"))}
        return build(distillation=options, config={"inputs": given}), teacher

    return make


def slow_distilled(teacher, share, temperature):
    """Definition, token by token: both distributions from exponentials, the divergence from their ratio."""

    class SlowDistilled(SlowGPT):
        def loss(self, tokens, targets):
            ours, theirs = self.logits(tokens), SlowGPT(teacher).logits(tokens).detach()
            total = torch.zeros((), dtype=torch.float64)
            for b in range(tokens.shape[0]):
                for t in range(tokens.shape[1]):
                    p, q = (torch.exp(each[b, t] / temperature) for each in (theirs, ours))
                    p, q = p / p.sum(), q / q.sum()
                    divergence = sum(p[v] * torch.log(p[v] / q[v]) for v in range(len(p)))
                    chance = torch.exp(ours[b, t]) / torch.exp(ours[b, t]).sum()
                    hard = -torch.log(chance[targets[b, t]])
                    total = total + (1 - share) * hard + share * temperature**2 * divergence
            return total / tokens.numel()

    return SlowDistilled


@pytest.mark.parametrize(("share", "temperature"), [(0.5, 2.0), (0.9, 1.0), (1.0, 4.0)])
def test_the_whole_model_equals_the_definition(taught, share, temperature):
    run, teacher = taught(share=share, temperature=temperature)
    assert_equals_slow_model(run, slow_distilled(teacher, share, temperature))


def test_two_ids_by_hand(taught):
    """Teacher (3/4, 1/4), student (1/2, 1/2), T = 1: KL = 3/4 ln 3/2 + 1/4 ln 1/2."""
    run, _ = taught(share=1.0, temperature=1.0)
    run.model.loss.teacher = type("T", (), {"logits": lambda self, tokens: torch.tensor([[[math.log(3.0), 0.0]]])})()
    ctx = type("C", (), {"tokens": torch.zeros(1, 1, dtype=torch.long), "metrics": {}, "dials": {}})()
    found = run.model.loss(torch.zeros(1, 1, 2), torch.zeros(1, 1, dtype=torch.long), ctx)
    assert float(found) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert float(ctx.metrics["distilled"]) == pytest.approx(float(found))


def test_a_student_that_equals_its_teacher_has_no_divergence_and_no_gradient_of_it(taught, build, tmp_path, batch):
    run, teacher = taught({"depth": TINY["depth"]}, share=1.0)
    with torch.no_grad():
        for path, param in run.assembly.params.items():
            param.copy_(teacher.assembly.params[path])
    loss, _ = run.model(*batch(), run.dials.values)
    loss.backward()
    assert abs(float(loss.detach())) < 1e-5
    assert max(float(param.grad.abs().max()) for param in run.assembly.params.values()) < 1e-5


def test_a_teacher_of_other_tokens_is_refused(taught):
    for shape, message in (({"vocab": 64}, "vocabulary is 64, the student's 61"), ({"context": 8}, "context is 8")):
        with pytest.raises(PluginError, match=message):
            taught(shape)
