"""What a log's own lines say of a configuration, and that runs of several in one arm are told by it."""

from pathlib import Path

import pytest

from coregpt.lab.logs.files import read_arms
from coregpt.lab.logs.parse import parse
from coregpt.lab.logs.said import settings_in
from coregpt.report.imported.facts import _mixed
from tests.lab.logs.made import curve, seconds_lines, write_arms


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("lr=0.02", {"lr": "0.02"}),
        ("learning_rate: 6e-4", {"learning_rate": "6e-4"}),
        ("Namespace(lr=0.02, beta=0.95, compile=True, optimizer='muon')", None),
        (
            '{"optim": {"lr": 0.02, "betas": [0.9, 0.95]}, "seed": 3}',
            {"optim.lr": "0.02", "optim.betas": "[0.9, 0.95]"},
        ),
        ("{'lr': 0.02, 'nesterov': True}", {"lr": "0.02", "nesterov": "True"}),
        ("python train.py --lr 0.02 --optimizer=muon --seed 4", {"lr": "0.02", "optimizer": "muon"}),
        ("run_id=8f2c out_dir=/data/runs/3 rank: 0", {}),
        ("[2026-11-30 10:11:12] starting", {}),
        ("number of parameters: 123.59M", {}),
        ("{not a dictionary}", {}),
    ],
)
def test_settings_are_read_as_logs_write_them(line: str, settings: dict[str, str] | None) -> None:
    whole = {"lr": "0.02", "beta": "0.95", "compile": "True", "optimizer": "muon"}
    assert settings_in(line) == (whole if settings is None else settings)


def test_what_comes_after_the_first_reading_is_no_configuration() -> None:
    (run,) = parse("lr=0.02\nstep:10/20 val_loss:3.5\nlr=0.001\nstep:20/20 val_loss:3.4\n", "a.txt")
    assert run.said == {"lr": "0.02"}


@pytest.mark.parametrize(
    "form", ["lr={}", 'config {{"lr": {}}}', '{{"optim": {{"lr": {}}}}}', "args: --lr {} --wd 0.1"]
)
def test_runs_of_two_rates_in_one_arm_are_told(tmp_path: Path, form: str) -> None:
    write_arms(tmp_path, {"base": [3.28, 3.29], "new": []})
    for i, rate in enumerate(("0.02", "0.03")):
        lines = "\n".join(seconds_lines(curve(3.2 + i / 1e3, 3000), 3000))
        (tmp_path / f"new/{i}.txt").write_text(f"seed={i}\n{form.format(rate)}\n{lines}")
    told = "\n".join(_mixed(read_arms(tmp_path)))
    assert "The runs of new differ in" in told
    assert "lr (0.02 / 0.03): one arm, several configurations." in told
    assert "seed" not in told
