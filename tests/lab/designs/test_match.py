"""Matched arms against budgets and widths worked out by hand; what cannot be matched is refused by name."""

from collections.abc import Callable
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.abort import pause_step
from coregpt.lab.designs.match import achieved
from coregpt.lab.planning.load import load, load_family
from coregpt.lab.planning.plans import outline
from coregpt.lab.study.outline import Outline
from tests.lab.conftest import STUDY, Lab

MODEL = {"vocab": 16, "dim": 32, "depth": 2, "heads": 2, "context": 16}
BASE: dict[str, Any] = {**STUDY["base"], "model": MODEL, "tokens": 64 * 1000}
DEEP = {"plain": {}, "deep": {"model": {"depth": 3}}}
TEST = {"baseline": "plain", "margin": 0.02}


def outlined(made: Lab) -> Outline:
    return outline(load(made.study))


def per_token(depth: int, hidden: int = 128) -> int:
    """Training FLOPs: 3 x (2 per weight, and scores and mixing over all keys)."""
    return 3 * 2 * (depth * (4 * 32**2 + 2 * 32 * hidden + 2 * 16 * 32) + 32 * 16)


def test_flops_are_matched_through_tokens_in_whole_batches(lab: Callable[..., Lab]) -> None:
    made = outlined(lab(base=BASE, arms=DEEP, test=TEST, match="flops"))
    plain, deep = made.study.arms
    steps = round(1000 * per_token(2) / per_token(3))
    assert (plain.run.tokens, deep.run.tokens) == (64 * 1000, 64 * steps)
    assert made.study.equal == "flops"
    expected = 64 * steps * per_token(3) / (64 * 1000 * per_token(2)) - 1
    assert achieved(made.study, made.costs) == {"plain": 0, "deep": pytest.approx(expected)}
    # Tokens in proportion to parameters, the mistake this is to prevent, would be off by more than 1%.
    parameters = [made.costs[name].parameters for name in ("plain", "deep")]
    by_parameters = parameters[0] / parameters[1] * per_token(3) / per_token(2) - 1
    assert abs(by_parameters) > 0.01


def test_flops_are_counted_over_staged_lengths(lab: Callable[..., Lab]) -> None:
    arms = {"plain": {}, "staged": {"plugins": {"batch_schedule": {}}, "model": {"depth": 3}}}
    made = outlined(lab(base=BASE, arms=arms, test=TEST, match="flops"))
    assert abs(achieved(made.study, made.costs)["staged"]) < 0.01


def test_parameters_are_matched_through_the_width_of_the_mlp(lab: Callable[..., Lab]) -> None:
    made = outlined(lab(base=BASE, arms=DEEP, test=TEST, match="params"))
    # depth x (4 dim^2 + 2 dim hidden) is all that differs: 2 x 12288 = 3 x (4096 + 64 hidden), so hidden = 64.
    assert made.study.arms[1].run.model.hidden == 64
    assert achieved(made.study, made.costs) == {"plain": 0, "deep": 0}
    assert made.costs["deep"].tokens == made.costs["plain"].tokens
    assert made.study.equal == "tokens"


def test_an_arm_that_is_matched_already_keeps_its_settings(lab: Callable[..., Lab]) -> None:
    for match in ("params", "flops", "tokens"):
        made = outlined(lab(match=match))
        assert [arm.run for arm in made.study.arms] == [arm.run for arm in load(lab().study).arms]


