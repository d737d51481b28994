import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import ParamGroup
from tests.plugins.optimizer.slow import length, random

HEADS, WIDTH, LAYERS, DAMPING = 2, 16, 3, 1e-3
NAMES = ("q", "k", "v", "out")
PATHS = tuple(f"blocks.{layer}.attention.{name}.weight" for layer in range(LAYERS) for name in NAMES)


def rule_of(build, paths=PATHS, **plugins):
    run = build(muon={}, **plugins)
    return run.assembly.hook.make_update(group=ParamGroup("matrix", (32, 32), paths, model=run.config.model))


def dials(rows):
    return {"step": 1, "rows": torch.tensor(rows)}


def head_of(matrix, name, head):
    """The entries of one head as a list of lists; of the output's matrix its columns, turned."""
    rows = matrix.T if name == "out" else matrix
    return rows[head * WIDTH : (head + 1) * WIDTH]


def inner(x, y):
    return sum(a * b for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))


def slow_circuit(w, u):
    """{name: update of one layer} from weights and updates by name, head by head."""
    v, o = [], []
    for head in range(HEADS):
        wv, wo = (head_of(w[name], name, head) for name in ("v", "out"))
        dv, do = (head_of(u[name], name, head) for name in ("v", "out"))
        v.append(dv / math.sqrt(inner(wo, wo) / WIDTH + DAMPING))
        o.append(do / math.sqrt(inner(wv, wv) / WIDTH + DAMPING))
    for name, parts in (("v", v), ("out", o)):
        now = math.sqrt(sum(inner(part, part) for part in parts))
        parts[:] = [part * (length(u[name]) / now) for part in parts]
    for head in range(HEADS):
        wv, wo = (head_of(w[name], name, head) for name in ("v", "out"))
        gap = inner(wv, v[head]) - inner(wo, o[head])
        x = gap / (inner(wv, wv) + inner(wo, wo) + 2 * WIDTH * DAMPING)
        v[head], o[head] = v[head] - x * wv, o[head] + x * wo
    return {"v": torch.cat(v), "out": torch.cat(o).T}


def stacks():
    p, g = random(len(PATHS), 32, 32), random(len(PATHS), 32, 32, seed=1)
    p[2::4] *= torch.linspace(0.1, 3, 32).double().view(1, -1, 1)  # heads of values of different sizes
    return p, g


def test_values_and_outputs_are_balanced_head_by_head_and_the_rest_stays(build):
    p, g = stacks()
    rows = range(len(PATHS))
    found = []
    for plugins in ({}, {"circuit_muon": {}}):
        rule = rule_of(build, **plugins)
        found.append(rule.direction(p, g, rule.init(p), dials(list(rows))))
    plain, got = found
    for layer in range(LAYERS):
        at = {name: 4 * layer + i for i, name in enumerate(NAMES)}
        w, u = ({name: each[place] for name, place in at.items()} for each in (p, plain))
        for name, wanted in slow_circuit(w, u).items():
            torch.testing.assert_close(got[at[name]], wanted, rtol=1e-9, atol=1e-11)
        assert torch.equal(got[at["q"]], u["q"])
        assert torch.equal(got[at["k"]], u["k"])


def test_the_step_leaves_the_difference_of_sizes_as_it_was(build):
    p, g = stacks()
    rule = rule_of(build, circuit_muon={"damping": 0.0})
    u = rule.direction(p, g, rule.init(p), dials(list(range(len(PATHS)))))
    for head in range(HEADS):
        v, o = (inner(head_of(p[i], name, head), head_of(u[i], name, head)) for i, name in ((2, "v"), (3, "out")))
        assert v == pytest.approx(o, abs=1e-9)


def test_equal_heads_are_scaled_by_nothing(build):
    p, g = stacks()
    p = torch.nn.functional.normalize(p.unflatten(1, (HEADS, WIDTH)), dim=(2, 3)).flatten(1, 2)
    p[3::4] = p[2::4].mT.flip(1)
    rule, plain = rule_of(build, circuit_muon={}), rule_of(build)
    got, u = (each.direction(p, g, each.init(p), dials(list(range(len(PATHS))))) for each in (rule, plain))
    for head in range(HEADS):  # what changes is a multiple of W alone
        w, change = (head_of(each, "v", head) for each in (p[2], got[2] - u[2]))
        assert length(change - inner(change, w) / inner(w, w) * w) < 1e-9


@pytest.mark.parametrize("cut", [5, 6, 7])
def test_ranks_may_hold_any_part_of_the_stack(build, cut):
    """Two rules of one part each, which exchange what a sum over ranks would."""
    p, g = stacks()
    whole = rule_of(build, circuit_muon={})
    wanted = whole.direction(p, g, whole.init(p), dials(list(range(12))))
    parts = [list(range(cut)), [*range(cut, 12), 12, 13]]  # the last stack is padded
    pads = torch.zeros(2, 32, 32).double()
    held = [(p[:cut], g[:cut]), (torch.cat((p[cut:], pads)), torch.cat((g[cut:], pads)))]
    sent = []

    def listen(tensor):
        sent.append(tensor.clone())
        return tensor

    rules = [rule_of(build, circuit_muon={}) for _ in parts]
    for rule, rows, (mine, gradient) in zip(rules, parts, held, strict=True):
        rule.members.all_reduce = listen
        rule.direction(mine, gradient, rule.init(mine), dials(rows))
    answers = [sent[0] + sent[2], sent[1] + sent[3]]
    for rule, rows, (mine, gradient) in zip(rules, parts, held, strict=True):
        heard = iter(answers)
        rule.members.all_reduce = lambda tensor, heard=heard: next(heard).clone()
        got = rule.direction(mine, gradient, rule.init(mine), dials(rows))
        real = [place for place, row in enumerate(rows) if row < 12]
        torch.testing.assert_close(got[real], wanted[[rows[place] for place in real]], rtol=1e-10, atol=1e-12)


def test_it_comes_behind_normuon_and_before_brake_and_floor(build):
    run = build(muon={}, normuon={}, circuit_muon={}, radial_brake={}, uw_floor={})
    rule = next(stack.rule for stack in run.optimizer.stacks if stack.group.shape == (32, 32))
    names = []
    while hasattr(rule, "inner"):
        names.append(type(rule).__name__)
        rule = rule.inner
    assert names == ["Floored", "Braked", "Balanced", "Normalised"]


def test_a_group_of_its_own_for_values_is_refused_and_other_shapes_stay(build):
    with pytest.raises(PluginError, match=r"circuit_muon moves .*muon_grouping of v"):
        build(muon={}, circuit_muon={}, muon_grouping={"heads": 1, "of": ["v"]})
    run = build(muon={}, circuit_muon={}, gqa={"kv_heads": 1})
    assert all(type(stack.rule).__name__ != "Balanced" for stack in run.optimizer.stacks)
