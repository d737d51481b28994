"""How logged runs end: lost, without their last evaluation, quoted, or executed twice; each is named, none dropped."""

import json
import re
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.logs.duplicates import drop_duplicates
from coregpt.lab.logs.files import LoggedArm, read_arms
from coregpt.lab.logs.judge import is_full, judge, last_common_step, mark_ends
from coregpt.lab.logs.parse import LoggedRun, parse
from coregpt.lab.logs.repeats import average_repeats
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json
from tests.lab.logs.made import curve, full_log, seconds_lines, write_arms


def run_of(values: dict[int, float], planned: int, name: str, **known: object) -> LoggedRun:
    (run,) = parse("\n".join(seconds_lines(values, planned)), name)
    for key, value in known.items():
        setattr(run, key, value)
    return run


def imported(logs: Path, *words: str) -> Report:
    out = logs.parent / "out"
    assert main(["import", str(logs), "--out", str(out), *words]) == 0
    return from_json((out / "report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("told", ["-nan(ind)", "1.#QNAN", "tensor(nan)", "inf"])
def test_an_arm_that_was_lost_at_its_last_step_is_not_judged_before_it(tmp_path: Path, told: str) -> None:
    """The six logs of an audit: 'new is better' was said of an arm whose runs all ended in NaN."""
    write_arms(tmp_path / "logs", {"base": [3.28 + i / 1e3 for i in range(6)]}, {"base": 1000})
    (tmp_path / "logs/new").mkdir()
    for i in range(6):
        lines = seconds_lines({s: v for s, v in curve(3.2 + i / 1e3, 1000, 4).items() if s < 1000}, 1000)
        text = full_log([*lines, f"step:1000/1000 val_loss:{told} train_time:1ms"])
        (tmp_path / f"logs/new/{i}.txt").write_text(text)
    report = imported(tmp_path / "logs", "--arm", "base=base/*", "--arm", "new=new/*")
    assert [run.status for run in report.runs if run.arm == "new"] == ["diverged"] * 6
    assert report.comparisons[0].verdict == "unstable"
    assert report.study.arms[0].steps == 1000


def test_none_at_the_end_is_refused_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arms(tmp_path / "logs", {"base": [3.28, 3.29], "new": [3.2, 3.21]})
    file = tmp_path / "logs/new/0.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-1], "step:3000/3000 val_loss:None train_time:1ms"]))
    assert main(["import", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 2
    assert f"{file}:{len(lines)}: val_loss: 'None' cannot be read as a number" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_without_its_last_evaluation_is_named_and_the_others_are_judged_at_their_end() -> None:
    whole = [run_of(curve(3.2 + i / 100, 800), 800, f"{i}.txt") for i in range(2)]
    short = run_of({s: v for s, v in curve(3.2, 800).items() if s < 800}, 800, "short.txt")
    short.last_step = 800  # its training lines go on
    arms = [LoggedArm("a", [*whole, short]), LoggedArm("b", [run_of(curve(3.3, 800), 800, "b.txt")])]
    mark_ends(arms, "val_loss")
    assert [is_full(run, "val_loss") for run in arms[0].runs] == [True, True, False]
    assert last_common_step(arms, "val_loss") == 800
    assert "short.txt is incomplete: it goes on to step 800, and its last val_loss is that of step 700" in str(arms)
    judged = judge(short, "val_loss", 800)
    assert (judged.status, judged.value) == ("failed", None)
    assert arms[1].warnings == []


def test_where_a_whole_arm_lacks_it_the_rhythm_of_evaluations_tells() -> None:
    run = run_of({0: 10.8, 250: 4.0, 500: 3.6, 750: 3.4}, 1000, "a.txt")
    run.last_step = 1000
    mark_ends([LoggedArm("a", [run])], "val_loss")
    assert run.lacks_end
    run.last_step = 999
    mark_ends([LoggedArm("a", [run])], "val_loss")
    assert not run.lacks_end


def test_a_file_with_a_single_reading_quotes_a_run() -> None:
    whole = run_of(curve(3.2, 800), 800, "a.txt")
    quote, alone = run_of({800: 3.2}, 800, "best.txt"), run_of({800: 3.1}, 800, "claim.txt")
    arm = LoggedArm("a", [whole, quote, alone])
    drop_duplicates([arm], "val_loss")
    assert arm.runs == [whole]
    assert arm.warnings == [
        "best.txt holds a single val_loss, a copy of a.txt's; not counted",
        "claim.txt holds a single val_loss, which makes no run; not counted",
    ]


def test_logs_that_are_evaluated_once_each_are_runs() -> None:
    arm = LoggedArm("a", [run_of({800: 3.2 + i / 10}, 800, f"{i}.txt") for i in range(3)])
    drop_duplicates([arm], "val_loss")
    assert len(arm.runs) == 3


def test_one_seed_four_times_is_one_observation() -> None:
    runs = [run_of(curve(3.2 + i / 1e4, 800), 800, f"{i}.txt", seed=7, facts={"code": "abc"}) for i in range(4)]
    other = run_of(curve(3.3, 800), 800, "other.txt", seed=8, facts={"code": "abc"})
    changed = run_of(curve(3.3, 800), 800, "changed.txt", seed=7, facts={"code": "def"})
    arm = LoggedArm("a", [*runs, other, changed])
    average_repeats([arm], "val_loss")
    first, *rest = arm.runs
    assert rest == [other, changed]
    assert first.curve("val_loss")[800] == pytest.approx(3.20015)
    assert first.name == "0.txt + 1.txt + 2.txt + 3.txt"
    (said,) = arm.warnings
    assert said.startswith("0.txt, 1.txt, 2.txt, 3.txt: seed 7 and source code are the same, so they count as one")


def test_an_execution_that_was_cut_is_not_in_the_average_and_one_that_was_lost_is() -> None:
    whole = run_of(curve(3.2, 800), 800, "a.txt", seed=7, facts={"code": "abc"})
    cut = run_of({s: v for s, v in curve(3.3, 800).items() if s < 500}, 800, "b.txt", seed=7, facts={"code": "abc"})
    arm = LoggedArm("a", [whole, cut])
    average_repeats([arm], "val_loss")
    assert arm.runs[0].curve("val_loss")[800] == pytest.approx(3.2)
    assert "b.txt ended early and is not in it" in arm.warnings[0]
    lost = run_of({**curve(3.2, 800), 800: float("nan")}, 800, "c.txt", seed=7, facts={"code": "abc"})
    arm = LoggedArm("a", [whole, lost])
    average_repeats([arm], "val_loss")
    assert judge(arm.runs[0], "val_loss", 800).status == "diverged"


def test_seeds_that_only_the_code_sets_reach_no_claim_in_a_report(tmp_path: Path) -> None:
    for arm, shift in (("base", 0.0), ("new", 0.1)):
        (tmp_path / "logs" / arm).mkdir(parents=True)
        for i in range(4):
            text = full_log(seconds_lines(curve(3.3 - shift + i / 1e4, 800), 800), seed=1, note=f"# {arm}")
            (tmp_path / "logs" / arm / f"{i}.txt").write_text(text)
    report = imported(tmp_path / "logs")
    assert len(report.runs) == 2
    assert report.comparisons[0].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("device_name=NVIDIA GH200 480GB", "NVIDIA GH200 480GB"),
        ("device_name=NVIDIA A40, capability=8.6", "NVIDIA A40"),
        ("Running PyTorch 2.9 compiled for CUDA 13.0 on NVIDIA H200 with world_size 8", "NVIDIA H200"),
        ("training on GH200 120GB with world_size 4", "GH200 120GB"),
        ("device: A40", "A40"),
        ("device: cuda", None),
    ],
)
def test_devices_are_read_as_logs_name_them(line: str, device: str | None) -> None:
    (run,) = parse(f"{line}\nstep:10/10 val_loss:3.5\n", "a.txt")
    assert run.facts.get("device") == device


def test_configurations_in_one_arm_are_told_by_the_setting_that_differs(tmp_path: Path) -> None:
    write_arms(tmp_path / "logs", {"base": [3.28, 3.29], "new": []})
    for i, rate in enumerate(("0.02", "0.03")):
        note = f"learning_rate = {rate}\nname = 'same'\nclass A:\n    decay: float = 0.1"
        text = full_log(seconds_lines(curve(3.2 + i / 1e3, 3000), 3000), note=note)
        (tmp_path / f"logs/new/{i}.txt").write_text(text)
    notes = "\n".join(imported(tmp_path / "logs").notes)
    assert "The runs of new differ in learning_rate (0.02 / 0.03): one arm, several configurations." in notes


def test_what_is_skipped_is_listed_with_its_reason(tmp_path: Path) -> None:
    write_arms(tmp_path, {"base": [3.28], "new": [3.2]})
    (tmp_path / "new" / "run.stdout").write_text(full_log(seconds_lines(curve(3.21, 3000), 3000)))
    (tmp_path / "new" / "notes.md").write_text("best so far\n")
    (tmp_path / "summary.txt").write_text("step:3000/3000 val_loss:3.1\n")
    (tmp_path / "later").mkdir()
    base, new = read_arms(tmp_path)
    assert [run.file for run in new.runs] == ["new/0.txt", "new/run.stdout"]
    assert base.warnings == [
        "later is an empty folder; no arm",
        "1 file in new is no log by name (.md); not read",
        "summary.txt lies beside the folders of arms; not read",
    ]


@pytest.mark.parametrize("value", [3.5, float("nan")])
def test_a_run_with_one_reading_that_was_cut_short_or_lost_is_no_quotation(value: float) -> None:
    """Five runs of which one ended at its first evaluation were judged as four."""
    whole = [run_of(curve(3.2 + i / 100, 800), 800, f"{i}.txt") for i in range(2)]
    early = [run_of({sorted(curve(3.2, 800))[1]: value}, 800, f"early{i}.txt") for i in range(2)]
    arms = [LoggedArm("a", [*whole, *early]), LoggedArm("b", [run_of(curve(3.3, 800), 800, "b.txt")])]
    drop_duplicates(arms, "val_loss")
    assert [run.name for run in arms[0].runs] == ["0.txt", "1.txt", "early0.txt", "early1.txt"]
    mark_ends(arms, "val_loss")
    assert sum(is_full(run, "val_loss") for run in arms[0].runs) == 2


def test_what_is_told_twice_or_cut_off_is_named_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_arms(tmp_path / "logs", {"base": [3.28, 3.29, 3.27], "new": [3.2, 3.21, 3.22]})
    twice, torn = (tmp_path / f"logs/new/{number}.txt" for number in range(2))
    lines = twice.read_text().splitlines()
    first = next(line for line in reversed(lines) if "val_loss" in line)
    again = re.sub(r"val_loss:\S+", "val_loss:9.00000", first)
    twice.write_text("\n".join([*lines, again]) + "\n")
    end = next(i for i, line in enumerate(torn.read_text().splitlines()) if line.startswith("step:3000/3000 val_loss"))
    kept = torn.read_text().splitlines()[: end + 1]
    kept[-1] = re.sub(r"(val_loss:\d\.\d\d).*", r"\1", kept[-1])
    torn.write_text("\n".join(kept))
    assert main(["import", str(tmp_path / "logs"), "--out", str(tmp_path / "out")]) == 0
    notes = "\n".join(json.loads((tmp_path / "out/report.json").read_text())["notes"])
    assert f"new/0.txt:{len(lines) + 1}: val_loss of step 3,000 is told twice, as 3.2 and as 9; the first" in notes
    assert f"new/1.txt:{end + 1}: the log ends inside of a number; its last line is not read" in notes
    report = json.loads((tmp_path / "out/report.json").read_text())
    (lost,) = [run for run in report["runs"] if run["status"] == "failed"]
    assert lost["arm"] == "new"
