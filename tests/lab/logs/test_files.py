"""Arms from folders or patterns; copies counted once and named; judged where all have arrived."""

import math
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.duplicates import drop_duplicates
from coregpt.lab.logs.files import LoggedArm, Selection, read_arms
from coregpt.lab.logs.judge import check_metric, check_step, judge, last_common_step
from coregpt.lab.logs.parse import LoggedRun, parse
from tests.lab.logs.made import curve, full_log, old_lines, seconds_lines, write_arms


def one(values: dict[int, float], planned: int, name: str = "a.txt") -> LoggedRun:
    return parse("\n".join(seconds_lines(values, planned)), name)[0]


def test_one_folder_is_one_arm(tmp_path: Path) -> None:
    write_arms(tmp_path, {"new": [3.27, 3.28], "base": [3.29, 3.30, 3.31]})
    (tmp_path / "new" / "plot.png").write_bytes(b"\0\1")
    (tmp_path / "pictures").mkdir()
    assert [(arm.name, len(arm.runs), arm.warnings) for arm in read_arms(tmp_path)] == [
        ("base", 3, ["1 file in new is no log by name (.png); not read", "pictures is an empty folder; no arm"]),
        ("new", 2, []),
    ]


def test_patterns_name_arms_across_folders(tmp_path: Path) -> None:
    write_arms(tmp_path, {"x": [3.27, 3.28], "y": [3.29]})
    arms = read_arms(tmp_path, [Selection.of("first=x/0.txt"), Selection.of("rest=x/1.*"), Selection.of("rest=y/*")])
    assert [(arm.name, [run.file for run in arm.runs]) for arm in arms] == [
        ("first", ["x/0.txt"]),
        ("rest", ["x/1.txt", "y/0.txt"]),
    ]


