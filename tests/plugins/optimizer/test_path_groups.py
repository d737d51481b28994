import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError


def settings(run):
    """By path: learning rate, weight decay and the rule of every parameter."""
    return {
        path: (float(stack.lr[i]), float(stack.weight_decay[i]), stack.rule)
        for stack in run.optimizer.stacks
        for i, path in enumerate(stack.paths)
    }


def test_the_longest_place_counts_alone_and_all_others_stay(build):
    places = {
        "mlp": {"lr": 3.0},
        "mlp.down": {"lr": 4.0, "weight_decay": 0.5},
        "blocks.1.mlp.down": {"weight_decay": 0},
    }
    run, plain = build(path_groups={"places": places}), build()
    found, before = settings(run), settings(plain)
    for path, (lr, decay, _) in found.items():
        factors = (1.0, 1.0)
        if path.startswith("blocks.1.mlp.down."):
            factors = (1.0, 0.0)
        elif ".mlp.down." in path:
            factors = (4.0, 0.5)
        elif ".mlp." in path:
            factors = (3.0, 1.0)
        assert (lr, decay) == pytest.approx((before[path][0] * factors[0], before[path][1] * factors[1])), path


def test_betas_and_epsilon_are_of_adamw(build):
    run = build(rmsnorm_gain={}, path_groups={"places": {"norm_gain": {"betas": [0.8, 0.99], "eps": 1e-10}}})
    for path, (_, _, rule) in settings(run).items():
        wanted = (0.8, 0.99, 1e-10) if path.endswith(".norm_gain") else (0.9, 0.95, 1e-8)
        assert (rule.beta1, rule.beta2, rule.eps) == wanted, path


def test_what_starts_is_multiplied_whatever_else_sets_it(build):
    places = {"attention.q": {"init": 2.0}, "mlp.down": {"init": 0.0}}
    for others in ({}, {"uniform_init": {}}, {"normal_init": {"gain": 0.5}}):
        run, plain = build(path_groups={"places": places}, **others), build(**others)
        for path, value in run.assembly.params.items():
            factor = 2.0 if ".attention.q." in path else 0.0 if ".mlp.down." in path else 1.0
            torch.testing.assert_close(value, factor * plain.assembly.params[path])


def test_words_are_whole_and_in_a_row(build):
    places = {name: {"lr": 9.0, "optional": True} for name in ("own", "mlp.weight")}
    run, plain = build(path_groups={"places": places}), build()
    assert {path: lr for path, (lr, *_) in settings(run).items()} == {
        path: lr for path, (lr, *_) in settings(plain).items()
    }


def test_without_options_it_is_what_the_card_tells(build):
    run, plain = settings(build(path_groups={})), settings(build())
    down = "blocks.0.mlp.down.weight"
    assert run[down][0] == pytest.approx(2 * plain[down][0])


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"places": {"mlp..down": {}}}, r"mlp\.\.down"),
        ({"places": {"mlp": {"rate": 2}}}, r"rate"),
        ({"places": {"mlp": {"betas": [0.8, 1.0]}}}, r"betas"),
    ],
)
def test_what_it_does_not_know_is_refused(build, given, where):
    with pytest.raises(ConfigError, match=where):
        build(path_groups=given)


def test_two_places_of_one_length_are_refused(build):
    with pytest.raises(PluginError, match=r"'attention' and 'weight' are both places of 'blocks\.0\.attention\.q"):
        build(path_groups={"places": {"attention": {}, "weight": {}}})


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("mlp.dwon", r"no parameter has the place 'mlp\.dwon'; did you mean 'mlp\.down'\?"),
        ("own", r"no parameter has the place 'own'; did you mean 'down'\?"),
        ("linear_bias", r"no parameter has the place 'linear_bias'; a place that is there in some arms only"),
    ],
)
def test_a_place_that_no_parameter_has_is_refused_unless_it_may_be_missing(build, place, told):
    with pytest.raises(PluginError, match=told):
        build(path_groups={"places": {place: {"lr": 2.0}}})
    build(path_groups={"places": {place: {"lr": 2.0, "optional": True}}})
    build(linear_bias={}, path_groups={"places": {"linear_bias": {"lr": 2.0}}})
