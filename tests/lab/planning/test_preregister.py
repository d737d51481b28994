"""What was known when a study was declared or changed decides whether its verdicts are confirmatory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan, PlannedRun
from tests.lab.conftest import Lab


def declared(lab: Callable[..., Lab], **changes: Any) -> Plan:
    return plan(outline(load(lab(**changes).study)))


def start(made: Plan, run: PlannedRun, store: Path) -> None:
    who = {"study": made.study.name, "run": run.id, "arm": run.arm, "seed": run.seed}
    Ledger.of(store).append("started", **who)


def complete(made: Plan, run: PlannedRun, store: Path, *, started: bool = True, value: float = 1.0) -> None:
    """As the launcher leaves it when it is killed between the result and its entry."""
    folder = RunFolder(store / run.id)
    folder.create(run.record, {})
    if started:
        start(made, run, store)
    folder.write_result({"status": "finished", "value": value, "select": value})


def events(store: Path) -> list[str]:
    """All but the places in chains."""
    return [entry.event for entry in Ledger.of(store).read() if entry.event != "chained"]


def test_a_study_may_change_until_its_first_run_starts(lab: Callable[..., Lab], tmp_path: Path) -> None:
    assert register(declared(lab), tmp_path) == ""
    assert register(declared(lab, seeds=3), tmp_path) == ""
    assert events(tmp_path) == ["declared", "amended"]


def test_a_change_after_a_run_has_started_is_told_for_ever(lab: Callable[..., Lab], tmp_path: Path) -> None:
    first = declared(lab)
    register(first, tmp_path)
    start(first, first.runs[0], tmp_path)
    assert register(first, tmp_path) == ""
    changed = declared(lab, test={"baseline": "gelu", "margin": 0.5})
    words = "amended after 1 run had started: test.margin 0.02 -> 0.5"
    assert register(changed, tmp_path) == words
    assert register(changed, tmp_path) == words
    assert register(first, tmp_path) == f"{words}; amended after 1 run had started: test.margin 0.5 -> 0.02"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test": {"baseline": "gelu", "margin": 0.02, "alpha": 0.1}}, "test.alpha 0.05 -> 0.1"),
        ({"test": {"baseline": "relu2", "margin": 0.02}}, "test.baseline gelu -> relu2"),
        ({"seeds": 3}, "seeds [0, 1] -> [0, 1, 2]"),
        ({"hypothesis": "It  helps."}, "hypothesis  -> It helps."),
        ({"direction": "better"}, "direction either -> better"),
        ({"equal": "steps"}, "equal tokens -> steps"),
        ({"arms": {"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "optim": {"lr": 0.1}}}}, "optim.lr 0.002 -> 0.1"),
    ],
)
def test_everything_declared_counts_as_an_amendment(
    lab: Callable[..., Lab], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    first = declared(lab)
    register(first, tmp_path)
    start(first, first.runs[0], tmp_path)
    said = register(declared(lab, **changes), tmp_path)
    assert said.startswith("amended after 1 run had started: ")
    assert words in said


def test_whoever_remembers_later_what_was_tried_before_amends_nothing(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """It can only make the level lower, and who tells it should not be worse off than who does not."""
    first = declared(lab)
    register(first, tmp_path)
    start(first, first.runs[0], tmp_path)
    for claims in (3, 2):
        assert register(declared(lab, earlier={"claims": claims, "why": "Remembered."}), tmp_path) == ""
    assert register(first, tmp_path) == ""


def test_registering_again_enters_nothing(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    register(made, tmp_path)
    before = Ledger.of(tmp_path).path.read_bytes()
    register(made, tmp_path)
    assert Ledger.of(tmp_path).path.read_bytes() == before


def test_an_end_that_the_killed_launcher_did_not_enter_is_entered_later(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = declared(lab)
    register(made, tmp_path)
    complete(made, made.runs[0], tmp_path)
    assert register(made, tmp_path) == ""
    assert register(made, tmp_path) == ""
    assert events(tmp_path) == ["declared", "started", "ended"]


def test_runs_from_elsewhere_make_the_study_exploratory(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    register(made, tmp_path)
    complete(made, made.runs[0], tmp_path, started=False)
    assert register(made, tmp_path) == "1 run came from elsewhere, not started under this ledger"


def test_the_same_study_under_another_name_is_declared_too_late(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    register(made, tmp_path)
    for run in made.runs:
        complete(made, run, tmp_path)
    renamed = declared(lab, name="again", test={"baseline": "gelu", "margin": 0.5})
    assert "declared when 4 runs of it, of the baseline and of other arms, were complete" in register(renamed, tmp_path)


def by_an_earlier_engine(made: Plan, store: Path, arms: tuple[str, ...] = ("gelu", "relu2")) -> None:
    """Results of a plan as another version left them: other ids, the same settings, seeds, techniques and data."""
    for run in made.runs:
        if run.arm in arms:
            folder = RunFolder(store / run.id[::-1])
            settings = {key: value for key, value in run.record["config"].items() if key != "micro_rows"}
            folder.create({**run.record, "engine": "0" * 64, "config": settings}, {})
            folder.write_result({"status": "finished", "value": 1.0, "select": 1.0})


def test_what_an_earlier_engine_trained_was_known_under_whatever_name(lab: Callable[..., Lab], tmp_path: Path) -> None:
    """An upgrade and a new name together: no id is the same, and every number nearly is."""
    made = declared(lab, name="again", test={"baseline": "gelu", "margin": 0.5})
    by_an_earlier_engine(made, tmp_path)
    said = "were complete (4 of them by another version of the engine)"
    assert said in register(made, tmp_path)
    assert said in register(made, tmp_path)


def test_an_earlier_engine_may_have_trained_the_baseline(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    by_an_earlier_engine(made, tmp_path, ("gelu",))
    assert register(made, tmp_path) == ""


def test_a_study_that_goes_on_with_a_newer_engine_is_what_it_was(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    older = [replace(run, id=run.id[::-1], record={**run.record, "engine": "0" * 64}) for run in made.runs]
    before = replace(made, runs=tuple(older))
    register(before, tmp_path)
    for run in before.runs:
        complete(before, run, tmp_path)
    assert register(made, tmp_path) == ""


def test_a_baseline_that_another_study_trained_may_be_shared(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = declared(lab)
    register(made, tmp_path)
    for run in made.runs:
        complete(made, run, tmp_path)
    other = declared(lab, name="other", arms={"gelu": {}, "silu": {"plugins": {"swiglu": {}}}})
    assert register(other, tmp_path) == ""


def edited(made: Plan, **parts: Any) -> Plan:
    """The same study after code moved: every run has another id."""
    runs = tuple(replace(run, id=run.id[::-1], record={**run.record, **parts}) for run in made.runs)
    return replace(made, runs=runs)


def test_runs_that_moved_code_replaces_are_entered_as_superseded_and_listed(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = declared(lab)
    register(made, tmp_path)
    complete(made, made.runs[0], tmp_path)
    moved = edited(made, engine="other")
    assert register(moved, tmp_path) == ""
    assert register(moved, tmp_path) == ""
    assert events(tmp_path) == ["declared", "started", "ended", "replanned", "superseded"]
    history = History(Ledger.of(tmp_path).read(), made.study.name)
    ((past, successor),) = history.superseded({run.id: (run.arm, run.seed) for run in moved.runs})
    assert (past.id, past.status, past.value, successor) == (made.runs[0].id, "finished", 1.0, moved.runs[0].id)


def test_a_technique_edited_after_its_results_were_there_makes_the_study_exploratory(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    made = declared(lab)
    register(made, tmp_path)
    complete(made, made.runs[0], tmp_path)
    assert register(edited(made, plugins={"relu2": "new"}), tmp_path) == ""
    register(made, tmp_path)
    complete(made, made.runs[2], tmp_path)
    said = register(edited(made, plugins={"relu2": "newer"}), tmp_path)
    assert said == "the code of plugin relu2 changed when 1 run with it had results; 1 run not repeated"


def test_a_technique_whose_results_come_out_again_after_an_edit_was_not_changed(
    lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """An option more, with a default that does what was done: other run ids, the same numbers, no amendment."""
    made = declared(lab)
    register(made, tmp_path)
    first, second = (run for run in made.runs if run.arm == "relu2")
    for run in (first, second):
        complete(made, run, tmp_path)
    register(made, tmp_path)
    again = edited(made, plugins={"relu2": "new"})
    reason = "the code of plugin relu2 changed when 2 runs with it had results"
    assert register(again, tmp_path) == f"{reason}; 2 runs not repeated"
    one, other = (run for run in again.runs if run.arm == "relu2")
    complete(again, one, tmp_path)
    assert register(again, tmp_path) == f"{reason}; 1 run not repeated"
    complete(again, other, tmp_path)
    assert register(again, tmp_path) == ""
    assert "amended" not in events(tmp_path)
    newest = edited(replace(made, runs=tuple(replace(run, id=f"{run.id[1:]}0") for run in made.runs)))
    newest = replace(
        newest, runs=tuple(replace(run, record={**run.record, "plugins": {"relu2": "newest"}}) for run in newest.runs)
    )
    assert register(newest, tmp_path).endswith("2 runs not repeated")
    for run in (run for run in newest.runs if run.arm == "relu2"):
        complete(newest, run, tmp_path, value=1.0 if run.seed else 1.5)
    assert register(newest, tmp_path).endswith("had results; 1 run came out otherwise")


OPTION = '''"""Squares.

