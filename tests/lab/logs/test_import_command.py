"""`coregpt import`: the same report as any study, with everything the logs do not tell said plainly."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json
from tests.lab.logs.made import curve, full_log, seconds_lines, write_arms

BASE = [3.2801, 3.2793, 3.2812, 3.2788, 3.2805, 3.2799]
NEW = [3.2806, 3.2797, 3.2808, 3.2791, 3.2802, 3.2796]
Import = Callable[..., Report]


@pytest.fixture
def run(tmp_path: Path) -> Import:
    """Import `tmp_path/logs` and read the report back."""

    def call(*arguments: str) -> Report:
        out = tmp_path / "out"
        assert main(["import", str(tmp_path / "logs"), "--out", str(out), *arguments]) == 0
        return from_json((out / "report.json").read_text(encoding="utf-8"))

    return call


def warned(report: Report) -> str:
    return "\n".join(report.notes)


def test_arms_of_different_size_are_compared_unpaired(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": [v - 0.02 for v in BASE[:4]]})
    report = run("--margin", "0.001")
    (found,) = report.comparisons
    assert report.design.method == "welch_holm"
    assert (found.verdict, found.gain) == ("better", pytest.approx(0.02, abs=0.001))
    assert found.sentence.startswith("Exploratory: ")
    assert "4 against 6 runs" in found.sentence
    assert [arm.finished for arm in report.arms] == [6, 4]
    assert len(report.runs) == 10
    assert "no log names its seed" in warned(report)
    assert "All runs are judged at step 3,000, the last step" in warned(report)


def test_what_logs_do_not_say_is_unknown(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": NEW})
    report = run()
    assert report.study.arms[0].parameters is None
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| base | unknown | unknown | unknown | 3,000 |" in page
    assert "Nothing was fixed before these runs were made" in page
    assert "Preregistration" not in page
    assert "declared" not in page
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "parameters unknown, FLOPs per token unknown" in html
    assert re.findall(r'id="axis-(\w+)"', html) == ["steps", "seconds"]
    assert str(tmp_path) not in page + html


def test_shared_seeds_pair_the_runs(tmp_path: Path, run: Import) -> None:
    for arm, shift in (("base", 0.0), ("new", 0.01)):
        (tmp_path / "logs" / arm).mkdir(parents=True)
        for seed, value in zip(range(11, 17), BASE, strict=True):
            text = full_log(seconds_lines(curve(value - shift - seed * 1e-5, 800), 800), seed=seed)
            (tmp_path / "logs" / arm / f"{seed * 7}.txt").write_text(text)
    report = run()
    assert report.study.paired
    assert report.study.seeds == (11, 12, 13, 14, 15, 16)
    assert report.design.method == "paired_t"
    assert "paired by the seeds" in warned(report)
    (tmp_path / "logs" / "new" / "77.txt").unlink()
    report = run()
    assert not report.study.paired
    assert "the arms do not have the same distinct seeds" in warned(report)


def test_different_lengths_and_setups_are_confounds(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "long": NEW}, planned={"long": 6000})
    text = full_log(seconds_lines(curve(3.21, 3000), 3000), torch="2.9.0", device="NVIDIA H200", note="# base")
    (tmp_path / "logs" / "base" / "other.txt").write_text(text)
    report = run()
    assert {item.setting for item in report.study.confounds} == {"planned steps", "device", "torch"}
    words = warned(report)
    assert "(base 100% and long 50%)" in words
    assert "The runs of base differ in device (NVIDIA H100 80GB HBM3 / NVIDIA H200)" in words
    assert "The runs of base differ in torch (2.8.0+cu126 / 2.9.0)" in words
    assert "source code" not in words
    assert "different points of their schedules" in report.study.exploratory
    assert "Mean val_loss at each arm's own end" in words


def test_two_configurations_in_one_arm_are_named(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": NEW})
    text = full_log(seconds_lines(curve(3.21, 3000), 3000), note="# new, learning rate 0.03")
    (tmp_path / "logs" / "new" / "other.txt").write_text(text)
    assert "The runs of new differ in source code" in warned(run())


def test_an_early_end_makes_the_arm_invalid_and_says_which_run(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": NEW[1:]})
    cut = seconds_lines(curve(3.2, 3000), 3000)[:5]
    (tmp_path / "logs" / "new" / "cut.txt").write_text(full_log(cut))
    report = run()
    assert report.comparisons[0].verdict == "invalid"
    bad = [item for item in report.runs if item.status == "failed"]
    assert [(item.run_id, item.reason) for item in bad] == [
        ("new/cut.txt", "the log ends at step 1500 of 3000 planned")
    ]
    assert "Ended before their planned length: new/cut.txt" in warned(report)
    assert run("--step", "1500").comparisons[0].verdict != "invalid"


def test_lost_runs_are_diverged(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": NEW[:3]})
    for i in range(4):
        values = curve(3.2 + i / 100, 3000) | {s: float("nan") for s in (2625, 3000)}
        (tmp_path / "logs" / "new" / f"lost{i}.txt").write_text(full_log(seconds_lines(values, 3000)))
    report = run()
    assert report.comparisons[0].verdict == "unstable"
    assert "4 of 7 runs diverged, against 0 of 6 for base" in report.comparisons[0].cause


def test_the_same_logs_give_the_same_bytes_and_the_json_all_pages(tmp_path: Path, run: Import) -> None:
    write_arms(tmp_path / "logs", {"base": BASE, "new": [v - 0.001 for v in BASE]})
    run()
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    run()
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert main(["report", str(tmp_path / "out" / "report.json"), "--out", str(tmp_path / "again")]) == 0
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}


def test_arms_of_different_length_are_called_neither_better_nor_worse(tmp_path: Path, run: Import) -> None:
    ends = {"base": BASE, "long": [v - 0.05 for v in NEW], "same": [v - 0.05 for v in NEW]}
    write_arms(tmp_path / "logs", ends, planned={"long": 6000})
    report = run("--step", "3000")
    by_arm = {c.arm: c for c in report.comparisons}
    assert by_arm["long"].verdict == "inconclusive"
    assert (by_arm["long"].p, by_arm["long"].gain, by_arm["long"].p_welch) == (None, None, None)
    assert "planned for 6,000 steps, those of base for 3,000 steps" in by_arm["long"].cause
    assert "more seed" not in by_arm["long"].sentence
    assert by_arm["same"].verdict == "better"


def test_a_target_judges_each_arm_at_its_own_end(tmp_path: Path, run: Import) -> None:
    ends = {"base": BASE, "long": [v - 0.05 for v in NEW], "short": [v + 0.2 for v in NEW]}
    write_arms(tmp_path / "logs", ends, planned={"long": 6000, "short": 1500})
    report = run("--target", "3.4")
    assert report.targets is not None
    found = {claim.arm: claim for claim in report.targets.claims}
    # curve(): a straight line down to its end at eight evaluations, 1.5 / 8 between them
    assert {arm: claim.earliest_step for arm, claim in found.items()} == {"base": 3000, "long": 6000, "short": None}
    assert [arm.steps for arm in report.study.arms] == [3000, 6000, 1500]
    assert report.headline == (
        "Exploratory: val_loss 3.4 is shown to be reached, the earliest first, by base (step 3,000) and "
        "long (step 6,000); not shown for short."
    )
    assert {c.verdict for c in report.comparisons} == {"inconclusive"}
    (steps,) = report.targets.races
    base, long, short = steps.arrivals
    expected = [3000 - 3000 * (3.4 - end) / 1.5 for end in BASE]
    assert base.mean == pytest.approx(sum(expected) / len(expected), abs=0.2)
    assert (long.horizon, short.horizon, long.reached, short.reached) == (None, 1500, 6, 0)
    assert "6 of 6 runs of short never reached it" in short.no_ratio
    assert report.timing.to_target is None
    words = warned(report)
    assert "Each arm is judged at its own end" in words
    assert "do not show what one technique is worth" in words
    assert "--target 3.4" in report.study.command
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "How much" not in html
    assert "Is the mean val_loss below 3.4?" in html


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message of an import that must end with exit code 2."""
    assert main(["import", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_nothing_to_read_is_one_message_that_says_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such folder" in refused(capsys, "nowhere")
    logs = tmp_path / "logs"
    logs.mkdir()
    assert "no training log here" in refused(capsys, "logs")
    (logs / "a.txt").write_text(full_log(seconds_lines(curve(3.2, 800), 800)))
    assert "--arm NAME=GLOB" in refused(capsys, "logs")
    assert "cannot be read as a folder" in refused(capsys, "logs/a.txt")
    (logs / "one").mkdir()
    (logs / "one" / "a.txt").write_text("nothing of use\n")
    assert "one/a.txt holds no metric line" in refused(capsys, "logs")
    (logs / "one" / "a.txt").write_bytes(b"\x00\xff\x00")
    assert "not a text file" in refused(capsys, "logs")
    assert not (tmp_path / "runs").exists()


def test_wrong_arguments_are_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = str(write_arms(tmp_path / "logs", {"base": BASE, "new": [3.27, 3.26]}))
    assert "expected one of base, new" in refused(capsys, logs, "--baseline", "bse")
    assert "--step 7: base, new has no val_loss there" in refused(capsys, logs, "--step", "7")
    assert "never logged by base, new" in refused(capsys, logs, "--metric", "accuracy")
    assert "no file in" in refused(capsys, logs, "--arm", "a=new/*", "--arm", "b=nothing/*")
    assert "--alpha" in refused(capsys, logs, "--alpha", "2")
    for target in ("0", "-1", "nan", "inf"):
        assert "above 0 and finite" in refused(capsys, logs, "--target", target)
    assert "at its own end" in refused(capsys, logs, "--target", "3.3", "--step", "3000")
    assert "--name a/b" in refused(capsys, logs, "--name", "a/b")
    for path in (tmp_path / "logs" / "base").iterdir():
        (tmp_path / "logs" / "new" / f"copy{path.name}").write_bytes(path.read_bytes())
    copies = refused(capsys, logs, "--arm", "a=base/*", "--arm", "b=new/copy*")
    assert "no run is left for b" in copies
    assert "is a byte copy of" in copies


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser can read everything")
def test_a_folder_that_cannot_be_read_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = write_arms(tmp_path / "logs", {"base": BASE, "new": NEW})
    (logs / "new").chmod(0)
    try:
        assert "cannot be read as a folder" in refused(capsys, str(logs))
    finally:
        (logs / "new").chmod(0o755)
