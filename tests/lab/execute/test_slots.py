"""Every run gets its own core or its own GPUs."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.jobs import meaning
from coregpt.lab.execute.slots import Slot, cores, find_slots


def visible(monkeypatch: pytest.MonkeyPatch, count: int, names: str | None = None) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    if names is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


def test_cpu_runs_get_a_core_each() -> None:
    assert len(find_slots("cpu", 1, None)) == cores()
    assert len(find_slots("cpu", 1, 3)) == 3
    assert find_slots("cpu", 1, 1)[0].variables()["OMP_NUM_THREADS"] == "1"


def test_gpu_runs_are_pinned_to_different_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, 4)
    slots = find_slots("cuda", 1, None)
    assert [slot.variables()["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0", "1", "2", "3"]
    assert len(find_slots("cuda", 1, 2)) == 2


def test_groups_of_gpus_run_under_torchrun_and_respect_what_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, 5, "7,6,5,4,3")
    slots = find_slots("cuda", 2, None)
    assert [slot.variables()["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["7,6", "5,4"]
    assert "--nproc-per-node=2" in slots[0].command(Path("run"))


def test_too_few_gpus_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, 1)
    with pytest.raises(ConfigError, match="gpus_per_run is 2, but 1 GPUs are visible"):
        find_slots("cuda", 2, None)


def test_a_process_that_dies_without_a_word_is_explained() -> None:
    assert meaning(-9) == "the process was ended by SIGKILL (out of memory?)"
    assert "exit code 7" in meaning(7)


def test_a_run_is_alone_whatever_a_launcher_of_several_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "2")
    assert not {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"} & Slot(()).variables().keys()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "glibc.malloc.hugetlb=1"),
        ("glibc.malloc.check=1", "glibc.malloc.check=1:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_worker_has_large_pages_unless_somebody_chose_others(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    if before is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", before)
    assert Slot(()).variables()["GLIBC_TUNABLES"] == after
