import math

import pytest
import torch

from tests.plugins.averaging.walking import evaluated, walk


def slow_bend(start, middle, last, kappa):
    """Number by number."""
    d = [b - a for a, b in zip(start, middle, strict=True)]
    v = [b - a for a, b in zip(middle, last, strict=True)]
    a = [x - y for x, y in zip(v, d, strict=True)]
    along = sum(x * y for x, y in zip(a, v, strict=True)) / sum(x * x for x in v)
    b = [x - along * y for x, y in zip(a, v, strict=True)]
    size = math.sqrt(sum(x * x for x in v)) / math.sqrt(sum(x * x for x in b))
    assert abs(sum(x * y for x, y in zip(b, v, strict=True))) < 1e-6
    return [x + kappa * size * y for x, y in zip(last, b, strict=True)]


@pytest.mark.parametrize("kappa", [0.3, -0.1])
def test_what_is_evaluated_is_the_definition(build, kappa):
    run = build(phase_readout={"kappa": kappa, "first": 3, "second": 6, "start": 8, "skip": ["attention.v"]})
    seen = []
    for step, last in enumerate(walk(run, 10), start=1):
        seen.append(last)
        got = evaluated(run)
        for path, value in last.items():
            shown = step >= 8 and run.assembly.infos[path].role == "matrix" and "attention.v." not in path
            if not shown:
                assert torch.equal(got[path], value)
            elif step == 10:
                points = (seen[2][path], seen[5][path], value)
                wanted = slow_bend(*(point.flatten().tolist() for point in points), kappa)
                torch.testing.assert_close(got[path].flatten(), torch.tensor(wanted).double(), rtol=0, atol=1e-5)


def test_where_the_last_stretch_is_not_there_nothing_bends(build):
    run = build(phase_readout={"first": 2, "second": 5, "start": 1})
    for step, last in enumerate(walk(run, 5), start=1):
        for path, value in evaluated(run).items():
            torch.testing.assert_close(value, last[path], rtol=0, atol=0 if step < 5 else 1e-6)


def test_record_43_bends_first_and_then_looks_back_from_there(build):
    """The readout towards an earlier step begins where this one ends: theta' + 0.08 (reference - theta')."""
    bend = {"kappa": 0.3, "first": 3, "second": 6, "start": 8}
    back = {"gamma": -0.08, "reference": 2, "start": 8, "skip": ["embedding"]}
    run, alone = build(phase_readout=bend, ref_interp=back), build(phase_readout=bend)
    seen, last = list(walk(run, 10)), list(walk(alone, 10))[-1]
    assert all(torch.equal(value, last[path]) for path, value in seen[-1].items())
    first, both = evaluated(alone), evaluated(run)
    for path, value in first.items():
        wanted = value if "embedding" in run.assembly.infos[path].role else value + 0.08 * (seen[1][path] - value)
        torch.testing.assert_close(both[path], wanted, rtol=0, atol=1e-5)
