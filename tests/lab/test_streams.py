"""Nothing that chooses sees what verdicts are made on: by who reads it, and by what happens when it lies."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.lab.designs import abort, looks
from coregpt.lab.designs.bracket import results, walked
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan, trials_before
from coregpt.lab.planning.power import final_values
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.designs.tuning.collect import found_by_trials
from tests.lab.conftest import Lab

CORE = Path(__file__).parent.parent.parent / "coregpt"
HELD_OUT_READERS = {
    "lab/judging/judge.py",  # measures it
    "lab/designs/looks.py",  # tests whose level counts every look
    "lab/planning/enough.py",  # whether the stream has tokens enough; no loss
    "lab/command/telling.py",  # a program has one number, which stands for both streams
    "lab/records/losses.py",  # where its names are
    "lab/study/declaration.py",  # what a study reads if no design says otherwise
    "report/reading/runs.py",  # facts of a report
}
"""Files that name the stream of verdicts, outside of the engine and of the pages."""


def strings(path: Path) -> Iterator[str]:
    """Texts in the code of a file, docstrings left out."""
    tree = ast.parse(path.read_text())
    lines = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in lines:
            yield node.value


def names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        yield from (alias.name for alias in node.names) if isinstance(node, ast.ImportFrom) else ()


def test_only_verdicts_name_held_out() -> None:
    found = set()
    for folder in ("lab", "report/reading", "report/designs", "report/analysis", "cli"):
        for path in (CORE / folder).rglob("*.py"):
            said = {*strings(path), *names(path)}
            if said & {"held_out", "HELD_OUT"} or ("val_loss" in said and "logs" not in path.parts):
                found.add(path.relative_to(CORE).as_posix())
    known = HELD_OUT_READERS | {
        "lab/study/declaration.py",  # `metric: val_loss`
        "lab/laws/fair.py",  # that evaluations are of what they were given
        "lab/study/outline.py",  # `metric: val_loss`, for its unit
        "lab/designs/bits.py",  # how many bytes its tokens are, and no loss
        "lab/study/text_unit.py",  # the same: the unit of what is told
        "lab/execute/worker.py",  # where the text that a target's curve reads ends
        "lab/study/readings.py",  # the steps of a curve on it, and no loss
        "cli/commands/reports.py",  # the default column of logs made elsewhere
        "cli/reports/importing.py",
        "cli/commands/models.py",  # `coregpt eval --stream held_out`, which warns
        "cli/models/evaluation.py",
        "report/analysis/collect.py",  # how many bytes its tokens are
    }
    assert found == known


def result_readers() -> set[str]:
    """Files of the lab that take the final loss out of a result themselves."""
    return {
        path.relative_to(CORE).as_posix()
        for path in (CORE / "lab").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value == "value"
        and "result" in ast.unparse(node.value)
    }


def test_results_are_read_in_one_place() -> None:
    assert result_readers() == set()


# -- what happens when the validation stream lies -------------------------------------------------------------------


def pretend(made: Plan, store: Path, held_out: Callable[[int], float]) -> None:
    """Every run as if it had been trained: `select` tells runs apart by their places, `held_out` as it is told."""
    for place, run in enumerate(made.runs):
        folder = RunFolder(store / run.id)
        folder.create(run.record, {})
        loss = 2.0 + 0.01 * ((place * 37) % 11)
        rows = [{"step": step, "tokens": 64 * step, "seconds": 1.0, "select_loss": loss + 1} for step in (0, 36, 250)]
        rows[-1] |= {"select_loss": loss, "val_loss": held_out(place)}
        folder.write_rows(rows)
        speed = {"tokens_per_second": 1.0, "train_seconds": 1.0, "compile_seconds": 0.0, "peak_memory_bytes": 1}
        ended = {"status": "finished", "reason": "", "notes": [], "value": held_out(place), "select": loss, **speed}
        folder.write_result(ended)


LIES = (lambda place: 1.0 + place, lambda place: 1000.0 - place)


@pytest.fixture(params=["bracket", "tuning", "abort", "plan"])
def choice(request: pytest.FixtureRequest, lab: Callable[..., Lab], tmp_path: Path) -> Callable[[int], object]:
    """What is chosen where held_out says one thing or the opposite."""
    kind = request.param
    more: dict[str, object] = {"seeds": 5}
    if kind == "bracket":
        more["bracket"] = {}
    if kind == "tuning":
        more["tuning"] = {
            "trials": 3,
            "seeds": 1,
            "space": {"all": {"optim.lr": {"low": 0.001, "high": 0.01, "log": True}}},
        }
    if kind == "abort":
        more["test"] = {"baseline": "gelu", "margin": 0.02, "abort": 0.9}
    study = load(lab(**more).study)

    def chosen(lie: int) -> object:
        store, outlined = tmp_path / f"runs{lie}", outline(study)
        trials = trials_before(outlined)
        made = plan(trials or outlined)
        pretend(made, store, LIES[lie])
        if kind == "bracket":
            return walked(made, results(store))
        if kind == "tuning":
            found = found_by_trials(study, made, store)
            assert found is not None
            return found.settings
        return (
            (abort.ends(made, store), abort.losses_at_pause(made, store))
            if kind == "abort"
            else final_values(made, store)
        )

    return chosen


def test_no_choice_follows_what_held_out_says(choice: Callable[[int], object]) -> None:
    assert json.dumps(choice(0), default=str, sort_keys=True) == json.dumps(choice(1), default=str, sort_keys=True)


def test_looks_and_verdicts_follow_it(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = plan(outline(load(lab(seeds=5, test={"baseline": "gelu", "margin": 0.02, "anytime": True}).study)))
    found = []
    for lie in (0, 1):
        pretend(made, tmp_path / f"runs{lie}", LIES[lie])
        found.append(looks.final_values(made, tmp_path / f"runs{lie}")["gelu"].tolist())
        assert found[-1] == [final(RunFolder(tmp_path / f"runs{lie}" / run.id), "held_out") for run in made.runs[:5]]
    assert found[0] != found[1]


def test_a_screen_reads_select_and_a_target_declares_its_curve(lab: Callable[..., Lab]) -> None:
    arms = {"gelu": {}, **{f"a{i}": {"optim": {"lr": 0.0013 * (i + 1)}} for i in range(10)}}
    assert load(lab(seeds=5).study).reads == "held_out"
    assert load(lab(seeds=5, arms=arms, test={"baseline": "gelu", "screen": 0.1}).study).reads == "select"
    with_target = load(lab(seeds=5, test={"baseline": "gelu", "target": 2.0}).study)
    assert {arm.run.held_out_curve for arm in with_target.arms} == {True}
    assert with_target.preregistration()["arms"]["gelu"]["held_out_curve"] is True
