import cmath
import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

WINDOWS = (4, 10, 16)
"""Of a context of 24, in equal thirds."""
STAGES = {"long": [4 / 24, 10 / 24, 16 / 24], "short": [4 / 24, 10 / 24, 16 / 24]}


def extended(speeds, old, new, slow=1.0, fast=32.0):
    """Each speed by itself."""
    out = []
    for speed in speeds:
        turns = old * speed / (2 * math.pi)
        if turns >= fast:
            out.append(speed)
        elif turns <= slow:
            out.append(speed * old / new)
        else:
            stays = (turns - slow) / (fast - slow)
            out.append(speed * ((1 - stays) * old / new + stays))
    return out


class SlowYarn(SlowGPT):
    """In the last third of a run."""

    phases = staticmethod(lambda layer, head, t: t)

    def position(self, q, k, layer, head):
        speeds = [10_000 ** (-i / 8) for i in range(8)]
        for old, new in ((4, 10), (10, 16)):
            speeds = extended(speeds, old, new, slow=0.1, fast=1.0)
        turned = []
        for x in (q, k):
            rows = []
            for t, row in enumerate(x):
                out = list(row)
                for i, speed in enumerate(speeds):
                    w = cmath.exp(-1j * t * speed)
                    out[i] = row[i] * w.real - row[i + 8] * w.imag
                    out[i + 8] = row[i] * w.imag + row[i + 8] * w.real
                rows.append(torch.stack(out))
            turned.append(torch.stack(rows))
        return tuple(turned)

    def score_factor(self):
        return 0.3 * (1 + 0.2 * math.log(10 / 4)) * (1 + 0.2 * math.log(16 / 10))


def make(build, **options):
    return build(rope={}, window_stages=STAGES, yarn_window_extension=options, config={"tokens": 24 * 4 * 9})


def goes_on(run, steps):
    for step in steps:
        run.dials.set(run.timeline.clock(step))
        for companion in run.companions:
            companion.before_step(run.timeline.clock(step))


def speeds_of(run, layer=0):
    return run.model.blocks[layer].attention.inner.position.speeds


def test_the_whole_model_equals_the_definition(build):
    run = make(build, scale=0.3, slow=0.1, fast=1.0)
    goes_on(run, range(9))
    assert_equals_slow_model(run, SlowYarn)  # rows of 7 tokens: the window of 16 hides none


@pytest.mark.parametrize("base", [10_000.0, 1.5])
def test_speeds_and_scale_at_every_step(build, base):
    run = build(
        rope={"base": base}, window_stages=STAGES, yarn_window_extension={"fast": 3}, config={"tokens": 24 * 4 * 9}
    )
    wanted, scale = [base ** (-i / 8) for i in range(8)], 0.1
    for step in range(9):
        if step in (3, 6):
            old, new = WINDOWS[step // 3 - 1 : step // 3 + 1]
            wanted, scale = extended(wanted, old, new, fast=3), scale * (1 + 0.2 * math.log(new / old))
        goes_on(run, [step])
        assert speeds_of(run, step % 4).tolist() == pytest.approx(wanted, rel=1e-5)
        assert float(run.model.blocks[step % 4].attention.inner.attend.scale) == pytest.approx(scale, rel=1e-5)


def test_records_scale_after_three_seven_and_eleven_blocks(build):
    long = [3 / 24, 7 / 24, 11 / 24]
    run = build(rope={}, window_stages={"long": long, "short": long}, yarn_window_extension={})
    goes_on(run, range(run.timeline.steps))
    wanted = 0.1 * (1 + 0.2 * math.log(7 / 3)) * (1 + 0.2 * math.log(11 / 7))
    assert float(run.model.blocks[0].attention.inner.attend.scale) == pytest.approx(wanted, rel=1e-6)


def test_windows_beyond_the_last_one_change_nothing(build):
    run = make(build, until=0.5)
    goes_on(run, range(9))
    assert speeds_of(run).tolist() == pytest.approx(extended([10_000 ** (-i / 8) for i in range(8)], 4, 10), rel=1e-5)


def test_dimensions_without_position_keep_none(build):
    run = build(rope={"truncate": True}, window_stages=STAGES, yarn_window_extension={})
    goes_on(run, range(run.timeline.steps))
    assert speeds_of(run)[4:].eq(0).all()


def test_heads_that_share_a_sequence_turn_at_the_same_speeds(build):
    run = build(rope={}, window_stages=STAGES, yarn_window_extension={}, paired_head_attention={})
    goes_on(run, range(run.timeline.steps))
    assert torch.equal(speeds_of(run, 0), speeds_of(run, 1))
    assert [block.attention.inner.position.apart for block in run.model.blocks] == [2, 1, 2, 1]


def test_speeds_lie_with_the_weights_of_the_run(build):
    run = make(build)
    names = set(run.model.state_dict())
    assert {name.rsplit(".", 1)[-1] for name in names} >= {"speeds", "scale"}


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ConfigError, match=r"slow \(40\) must be below fast \(32\)"):
        make(build, slow=40)
    with pytest.raises(PluginError, match="plugin 'yarn_window_extension' needs 'window_stages'"):
        build(rope={}, yarn_window_extension={})
    with pytest.raises(PluginError, match="'yarn_window_extension' and 'attn_scale' conflict"):
        build(rope={}, window_stages={}, attn_scale={}, yarn_window_extension={})
    with pytest.raises(PluginError, match="needs a rotation"):
        build(rope={"form": "nvidia"}, window_stages={}, yarn_window_extension={})
