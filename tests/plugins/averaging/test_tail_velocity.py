import itertools
import math

import pytest
import torch

from tests.plugins.averaging.walking import evaluated, walk


def slow_velocity(states, beta, gamma, cap):
    """theta + gamma w of one tensor, number by number, from its values after every step from `start` on."""
    w = [0.0] * len(states[0])
    for before, after in itertools.pairwise(states):
        w = [beta * x + (1 - beta) * (b - a) for x, a, b in zip(w, before, after, strict=True)]
    size = math.sqrt(sum(x * x for x in w))
    most = cap * math.sqrt(sum(x * x for x in states[-1]))
    factor = min(1.0, most / size) if size else 1.0
    return [x + gamma * factor * y for x, y in zip(states[-1], w, strict=True)]


@pytest.mark.parametrize(("gamma", "cap"), [(-6.0, 0.01), (2.0, 10.0)])
def test_what_is_evaluated_is_the_definition(build, gamma, cap):
    run = build(tail_velocity={"gamma": gamma, "beta": 0.7, "start": 4, "cap": cap})
    seen = []
    for step, last in enumerate(walk(run, 9), start=1):
        seen.append(last)
        got = evaluated(run)
        for path, value in last.items():
            if step < 4 or run.assembly.infos[path].role != "matrix":
                assert torch.equal(got[path], value)
            elif step in (4, 5, 9):
                states = [state[path].flatten().tolist() for state in seen[3:]]
                wanted = torch.tensor(slow_velocity(states, 0.7, gamma, cap)).double()
                torch.testing.assert_close(got[path].flatten(), wanted, rtol=0, atol=1e-5)


def test_record_38_looks_back_from_where_it_has_put_the_weights(build):
    back = {"gamma": -0.075, "reference": 3, "start": 6}
    pace = {"gamma": -6.0, "start": 2, "cap": 10.0}
    run, alone = build(tail_velocity=pace, ref_interp=back), build(tail_velocity=pace)
    seen, _ = list(walk(run, 8)), list(walk(alone, 8))
    first, both = evaluated(alone), evaluated(run)
    for path, value in first.items():
        torch.testing.assert_close(both[path], value - 0.075 * (value - seen[2][path]), rtol=0, atol=1e-5)