Source: nobody.
"""
from coregpt.api import Plugin, hookimpl


class Squares(Plugin):
    {option}

    @hookimpl
    def add_param_rules(self, param):
        return None
'''


@pytest.mark.parametrize(
    ("option", "said", "words"),
    [
        ("more: float = 1.0", {}, ""),
        ("more: float | None = None", {}, ""),
        ("more: float = 1.0", {"more": 2.0}, "arms.squares.plugins.squares.more absent -> 2.0"),
        ("size: float = 1.0", {}, "arms.squares.plugins.squares.size 2.0 -> 1.0"),
    ],
)
def test_an_option_that_only_one_version_of_a_technique_knows_is_an_amendment_where_it_is_not_the_default(
    lab: Callable[..., Lab], tmp_path: Path, option: str, said: dict[str, Any], words: str
) -> None:
    def study(option: str, said: dict[str, Any]) -> Plan:
        (tmp_path / "squares.py").write_text(OPTION.format(option=option))
        arms = {"gelu": {}, "squares": {"plugins": {"squares": said}, "inert": True}}
        return declared(lab, arms=arms, plugin_files=["squares.py"])

    before = study("size: float = 2.0", {})
    register(before, tmp_path)
    start(before, before.runs[0], tmp_path)
    both = option if option.startswith("size") else f"size: float = 2.0\n    {option}"
    found = register(study(both, said), tmp_path)
    assert found == (f"amended after 1 run had started: {words}" if words else "")
    back = register(study("size: float = 2.0", {}), tmp_path)  # the option is gone again
    assert ("amended" in back) == bool(words)


def test_arms_must_spend_what_the_study_holds_equal(lab: Callable[..., Lab]) -> None:
    arms = {"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "tokens": 64 * 300}}
    with pytest.raises(ConfigError, match=r"equal tokens, within 1%, but it is 7,680 in 'gelu', 19,200 in 'relu2'"):
        declared(lab, arms=arms)
    with pytest.raises(ConfigError, match="equal steps"):
        declared(lab, arms=arms, equal="steps")
    assert declared(lab, arms=arms, equal="seconds").study.equal == "seconds"
    with pytest.raises(ConfigError, match="equal flops"):
        declared(lab, arms={"gelu": {}, "wide": {"model": {"hidden": 64}}}, equal="flops")


def test_a_direction_or_axis_that_does_not_exist_is_a_mistake(lab: Callable[..., Lab]) -> None:
    with pytest.raises(ConfigError, match="direction"):
        declared(lab, direction="up")
    with pytest.raises(ConfigError, match="equal"):
        declared(lab, equal="money")


def test_seeds_added_once_results_can_be_seen_point_to_looks(lab: Callable[..., Lab], tmp_path: Path) -> None:
    first = declared(lab)
    register(first, tmp_path)
    start(first, first.runs[0], tmp_path)
    assert register(declared(lab, seeds=3), tmp_path) == (
        "amended after 1 run had started: seeds [0, 1] -> [0, 1, 2]; a study that may go on until it is decided "
        "declares looks: or anytime: beforehand"
    )
