"""What the options of Slurm come to, before there is a cluster."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.slurm.cluster import SlurmOptions
from tests.lab.conftest import STUDY, Lab, write_study


@pytest.mark.parametrize(
    ("gpus", "options", "layout"),
    [
        (1, SlurmOptions(gpus_per_node=8), (1, 1)),
        (8, SlurmOptions(gpus_per_node=8), (1, 8)),
        (16, SlurmOptions(gpus_per_node=8), (2, 8)),
        (12, SlurmOptions(gpus_per_node=8), (2, 6)),
        (8, SlurmOptions(gpus_per_node=8, nodes=4), (4, 2)),
    ],
)
def test_the_gpus_of_a_run_are_shared_alike_by_nodes(gpus: int, options: SlurmOptions, layout: tuple[int, int]) -> None:
    assert options.layout("cuda", gpus) == layout


def test_gpus_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="gpus_per_run is 9"):
        SlurmOptions(gpus_per_node=8).layout("cuda", 9)
    with pytest.raises(ConfigError, match="gpus_per_run is 16"):
        SlurmOptions(gpus_per_node=4, nodes=2).layout("cuda", 16)


def test_runs_for_gpu_nodes_are_planned_on_a_login_node_without(executed: Lab, tmp_path: Path) -> None:
    base = {key: value for key, value in STUDY["base"].items() if key not in ("device", "precision", "compile")}
    outlined = outline(load(write_study(tmp_path / "auto.yaml", executed.data, base=base)))
    here, there = plan(outlined), plan(outlined, "cuda")
    config = there.runs[0].config
    assert (config.device, config.precision, config.compile) == ("cuda", "bf16", True)
    assert there.study.digest == here.study.digest
    declared = outline(load(executed.study))
    assert plan(declared, "cuda").runs == plan(declared).runs, "what the study declares stays"


def test_options_of_slurm_are_not_silently_ignored(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(executed.command("--gpus-per-node", "8")) == 2
    assert "--gpus-per-node is for Slurm: add --on slurm" in capsys.readouterr().err
    assert main(["plan", str(executed.study), "--time", "5"]) == 2
    assert "--time is for Slurm: add --emit sbatch" in capsys.readouterr().err
    assert main(executed.command("--on", "slurm", "--sbatch", "mem")) == 2
    assert "--sbatch mem: expected KEY=VALUE" in capsys.readouterr().err


def test_without_slurm_or_submitit_nothing_is_begun(
    executed: Lab,
    tmp_path: Path,
    commands: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = executed.with_runs_in(tmp_path / "here")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "submitit", None)
        assert main(here.command("--on", "slurm")) == 2
    assert "pip install 'coregpt[slurm]'" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(here.command("--on", "slurm")) == 2
    assert "sbatch is not on PATH" in capsys.readouterr().err
    assert not list(here.folder.rglob("config.json"))