def test_the_declaration_keeps_what_was_written(lab: Callable[..., Lab]) -> None:
    declared = load(lab(base=BASE, arms=DEEP, test=TEST, match="flops").study)
    made = outlined(lab(base=BASE, arms=DEEP, test=TEST, match="flops"))
    assert made.study.digest == declared.digest
    assert made.study.preregistration()["match"] == "flops"
    assert made.study.preregistration()["arms"]["deep"]["tokens"] == 64 * 1000
    assert "match" not in load(lab().study).preregistration()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"match": "flops", "equal": "tokens"}, r"equal: 'match: flops' holds flops equal; remove 'equal'"),
        ({"match": "flop"}, r"match: should be 'tokens', 'params', 'flops' or 'seconds', got 'flop'"),
        ({"match": "flops", "mode": "fork", "fork_at": 0.5}, r"match: the arms of 'mode: fork' share"),
        (
            {"match": "flops", "arms": {"plain": {}, "deep": {"tokens": 6400}}},
            r"arms.deep.tokens: is what 'match: flops' sets",
        ),
        (
            {"match": "params", "arms": {"plain": {}, "deep": {"model": {"hidden": 8}}}},
            r"arms.deep.model.hidden: is what 'match: params' sets",
        ),
        (
            {"match": "params", "arms": {"plain": {}, "deep": {"model": {"depth": 12}}}},
            r"arm 'deep': with model.hidden 1 it has .* of the baseline's [\d,]+; no width comes closer",
        ),
        (
            {"match": "flops", "base": {**BASE, "tokens": 64 * 10}},
            r"arm 'deep': 448 tokens are [-+][\d.]+% of the baseline's .* FLOPs, the closest in whole batches",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused(lab: Callable[..., Lab], changes: dict[str, Any], message: str) -> None:
    made = lab(**{"base": BASE, "arms": DEEP, "test": TEST, **changes})
    with pytest.raises(ConfigError, match=message):
        outlined(made)
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 2
    assert not made.runs.exists()


# -- together with other designs -------------------------------------------------------------------------------

SHORT: dict[str, Any] = {**BASE, "tokens": 64 * 100}
SIZES = {"s": {}, "m": {"model": {"dim": 48}}, "l": {"model": {"dim": 64}, "tokens": 64 * 200}}


def test_looks_decide_between_arms_of_different_length(lab: Callable[..., Lab]) -> None:
    made = lab(base=SHORT, arms=DEEP, test={**TEST, "looks": [4, 5]}, seeds=5, match="flops")
    assert main(made.command("--no-mlflow")) == 0
    report = made.report()
    assert [arm["tokens"] for arm in report["study"]["arms"]] == [64 * 100, 64 * 67]
    assert report["stopping"]["arms"][0]["looks"]
    assert "Matched on flops: plain" in (made.reports / "tiny" / "report.md").read_text()


def test_arms_of_equal_steps_can_be_aborted_and_others_cannot(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    test = {**TEST, "abort": 0.7}
    made = outlined(lab(base=SHORT, arms=DEEP, test=test, seeds=5, match="params"))
    assert pause_step(made) == 60
    for match, words in (
        (
            "flops",
            "the same number of steps to be compared half-way: 100 in 'plain', 67 in 'deep' ('match: flops' sets",
        ),
        ("seconds", "'match: seconds' gives each arm steps of its own, so no step is half-way for all; remove one"),
    ):
        refused = lab(base=SHORT, arms=DEEP, test=test, seeds=5, match=match)
        assert main(refused.command("--no-mlflow")) == 2
        said = capsys.readouterr().err
        line = next(i for i, text in enumerate(refused.study.read_text().splitlines(), 1) if "abort" in text)
        assert f"{refused.study}:{line}: test.abort: " in said
        assert words in said
        assert not refused.runs.exists()


def test_every_size_is_matched_by_itself(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    outlines = [
        outline(study) for study in load_family(lab(base=SHORT, arms=DEEP, test=TEST, sizes=SIZES, match="flops").study)
    ]
    assert [made.study.arms[0].run.tokens for made in outlines] == [64 * 100, 64 * 100, 64 * 200]
    for made in outlines:
        assert made.study.arms[1].run.tokens < made.study.arms[0].run.tokens
        assert abs(achieved(made.study, made.costs)["deep"]) < 0.01
    widths = [
        outline(study).study.arms[1].run.model.hidden
        for study in load_family(lab(base=SHORT, arms=DEEP, test=TEST, sizes=SIZES, match="params").study)
    ]
    assert widths == [64, 96, 128]
    falling = lab(base=SHORT, arms=DEEP, test=TEST, sizes=dict(reversed(SIZES.items())), match="seconds")
    assert main(falling.command("--no-mlflow")) == 2
    assert "list sizes from the smallest to the largest" in capsys.readouterr().err
    assert not falling.runs.exists(), "speeds were measured and recorded of a study that cannot be run"


def test_a_yardstick_is_a_share_of_the_baseline_and_not_matched(lab: Callable[..., Lab]) -> None:
    made = outlined(lab(base=SHORT, arms=DEEP, test={**TEST, "yardstick": 0.5}, match="flops"))
    assert [arm.run.tokens for arm in made.study.arms] == [64 * 100, 64 * 67, 64 * 50]
    assert set(achieved(made.study, made.costs)) == {"plain", "deep"}


def test_arms_that_a_mode_makes_are_matched(lab: Callable[..., Lab]) -> None:
    made = outlined(
        lab(
            base=BASE,
            arms=None,
            mode="add_one",
            techniques={"value_embeddings": {}},
            test={"margin": 0.02},
            match="params",
        )
    )
    assert made.study.arms[1].run.model.hidden != made.study.arms[0].run.model.hidden
    assert abs(achieved(made.study, made.costs)["only-value_embeddings"]) < 0.01


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpus_per_run": 2}, "is measured on one GPU; it needs 'gpus_per_run: 1'"),
        ({"mode": "fork", "fork_at": 0.5}, "the arms of 'mode: fork' share their beginning and cannot be matched"),
    ],
)
def test_seconds_that_cannot_be_measured_are_refused_with_the_line(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    made = lab(base=SHORT, arms=DEEP, test=TEST, match="seconds", **changes)
    assert main(made.command("--no-mlflow")) == 2
    line = next(i for i, text in enumerate(made.study.read_text().splitlines(), 1) if text.startswith("match"))
    said = capsys.readouterr().err
    assert f"{made.study}:{line}: match: " in said
    assert words in said
    assert not made.runs.exists()
