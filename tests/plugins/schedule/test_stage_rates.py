import pytest

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.schedule.test_batch_schedule import ROW, factors


def rates(build, steps, plugins, **options):
    return factors(build(stage_rates=options, config={"batch_tokens": ROW, "tokens": ROW * steps}, **plugins))


def test_record_89_at_its_published_steps(build):
    """m (1 - t) + t 0.15, t from step 508 to 1270, and 15 steps at 0.15."""
    shares = [423 / 1285, 424 / 1285, 438 / 1285]
    found = rates(build, 1285, {"wsd": {"cooldown": 0.6, "floor": 0.15}}, fractions=shares, extension=15)
    said = {0: 1.0, 422: 1.0, 423: 1.52, 508: 1.52, 846: 0.9123, 847: 1.0271, 1269: 0.15207, 1270: 0.15, 1284: 0.15}
    assert {step: found[step] for step in said} == pytest.approx(said, abs=5e-5)
    for step in range(1285):
        m = 1.0 if step < 423 else 1.52 if step < 847 else 1.73
        t = min(max(0.0, (step - 508) / 762), 1.0)
        assert found[step] == pytest.approx(m * (1 - t) + 0.15 * t, rel=1e-6)


def test_without_a_schedule_it_multiplies(build):
    assert rates(build, 6, {}, lr=[1, 2, 3]) == [1, 1, 2, 2, 3, 3]


def test_a_cooldown_to_zero_is_multiplied_all_along(build):
    alone = rates(build, 20, {"wsd": {"cooldown": 0.5}}, lr=[1])
    assert rates(build, 20, {"wsd": {"cooldown": 0.5}}, lr=[3]) == pytest.approx([3 * each for each in alone])


def test_no_multiples_and_no_extension_are_the_schedule_itself(build):
    plugins = {"wsd": {"warmup": 0.2, "cooldown": 0.5, "floor": 0.1}}
    plain = factors(build(config={"batch_tokens": ROW, "tokens": ROW * 20}, **plugins))
    assert rates(build, 20, plugins, lr=[1]) == plain
    assert rates(build, 20, plugins, lr=[1], extension=4)[-4:] == pytest.approx([0.1] * 4)


def test_mistakes_are_told(build):
    with pytest.raises(ConfigError, match="fractions has 2 entries, but lr has 3 stages"):
        build(stage_rates={"fractions": [0.5, 0.5]})
    with pytest.raises(ConfigError, match="fractions must sum to 1"):
        build(stage_rates={"lr": [1, 2], "fractions": [0.5, 0.6]})
    with pytest.raises(PluginError, match="an extension of 50 in a run of 50 steps"):
        build(stage_rates={"extension": 50}, config={"batch_tokens": ROW, "tokens": ROW * 50})
