"""Which precision `auto` becomes, from what the hardware says of itself."""

import pytest
import torch

from coregpt.engine.arithmetic import platform
from coregpt.engine.arithmetic.platform import fast_precision


@pytest.mark.parametrize(
    ("bf16", "capability", "precision"),
    [(True, (8, 0), "bf16"), (False, (7, 5), "fp16"), (False, (7, 0), "fp16"), (False, (6, 1), "fp32")],
)
def test_a_gpu_without_bf16_trains_in_fp16_where_that_is_faster(monkeypatch, bf16, capability, precision) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert fast_precision("cuda") == precision


@pytest.mark.parametrize(
    ("avx", "amx", "amd", "precision"),
    [
        (True, True, False, "bf16"),
        (False, True, False, "bf16"),
        (True, False, True, "bf16"),
        (True, False, False, "fp32"),  # Intel's AVX-512 multiplies bf16 at half the rate of fp32
        (False, False, True, "fp32"),
    ],
)
def test_a_cpu_trains_in_bf16_where_that_is_faster_than_fp32(monkeypatch, avx, amx, amd, precision) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(platform, "is_amd", lambda: amd)
    assert fast_precision("cpu") == precision


def test_who_made_the_processor_is_read_where_the_system_tells_it(monkeypatch, tmp_path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9654\n")
    assert platform.is_amd(told)
    told.write_text("processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Processor\n")
    assert not platform.is_amd(told)
    for name, amd in (
        ("AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", True),
        ("Intel64 Family 6, GenuineIntel", False),
    ):
        monkeypatch.setattr(platform.platform, "processor", lambda name=name: name)
        assert platform.is_amd(tmp_path / "nowhere") is amd
