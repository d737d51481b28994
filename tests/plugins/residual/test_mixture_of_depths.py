import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.lab.laws.law_case import LawCase, LawError
from coregpt.lab.laws.seeing import sees_no_future
from coregpt.lab.study.registry import Catalogue
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake


def slow_routes(scores, k, top):
    """Places that pass, one token after the other."""
    if top:
        return sorted(sorted(range(len(scores)), key=lambda t: -float(scores[t]))[:k])
    chosen = []
    for t, score in enumerate(scores):
        if float(score) > 0 and len(chosen) < k:
            chosen.append(t)
    return chosen


def slow_mixture(capacity, every, predict, top=False):
    class SlowMixture(SlowGPT):
        def block(self, h, tokens, layer):
            h = self.connect(h, self.attention(self.norm(h), tokens, layer), layer, "attention")
            return self.connect(h, self.mlp(self.norm(h), layer), layer, "mlp")

        def row(self, tokens):
            h, self.predicted = self.embed(tokens), []
            k = math.ceil(capacity * len(tokens))
            for layer in range(self.shape.depth):
                if (layer + 1) % every:
                    h = self.block(h, tokens, layer)
                    continue
                scores = h @ self.p[f"stack.routed.{layer}.router.weight"][0]
                chosen = slow_routes(scores, k, top)
                highest = slow_routes(scores, k, True)
                for t, score in enumerate(scores):
                    p = 1 / (1 + torch.exp(-score))
                    self.predicted.append(-torch.log(p if t in highest else 1 - p))
                if chosen:
                    passed = self.block(h[chosen], [tokens[t] for t in chosen], layer)
                    rows = list(h)
                    for place, t in enumerate(chosen):
                        rows[t] = h[t] + scores[t] * (passed[place] - h[t])
                    h = torch.stack(rows)
            return self.norm(h) @ self.p["head.out.weight"].T

        def loss(self, tokens, targets):
            main = super().loss(tokens, targets)
            predicted = []
            for row in tokens.tolist():
                self.row(row)
                predicted += self.predicted
            return main + predict * sum(predicted) / tokens.numel()  # the mean of each block, all blocks added

    return SlowMixture


@pytest.mark.parametrize(("capacity", "every", "predict"), [(0.5, 2, 0.1), (0.3, 1, 0.0), (1.0, 3, 0.01)])
def test_the_whole_model_equals_the_definition(build, capacity, every, predict):
    run = build(mixture_of_depths={"capacity": capacity, "every": every, "predict": predict})
    assert_equals_slow_model(run, slow_mixture(capacity, every, predict))


def test_published_training_lets_the_highest_pass_and_evaluation_does_not(build, batch):
    options = {"capacity": 0.5, "every": 2, "predict": 0.0, "route": "top_k"}
    run = build(mixture_of_depths=options)
    tokens, _ = batch(rows=2, length=7)
    shake(run)
    for training, top in ((True, True), (False, False)):
        run.model.train(training)
        found = run.model.logits(tokens, run.dials.values).double()
        torch.testing.assert_close(found, slow_mixture(0.5, 2, 0.0, top)(run).logits(tokens), rtol=1e-4, atol=1e-4)


def test_the_law_passes_the_threshold_and_catches_the_highest_of_a_row():
    catalogue = Catalogue()
    sees_no_future(LawCase(catalogue, "mixture_of_depths", {"capacity": 0.5}))
    with pytest.raises(LawError, match=r"moved by .* when later tokens changed"):
        sees_no_future(LawCase(catalogue, "mixture_of_depths", {"capacity": 0.5, "route": "top_k"}))


def test_a_token_that_goes_around_costs_nothing_and_is_left_as_it_is(build, batch):
    """No score above zero: the routed blocks are not there."""
    run, plain = build(mixture_of_depths={"every": 4}), build(shape={"depth": 3})
    with torch.no_grad():
        run.assembly.params["stack.routed.3.router.weight"].zero_()
        for path, value in plain.assembly.params.items():
            value.copy_(run.assembly.params[path])
    tokens, _ = batch()
    assert torch.equal(run.model.logits(tokens, {}), plain.model.logits(tokens, {}))


def test_where_no_block_would_be_routed_it_is_refused(build):
    with pytest.raises(PluginError, match="every 9 blocks one is routed, the model has 4"):
        build(mixture_of_depths={"every": 9})
