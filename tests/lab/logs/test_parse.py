"""Whole logs: source code that talks like a log, several runs in one file, restarts, early ends, seeds."""

import math

import pytest

from coregpt.lab.logs.parse import parse
from tests.lab.logs.made import SEPARATOR, curve, full_log, milliseconds_lines, old_lines, seconds_lines, smi, source

SHORT = curve(3.28, 800)


def rounded(values: dict[int, float], digits: int) -> dict[int, float]:
    return {step: round(value, digits) for step, value in values.items()}


def test_source_code_is_no_metric_however_it_talks() -> None:
    text = full_log(seconds_lines(SHORT, 800))
    assert len(text.splitlines()) > 1000
    (run,) = parse(text, "a.txt")
    assert run.curve("val_loss") == rounded(SHORT, 5)
    assert (run.planned, run.last_step, run.ended_early()) == (800, 800, False)
    assert run.seconds[800] == pytest.approx(80.0)


def test_versions_and_devices_come_from_the_header() -> None:
    (run,) = parse(full_log(milliseconds_lines(SHORT, 800)), "a.txt")
    code = run.facts.pop("code")
    assert len(code) == 12
    assert run.facts == {
        "torch": "2.8.0+cu126",
        "python": "3.12.7",
        "driver": "550.127.05",
        "device": "NVIDIA H100 80GB HBM3",
        "world size": "8",
    }


def test_device_and_world_size_in_a_sentence() -> None:
    head = "Running PyTorch 2.11.0+cu130 compiled for CUDA 13.0 on NVIDIA GH200 120GB with world_size 4\n"
    (run,) = parse(head + "\n".join(seconds_lines(SHORT, 800)), "a.txt")
    assert run.facts == {"torch": "2.11.0+cu130", "device": "NVIDIA GH200 120GB", "world size": "4"}


def test_source_without_a_closing_line_is_still_source() -> None:
    (run,) = parse(source() + "\n" + "\n".join(seconds_lines(SHORT, 800)), "a.txt")
    assert run.curve("val_loss") == rounded(SHORT, 5)


def test_the_old_format_has_no_planned_length() -> None:
    (run,) = parse("\n".join(old_lines(SHORT)), "main.log")
    assert run.curve("val_loss") == rounded(SHORT, 6)
    assert run.curve("train_loss")[800] == pytest.approx(3.38)
    assert (run.planned, run.ended_early()) == (None, False)


def test_a_second_readout_is_a_metric_of_its_own() -> None:
    (run,) = parse("\n".join(milliseconds_lines(SHORT, 800, ema=True)), "a.txt")
    assert run.curve("val_ema_loss")[800] == 3.27
    assert run.curve("val_loss")[800] == 3.28


@pytest.mark.parametrize("first", [0, 100])
def test_several_runs_in_one_file_with_or_without_a_reading_at_step_0(first: int) -> None:
    curves = [{s: v for s, v in curve(end, 800).items() if s >= first} for end in (3.28, 3.29, 3.27)]
    text = full_log([line for values in curves for line in seconds_lines(values, 800)])
    runs = parse(text, "many.txt")
    assert [run.name for run in runs] == ["many.txt", "many.txt#2", "many.txt#3"]
    assert [run.curve("val_loss") for run in runs] == [rounded(values, 5) for values in curves]
    assert len({run.facts["code"] for run in runs}) == 1


def test_whole_logs_one_after_another_keep_their_own_header() -> None:
    text = full_log(seconds_lines(SHORT, 800), seed=1) + full_log(
        seconds_lines(curve(3.3, 800), 800), seed=2, torch="2.9", device="NVIDIA H200"
    )
    first, second = parse(text, "two.txt")
    assert (first.facts["torch"], second.facts["torch"]) == ("2.8.0+cu126", "2.9")
    assert (first.facts["device"], second.facts["device"]) == ("NVIDIA H100 80GB HBM3", "NVIDIA H200")
    assert (first.seed, second.seed) == (1, 2)
    assert first.facts["code"] == second.facts["code"]


def test_a_run_that_fell_over_at_step_0_is_followed_by_another() -> None:
    lines = seconds_lines({0: 10.8311}, 800) + seconds_lines(SHORT, 800)
    assert [run.last_step for run in parse("\n".join(lines), "a.txt")] == [0, 800]


def test_lines_told_twice_are_one_reading() -> None:
    lines = [line for line in seconds_lines(SHORT, 800) for _ in range(2)]
    assert [run.curve("val_loss") for run in parse("\n".join(lines), "a.txt")] == [rounded(SHORT, 5)]


def test_a_run_continued_from_a_checkpoint_is_one_run() -> None:
    head = {s: v + 0.5 for s, v in SHORT.items() if s <= 500}
    tail = {s: v for s, v in SHORT.items() if s >= 300}
    (run,) = parse("\n".join(seconds_lines(head, 800) + seconds_lines(tail, 800)), "a.txt")
    assert run.resumed_at == (300,)
    assert run.curve("val_loss") == rounded({**{s: v for s, v in head.items() if s < 300}, **tail}, 5)


def test_early_ends_and_lost_runs_are_seen() -> None:
    (early,) = parse("\n".join(seconds_lines({s: v for s, v in SHORT.items() if s <= 500}, 800)), "a.txt")
    assert early.ended_early()
    (lost,) = parse("\n".join(seconds_lines(SHORT | {700: math.nan, 800: math.nan}, 800)), "a.txt")
    assert lost.diverged_at("val_loss") == 700


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (full_log(seconds_lines(SHORT, 800), seed=7), "a.txt"),
        (full_log(["seed: 7", *seconds_lines(SHORT, 800)]), "a.txt"),
        (full_log(["Training with seed=7", *seconds_lines(SHORT, 800)], seed=3), "a.txt"),
        (full_log(["run.py --seed 7 --lr 0.02", *seconds_lines(SHORT, 800)]), "a.txt"),
        (full_log(["{'data_seed': 3, 'seed': 7}", *seconds_lines(SHORT, 800)]), "a.txt"),
        (full_log([*seconds_lines(SHORT, 800), "args.seed=7"]), "a.txt"),
        (full_log(seconds_lines(SHORT, 800), seed=1337), "run_seed7.txt"),
        (full_log(seconds_lines(SHORT, 800)), "muon-seed-7-h100.log"),
    ],
)
def test_the_seed_in_code_in_a_log_line_and_in_the_name(text: str, name: str) -> None:
    assert [run.seed for run in parse(text, name)] == [7]


def test_no_seed_is_no_seed() -> None:
    assert [run.seed for run in parse(full_log(seconds_lines(SHORT, 800)), "5c1f-42.txt")] == [None]


def test_the_code_digest_ignores_the_seed_and_nothing_else() -> None:
    lines = seconds_lines(SHORT, 800)
    digests = [
        parse(text, "a.txt")[0].facts["code"]
        for text in (full_log(lines, seed=1), full_log(lines, seed=22), full_log(lines, seed=1, note="# lr 0.03"))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_log_without_metrics_holds_no_run() -> None:
    assert parse(f"{source()}\n{SEPARATOR}\n{smi()}\n{SEPARATOR}\n", "a.txt") == []
    assert parse("", "a.txt") == []
