"""Settings from the bracket of an earlier report: taken, refused by name, and allowed for in a real study."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.cli.studies import loading
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.rates import moving, point_at
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.report.facts.bracket import ArmBracket, Bracketed, RatePoint
from coregpt.stats.response import fit, residual
from tests.lab.conftest import STUDY, Lab

BASE = {**STUDY["base"], "tokens": 64 * 40, "optim": {"lr": 0.02}}
TINY: dict[str, Any] = {"base": BASE, "seeds": 5, "test": {**STUDY["test"], "sd": 0.02}}
BEST = {"gelu": -0.4, "relu2": 0.3}
FROM = {"tuned": {"from": "found.json"}}


def report_of(made: Lab, setting: str = "optim.lr") -> dict[str, Any]:
    """A report whose losses say where each arm is best, as a bracket of the study would write it."""
    study = load(made.study)
    ready = plan(outline(study))
    losses = {
        arm: {x: tuple(2 + 0.1 * (x - best) ** 2 + 0.001 * ((7 * i + round(4 * x)) % 5) for i in (0, 1)) for x in GRID}
        for arm, best in BEST.items()
    }
    noise = residual(list(losses.values()))
    arms = []
    for arm in study.arms:
        found = fit(losses[arm.name], noise)
        paths = moving(arm, setting, study.catalogue)
        moved = {path: float(value) for path, value in point_at(arm, paths, found.optimum or 0.0).items()}
        points = [RatePoint(x=x, value=0.02 * 2.0**x, losses=each) for x, each in losses[arm.name].items()]
        fitted = {k: v for k, v in vars(found).items() if k in ArmBracket.model_fields and k != "seeds"}
        own = {"arm": arm.name, "declared": 0.02, "value": moved[setting], "settings": moved, "seeds": (1000, 1001)}
        arms.append(ArmBracket(**own, **fitted, points=tuple(points), runs=10, started=10, flops=1e9))
    bracket = Bracketed(setting=setting, arms=tuple(arms), reads="select")
    facts = {
        "question": "Which rate?",
        "scale": study.scale,
        "baseline": study.criterion.baseline,
        "declaration": study.preregistration(),
        "data": {"name": ready.source.name, "sha256": ready.source.digest, "split_rule": "by hand"},
        "code": {"engine": ready.runs[0].record["engine"]},
        "bracket": bracket.model_dump(mode="json"),
    }
    return json.loads(json.dumps({"schema": 1, "study": facts}))


GRID = (-1.0, -0.5, 0.0, 0.5, 1.0)


@pytest.fixture
def with_report(lab: Callable[..., Lab]) -> Callable[..., Lab]:
    """The tiny study with the settings of `found.json`, after `edit` has changed that report."""

    def make(edit: Callable[[dict[str, Any]], None] | None = None, **changes: Any) -> Lab:
        found = report_of(lab("found_by", **TINY))
        if edit is not None:
            edit(found["study"])
        made = lab(**{**TINY, **FROM, **changes})
        (made.folder / "found.json").write_text(json.dumps(found))
        return made

    return make


def test_the_arms_run_with_what_was_found_and_the_declaration_says_from_where(with_report: Callable[..., Lab]) -> None:
    made = with_report()
    study, raw = load(made.study), (made.folder / "found.json").read_bytes()
    rates = {arm.name: arm.run.optim.lr for arm in study.arms}
    assert rates["gelu"] == pytest.approx(0.02 * 2**-0.4, rel=0.05)
    assert rates["relu2"] == pytest.approx(0.02 * 2**0.3, rel=0.05)
    said = study.preregistration()
    assert {arm: each["optim"]["lr"] for arm, each in said["arms"].items()} == {"gelu": 0.02, "relu2": 0.02}
    assert said["tuned"] == {
        "from": "found.json",
        "sha256": hashlib.sha256(raw).hexdigest(),
        "settings": {arm: {"optim.lr": rate} for arm, rate in rates.items()},
        "seeds": [1000, 1001],
    }


def test_another_report_is_another_study(with_report: Callable[..., Lab]) -> None:
    digests = set()
    for question in ("a", "b"):
        made = with_report(lambda study, question=question: study.update(question=question))
        digests.add(load(made.study).digest)
    assert len(digests) == 2


def lower(study: dict[str, Any]) -> None:
    study["bracket"]["arms"][0]["settings"]["optim.lr"] = 0.001


def forget(study: dict[str, Any]) -> None:
    del study["bracket"]["arms"][1]


REFUSED: list[tuple[Callable[[dict[str, Any]], None] | None, dict[str, Any], str]] = [
    (lower, {}, "was edited: optim.lr 0.001 of 'gelu' does not follow from its losses"),
    (forget, {}, "has no settings for 'relu2', only for 'gelu'"),
    (lambda study: study.update(scale="node"), {}, "is of scale 'node', and this study has ''"),
    (lambda study: study.update(baseline="relu2"), {}, "its baseline is 'relu2', here it is 'gelu'"),
    (lambda study: study.update(bracket=None), {}, "has no bracket"),
    (
        lambda study: study["bracket"]["arms"][0].update(why_not="the best value is the highest one tried"),
        {},
        "no comparison at its settings could be valid (gelu is not tuned: the best value is the highest one tried)",
    ),
    (lambda study: study["bracket"].pop("reads"), {}, "were chosen by the tokens that verdicts are made on"),
    (lambda study: study["bracket"]["arms"][0].pop("points"), {}, "is not a whole report"),
    (None, {"seeds": [1, 2, 3, 4, 1001]}, "seeds of this test chose its settings: 1001"),
    (None, {"base": {**BASE, "batch_tokens": 128}}, "'gelu' has batch_tokens 128, there it was 64"),
    (None, {"arms": {"gelu": {}, "wide": {"model": {"hidden": 48}}}}, "has no settings for 'wide'"),
    (None, {"base": {**BASE, "optim": {"lr": 0.01}}}, "'gelu' has optim.lr 0.01, there it was 0.02"),
]


@pytest.mark.parametrize(("edit", "changes", "complaint"), REFUSED)
def test_a_report_of_something_else_is_refused_by_name(
    with_report: Callable[..., Lab], edit: Any, changes: dict[str, Any], complaint: str
) -> None:
    made = with_report(edit, **changes)
    with pytest.raises(ConfigError) as caught:
        load(made.study)
    assert f"{made.study}:" in str(caught.value)
    assert "tuned.from: found.json:" in str(caught.value)
    assert complaint in str(caught.value)


def test_a_missing_report_is_told_before_anything_is_recorded(
    with_report: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    made = with_report()
    (made.folder / "found.json").unlink()
    assert main(made.command()) == 2
    assert "tuned.from: found.json: cannot be read" in capsys.readouterr().err
    assert not made.runs.exists()


def test_a_scale_has_a_report_of_its_own_which_only_it_needs(with_report: Callable[..., Lab]) -> None:
    made = with_report(
        lambda study: study.update(scale="small"),
        scales={"small": {}, "large": {}},
        tuned={"from": "reports/found/report.json"},
    )
    there = made.folder / "reports" / "found"
    there.mkdir(parents=True)
    (made.folder / "found.json").rename(there / "report.json")
    assert outline(load(made.study, "small")).study.arms[0].run.optim.lr != 0.02
    with pytest.raises(ConfigError, match=r"reports/found-large/report\.json: cannot be read"):
        outline(load(made.study, "large"))


def test_a_real_study_shows_the_bracket_and_allows_for_it(
    with_report: Callable[..., Lab], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The report here is a sketch of one, which the command refuses as edited.
    assert main(["plan", str(with_report().study)]) == 2
    assert "found.json: study.name: is missing" in capsys.readouterr().err
    monkeypatch.setattr(loading, "refuse_edited_brackets", lambda studies: None)
    elsewhere = {"environment": {"values": {"processor": "slide rule", "precision": "fp32"}}}

    def edit(study: dict[str, Any]) -> None:
        study["data"].update(sha256="other")
        study.update(elsewhere)

    made = with_report(edit)
    text = made.study.read_text()
    (made.folder / "found.json").write_text((made.folder / "found.json").read_text().replace("by hand", SPLIT))
    assert made.study.read_text() == text
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert "Settings from found.json (sha256 " in capsys.readouterr().out
    assert main(made.command("--no-mlflow")) == 0
    report = made.report()
    source = report["study"]["bracket"]["source"]
    remarks = ["on another version of the data", "on another kind of processor (slide rule)"]
    assert (source["path"], source["remarks"][:2]) == ("found.json", remarks)
    (comparison,) = report["comparisons"]
    assert comparison["allowance"] > 0
    page = (made.reports / "tiny" / "report.md").read_text()
    for words in ("taken from the bracket of found.json", "Uncertainty from tuning", "select_loss", "another version"):
        assert words in page
    verified = ["verify", str(made.reports / "tiny" / "report.json"), "--seeds", "2", "--runs", str(made.runs)]
    assert main(verified) in (0, 1)


SPLIT = "training and validation are separate shards"


def test_data_of_another_name_are_refused(with_report: Callable[..., Lab]) -> None:
    made = with_report(lambda study: study["data"].update(name="fineweb10B"))
    with pytest.raises(ConfigError, match="its data have name 'fineweb10B', here it is 'shards'"):
        plan(outline(load(made.study)))


def test_what_it_does_not_go_with_is_refused(with_report: Callable[..., Lab]) -> None:
    for changes in ({"bracket": {}}, {"test": {**TINY["test"], "anytime": True}}):
        with pytest.raises(ConfigError, match="tuned"):
            load(with_report(None, **changes).study)
