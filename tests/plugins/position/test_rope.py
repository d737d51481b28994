import cmath
import math

import pytest
import torch

from coregpt.contract.context import Context
from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

HERE = Context(torch.zeros(1, 1, dtype=torch.long), {})


def turned(x: list[float], t: int, speeds: list[float]) -> list[float]:
    """One head vector at position t: pair i is the complex number x_i + j x_(i+D/2), turned backwards."""
    half = len(x) // 2
    pairs = [complex(x[i], x[i + half]) * cmath.exp(-1j * t * speeds[i]) for i in range(half)]
    return [z.real for z in pairs] + [z.imag for z in pairs]


def plain_speeds(dim: int, base: float) -> list[float]:
    return [base ** (-2 * i / dim) for i in range(dim // 2)]


def truncated_speeds(dim: int, base: float) -> list[float]:
    quarter = dim // 4
    return [(1 / base) ** (j / (quarter - 1)) for j in range(quarter)] + [0.0] * quarter


def slow_rope(speeds: list[float]) -> type[SlowGPT]:
    class SlowRope(SlowGPT):
        def position(self, q, k, layer, head):
            def turn(x):
                half = x.shape[1] // 2
                z = torch.complex(x[:, :half], x[:, half:])
                angle = torch.arange(len(x), dtype=torch.float64)[:, None] * torch.tensor(speeds, dtype=torch.float64)
                z = z * torch.polar(torch.ones_like(angle), -angle)
                return torch.cat((z.real, z.imag), dim=1)

            return turn(q), turn(k)

    return SlowRope


def part(run, layer=0):
    return run.model.blocks[layer].attention.inner.position


@pytest.mark.parametrize(
    ("options", "speeds"),
    [
        ({}, plain_speeds(16, 10_000)),
        ({"base": 100}, plain_speeds(16, 100)),
        ({"truncate": True, "base": 1024}, truncated_speeds(16, 1024)),
    ],
)
def test_every_vector_is_turned_as_a_complex_number(build, options, speeds):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 24, 2, 16, generator=generator)
    for given, got in zip((q, k), part(build(rope=options))(q, k, HERE), strict=True):
        wanted = torch.tensor(
            [[[turned(head, t, speeds) for head in heads] for t, heads in enumerate(row)] for row in given.tolist()],
            dtype=torch.float64,
        )
        torch.testing.assert_close(got.double(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "speeds"),
    [({}, plain_speeds(16, 10_000)), ({"truncate": True, "base": 50}, truncated_speeds(16, 50))],
)
def test_the_whole_model_equals_the_definition(build, options, speeds):
    assert_equals_slow_model(build(rope=options), slow_rope(speeds))


def test_length_is_kept_and_position_zero_is_untouched(build):
    x = torch.randn(3, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    y, _ = part(build(rope={}))(x, x, HERE)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    assert torch.equal(y[:, 0], x[:, 0])


def test_scores_depend_on_distance_only(build):
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    everywhere = [x.expand(1, 24, 1, 16).contiguous() for x in (q, k)]
    q, k = part(build(rope={"base": 100}))(*everywhere, HERE)
    scores = q[0, :, 0] @ k[0, :, 0].T
    for distance in range(-5, 6):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=0, atol=2e-5)
    assert scores[0].std() > 0.1


def test_still_dimensions_are_still_to_the_bit(build):
    x = torch.randn(2, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    y, _ = part(build(rope={"truncate": True, "base": 1024}))(x, x, HERE)
    still = [*range(4, 8), *range(12, 16)]
    turning = [*range(4), *range(8, 12)]
    assert torch.equal(y[..., still], x[..., still])
    assert (y[:, 1:, :, turning] != x[:, 1:, :, turning]).all()


def test_truncated_speeds_run_from_one_to_one_over_base(build):
    run = build(rope={"truncate": True, "base": 1024})
    angles = torch.atan2(part(run).sin, part(run).cos)[1, 0]
    torch.testing.assert_close(angles[[0, 3]].double(), torch.tensor([1.0, 1 / 1024]).double(), rtol=1e-6, atol=0)
    assert angles[4:8].eq(0).all()


def test_there_is_no_learned_position_table(build):
    assert "shared.positions.weight" in build().assembly.params
    assert "shared.positions.weight" not in build(rope={}).assembly.params


def test_bfloat16_heads_come_back_as_bfloat16_and_are_turned_in_fp32(build):
    rope = part(build(rope={}))
    x = torch.randn(2, 24, 2, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    y, _ = rope(x, x, HERE)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, rope(x.float(), x.float(), HERE)[0].bfloat16())


def published(x: list[float], t: int, base: float = 10_000) -> list[float]:
    """What NVIDIA's code makes of one head vector at position t: neighbours swap, each times a sine or a cosine."""
    dim = len(x)
    e = [f(t * base ** (-2 * i / dim)) for i in range(dim // 2) for f in (math.sin, math.cos)]
    y = []
    for j in range(dim // 2):
        y += [-x[2 * j + 1] * e[dim // 2 + j], x[2 * j] * e[j]]
    return y


class SlowPublished(SlowGPT):
    def position(self, q, k, layer, head):
        # Row t of the map is what it makes of the unit vectors, so gradients flow.
        maps = [torch.tensor([published(unit, t) for unit in torch.eye(16).tolist()]) for t in range(len(q))]
        return tuple(torch.stack([x[t] @ at.double() for t, at in enumerate(maps)]) for x in (q, k))


def test_the_published_form_number_by_number(build):
    q, k = torch.randn(2, 2, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    for given, got in zip((q, k), part(build(rope={"form": "nvidia"}))(q, k, HERE), strict=True):
        wanted = [[[published(head, t) for head in heads] for t, heads in enumerate(row)] for row in given.tolist()]
        torch.testing.assert_close(got, torch.tensor(wanted), rtol=1e-6, atol=1e-6)


def test_the_published_form_in_the_whole_model_is_no_rotation(build):
    run = build(rope={"form": "nvidia"})
    assert_equals_slow_model(run, SlowPublished)
    x = torch.randn(64, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    ratios = part(run)(x, x, HERE)[0].norm(dim=-1).mean((0, 2)) / x.norm(dim=-1).mean((0, 2))
    assert 0.4 < float(ratios.min()) < float(ratios.max()) < 0.95


def test_the_published_form_has_no_truncation(build):
    with pytest.raises(ConfigError, match="truncate belongs to form 'rotation', not to 'nvidia'"):
        build(rope={"form": "nvidia", "truncate": True})


def test_a_wrong_base_is_refused(build):
    for base in (1, -3, math.inf):
        with pytest.raises(ConfigError, match=r"plugins\.rope\.base"):
            build(rope={"base": base})


def test_truncate_refuses_heads_it_cannot_quarter(build):
    for dim in (20, 8):
        with pytest.raises(PluginError, match="multiple of 4 and at least 8"):
            build(rope={"truncate": True}, shape={"dim": dim})