def test_a_run_without_a_planned_length_is_measured_by_the_longest_of_its_arm(tmp_path: Path) -> None:
    for name, steps in (("a/1.log", 800), ("a/2.log", 500), ("b/1.log", 800), ("b/2.log", 800)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        values = curve(3.2 + len(name) * steps / 1e5 + ord(name[0]) / 1e4 + ord(name[2]) / 1e3, 800)
        lines = old_lines({s: v for s, v in values.items() if s <= steps})
        (tmp_path / name).write_text("\n".join(lines))
    a, b = read_arms(tmp_path)
    assert [run.ended_early() for run in a.runs + b.runs] == [False, True, False, False]
    assert last_common_step([a, b], "val_loss") == 800
    assert "do not say how long" in a.warnings[0]
    assert b.warnings == []


def test_a_run_that_ends_at_step_0_is_named_and_not_counted(tmp_path: Path) -> None:
    write_arms(tmp_path, {"base": [3.27], "new": [3.25]})
    (tmp_path / "new" / "crash.txt").write_text(full_log(seconds_lines({0: 10.8258}, 3000)))
    _, new = read_arms(tmp_path)
    assert (len(new.runs), new.warnings) == (1, ["new/crash.txt ends at step 0; not counted"])


def test_an_odd_letter_or_a_byte_order_mark_hides_no_run(tmp_path: Path) -> None:
    write_arms(tmp_path, {"base": [3.27], "new": [3.25]})
    lines = "\r\n".join(seconds_lines(curve(3.2, 800), 800))
    (tmp_path / "new" / "latin.txt").write_bytes(b"# caf\xe9\n" + lines.encode())
    (tmp_path / "new" / "mark.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    _, new = read_arms(tmp_path)
    assert [len(run.curve("val_loss")) for run in new.runs] == [9, 9, 9]


@pytest.mark.parametrize("text", ["x", "=x", "x=", "x=/abs/*", "x=../y/*"])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--arm"):
        Selection.of(text)


def test_a_file_cannot_belong_to_two_arms(tmp_path: Path) -> None:
    write_arms(tmp_path, {"x": [3.27, 3.28]})
    with pytest.raises(ConfigError, match=r"belongs to two arms, a and b"):
        read_arms(tmp_path, [Selection.of("a=x/*"), Selection.of("b=x/1.txt")])


def test_byte_copies_and_equal_curves_count_once(tmp_path: Path) -> None:
    write_arms(tmp_path, {"base": [3.27, 3.28], "new": [3.25, 3.26]})
    (tmp_path / "new" / "copy.txt").write_bytes((tmp_path / "new" / "0.txt").read_bytes())
    same = seconds_lines(curve(3.26, 3000), 3000)
    (tmp_path / "new" / "again.txt").write_text(full_log(same, seed=5))
    (tmp_path / "new" / "cut.txt").write_text(full_log(same[:6], torch="2.9"))
    base, new = read_arms(tmp_path)
    drop_duplicates([base, new], "val_loss")
    assert len(base.runs) == len(new.runs) == 2
    assert new.warnings == [
        "new/copy.txt is a byte copy of new/0.txt; counted once",
        "new/again.txt has the same val_loss curve as new/1.txt; counted once",
        "new/cut.txt has the same val_loss curve as new/1.txt; counted once",
    ]


def test_a_copy_in_another_arm_is_told_as_one(tmp_path: Path) -> None:
    """Whose run it is nobody knows, and the arm that is read first has it."""
    write_arms(tmp_path, {"base": [3.27, 3.28], "new": [3.25, 3.26]})
    (tmp_path / "base" / "copy.txt").write_bytes((tmp_path / "new" / "0.txt").read_bytes())
    (tmp_path / "base" / "again.txt").write_text(full_log(seconds_lines(curve(3.26, 3000), 3000), seed=5))
    base, new = read_arms(tmp_path)
    drop_duplicates([base, new], "val_loss")
    doubt = "counted once, for base, and which arm it is of is not known"
    assert new.warnings == [
        f"new/0.txt is a byte copy of base/copy.txt; {doubt}",
        f"new/1.txt has the same val_loss curve as base/again.txt; {doubt}",
    ]


def test_two_lost_runs_are_not_copies_of_each_other() -> None:
    values = {0: 10.8258, 100: 6.0} | dict.fromkeys(range(200, 900, 100), math.nan)
    arm = LoggedArm("a", [one(values, 800, "a.txt"), one(values, 800, "b.txt")])
    drop_duplicates([arm], "val_loss")
    assert len(arm.runs) == 2


def test_the_last_step_all_full_runs_share_is_judged() -> None:
    long, short = one(curve(3.2, 1600), 1600), one(curve(3.3, 800), 800)
    cut = one({s: v for s, v in curve(3.3, 800).items() if s <= 300}, 800)
    arms = [LoggedArm("long", [long]), LoggedArm("short", [short, cut])]
    assert last_common_step(arms, "val_loss") == 800
    assert judge(long, "val_loss", 800).status == "finished"
    lost = judge(cut, "val_loss", 800)
    assert (lost.status, lost.value, lost.reason) == ("failed", None, "the log ends at step 300 of 800 planned")
    assert judge(cut, "val_loss", 300).reason == "stopped later, at step 300 of 800"


def test_a_lost_run_is_diverged_from_then_on() -> None:
    run = one(curve(3.2, 800) | {700: math.nan, 800: math.nan}, 800)
    assert judge(run, "val_loss", 800).status == "diverged"
    assert judge(run, "val_loss", 600).status == "finished"


def test_a_step_or_metric_nobody_logged_is_refused_with_the_nearest() -> None:
    arms = [
        LoggedArm("a", [one(curve(3.2, 800), 800)]),
        LoggedArm("b", parse("\n".join(old_lines(curve(3, 800))), "b")),
    ]
    with pytest.raises(ConfigError, match="nearest to it: 400, 500, 600, 700"):
        check_step(arms, "val_loss", 555)
    with pytest.raises(ConfigError, match=r"--metric val_los: never logged by a, b; logged by every arm: val_loss"):
        check_metric(arms, "val_los")


def test_runs_without_a_common_step_are_refused() -> None:
    arms = [LoggedArm(str(i), [one({0: 10.8, i: 4.0, 2 * i: 3.0, 4 * i: 2.0}, 4 * i)]) for i in (70, 110)]
    with pytest.raises(ConfigError, match="no step after 0"):
        last_common_step(arms, "val_loss")


def test_an_arm_that_never_ended_needs_a_step() -> None:
    with pytest.raises(ConfigError, match="--step N"):
        last_common_step([LoggedArm("a", [one({0: 10.8, 100: 4.0}, 800)])], "val_loss")
