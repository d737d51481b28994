"""Kept keys and values against the whole row, which is the reference."""

import dataclasses

import pytest
import torch

from coregpt.engine.build import assemble
from coregpt.engine.inputs import open_inputs
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.study.registry import Catalogue
from coregpt.trained.caching import Cached, cannot
from coregpt.trained.opening import Trained, fill
from coregpt.trained.sampling import Drawing, generate, whole_row
from tests import sampled

from .test_gpt2 import CPU, trained

PLAIN = trained({}, tied=False)
"""Of core's own parts, every weight far from its first value."""


@pytest.mark.parametrize("model", [PLAIN, trained({}, tied=True)], ids=["untied", "tied"])
@pytest.mark.parametrize("prompt", [1, 5, 23])
def test_logits_are_those_of_the_whole_row_at_every_length(model, prompt):
    tokens = torch.randint(0, 61, (24,), generator=torch.Generator().manual_seed(2)).tolist()
    cached, whole = Cached(model), whole_row(model)
    for length in range(prompt, 25):
        assert cached(tokens[:length]).tolist() == pytest.approx(whole(tokens[:length]).tolist(), abs=2e-5)


@pytest.mark.parametrize(
    "how", [Drawing(0), Drawing(1.0, seed=3), Drawing(0.7, top_k=5, seed=4), Drawing(1.3, top_p=0.9)]
)
def test_tokens_are_those_of_the_reference_also_past_the_context(how):
    found = [list(generate(PLAIN, [7, 8], 61, 60, how, cached=cached)) for cached in (True, False)]
    assert found[0] == found[1]


def test_only_new_tokens_go_through_the_model(monkeypatch):
    counts, cached = [], Cached(PLAIN)
    part = PLAIN.made.model.embedding
    hook = part.register_forward_hook(lambda module, given, output: counts.append(given[0].shape[1]))
    try:
        for length in (5, 6, 7, 9):
            cached(list(range(length)))
        cached([9, 9, 9])  # another text: nothing is kept of the first
    finally:
        hook.remove()
    assert counts == [5, 1, 1, 2, 3]
    assert not any(each._forward_pre_hooks for each in PLAIN.made.model.modules())


ALONE = [
    {"rope": {}},
    {"rope": {"truncate": True}},
    {"rope": {"form": "nvidia"}},
    {"nope": {}, "rope": {}},
    {"qk_norm": {}, "rope": {}},
    {"relu2": {}},
    {"swiglu": {}},
    {"rmsnorm_gain": {}},
    {"layernorm": {}},
    {"value_residual": {}},
    {"value_embeddings": {}},
    {"softcap": {}},
    {"gqa": {"kv_heads": 2}},
    {"sliding_window": {"window": 5}},
    {"unet_skips": {}},
    {"embed_skip_x0": {}},
    {"layer_sharing": {}},
    {"ngpt": {}, "rope": {}, "swiglu": {}},
    {"qk_norm": {}, "rope": {}, "relu2": {}, "value_residual": {}, "rmsnorm_gain": {}, "softcap": {}, "unet_skips": {}},
]
"""Techniques whose parts act on each token by itself, or through core's attention."""


@pytest.mark.parametrize("plugins", ALONE, ids=" ".join)
def test_a_technique_that_acts_on_each_token_gives_the_same_with_what_was_kept(plugins):
    model = trained(plugins, tied=False)
    assert cannot(model) == ""
    tokens = torch.randint(0, 61, (24,), generator=torch.Generator().manual_seed(2)).tolist()
    cached, whole = Cached(model), whole_row(model)
    for length in (3, *range(4, 25)):
        assert cached(tokens[:length]).tolist() == pytest.approx(whole(tokens[:length]).tolist(), abs=2e-4)
    found = [list(generate(model, [1, 2], 61, 40, Drawing(1.0, seed=5), cached=cached)) for cached in (True, False)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("plugins", "part"),
    [
        ({"smear": {}}, "embedding (Smeared"),
        ({"bigram_hash_embed": {}}, "looks at other tokens"),
        ({"gated_delta_net": {}}, "looks at other tokens"),
        ({"alibi": {}}, "has its scores changed by rules"),
    ],
    ids=str,
)
def test_a_technique_that_looks_at_other_tokens_is_named(plugins, part):
    assert part in cannot(trained(plugins, tied=False))


@pytest.mark.parametrize("name", sampled.each("caching", 3, Catalogue().names()))
def test_no_technique_gives_other_tokens_with_what_was_kept(name):
    """Whichever is taken: on rows of its own, and not on the one that it was tried on."""
    case = LawCase(Catalogue(), name)
    run = case.run(case.config())
    case.stir(run)
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    run.model.eval()
    model = Trained(name, run.config, run, 0, "", "", None)
    if cannot(model):
        return
    tokens = torch.randint(1, 61, (24,), generator=torch.Generator().manual_seed(7)).tolist()
    cached, whole = Cached(model), model.logits(torch.tensor([tokens]))[0]
    for length in (2, 3, 9, *range(10, 25)):
        gap = (cached(tokens[:length]) - whole[length - 1]).abs().max()
        assert gap < 2e-4 * (1 + whole.abs().max())


def test_documents_hide_each_other_from_what_was_kept():
    model = trained({"rope": {}}, tied=False)
    masked = dataclasses.replace(model, made=_masked(model))
    assert cannot(masked) == ""
    row = [60, 3, 4, 60, 5, 6, 7]
    whole, cached = masked.logits(torch.tensor([row]))[0], Cached(masked)
    assert cached(row[:2]).tolist() == pytest.approx(whole[1].tolist(), abs=2e-4)
    assert cached(row).tolist() == pytest.approx(whole[-1].tolist(), abs=2e-4)
    assert not torch.allclose(model.logits(torch.tensor([row]))[0, -1], whole[-1], atol=1e-3)


def _masked(model):
    data = model.config.data.model_copy(update={"document_mask": True})
    config = model.config.model_copy(update={"data": data})
    made = assemble(config, Catalogue().instances({"rope": {}}), open_inputs({}, {}, CPU, None), CPU, 60)
    fill(made, model.made.assembly.params, {}, "here")
    return made


def test_what_only_trains_is_no_part_of_it():
    assert cannot(trained({"cosine": {}, "lion": {}}, tied=False)) == ""
    assert cannot(PLAIN) == ""


def test_nothing_is_left_in_the_model_by_trying_it():
    model = trained({"smear": {}}, tied=False)
    assert cannot(model)
    assert model.made.model.live.ctx is None
    assert not any(each._forward_pre_hooks or each._forward_hooks for each in model.made.model.modules())
