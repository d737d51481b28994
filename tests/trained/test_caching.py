"""Kept keys and values against the whole row, which is the reference."""

import pytest
import torch

from coregpt.trained.caching import Cached, cannot
from coregpt.trained.sampling import Drawing, generate, reader, whole_row

from .test_gpt2 import trained

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


@pytest.mark.parametrize(
    "plugins", [{"rope": {}}, {"layernorm": {}}, {"softcap": {}}, {"sliding_window": {}}, {"smear": {}}], ids=str
)
def test_a_technique_in_the_model_takes_the_reference(plugins):
    model = trained(plugins, tied=False)
    assert cannot(model)
    assert not isinstance(reader(model), Cached)
    found = [list(generate(model, [1], 61, 9, Drawing(0), cached=cached)) for cached in (True, False)]
    assert found[0] == found[1]


def test_what_only_trains_is_no_part_of_it():
    assert cannot(trained({"cosine": {}, "lion": {}}, tied=False)) == ""
    assert cannot(PLAIN) == ""
    assert isinstance(reader(PLAIN), Cached)
    assert not isinstance(reader(PLAIN, cached=False), Cached)
