"""Made-up logs in the formats found in the wild, with everything around the metrics that real ones have."""

from pathlib import Path

SEPARATOR = "=" * 100
OPENING = '''"""
Reproduces the record: the last line of its log was
step:9999/9999 val_loss:1.00000 train_time:1.000s step_avg:1.00ms
s:9999 tel:1.0
"""
'''


def source(seed: int | None = None, lines: int = 1100, note: str = "") -> str:
    """Over a thousand lines of code that speak of step: and val_loss: in every way they can."""
    parts = [OPENING, "import os", "import torch", "from torch import nn", note]
    if seed is not None:
        parts.append(f"torch.manual_seed({seed})")
    for i in range(lines // 6):
        parts += [
            f"def part_{i}(step, val_loss):",
            "    # step:1750/3250 val_loss:3.45678 train_time:123.456s step_avg:95.12ms",
            '    print0(f"step:{step}/{train_steps} val_loss:{val_loss:.4f} train_time:{t:.0f}ms", console=True)',
            '    seed = "not a number"',
            "# step: and val_loss: are logged every val_loss_every steps",
            "",
        ]
    parts += ['tail = """', "step:1/2 val_loss:9.9", '"""', "main()"]
    return "\n".join(parts)


def smi(device: str = "NVIDIA H100 80GB HBM3", count: int = 8) -> str:
    """What nvidia-smi prints."""
    edge = "+" + "-" * 89 + "+"
    rows = [
        f"|   {i}  {device:<22}         On  |   00000000:{i:02X}:00.0 Off |                    0 |\n"
        "| N/A   36C    P0             119W /  700W |    1499MiB /  81559MiB |      0%      Default |"
        for i in range(count)
    ]
    head = "| NVIDIA-SMI 550.127.05   Driver Version: 550.127.05   CUDA Version: 12.4     |"
    processes = "|    0   N/A  N/A     92345      C   /usr/bin/python3                             1490MiB |"
    return "\n".join(["Fri Sep 26 10:00:00 2025", edge, head, *rows, edge, processes, edge])


def seconds_lines(values: dict[int, float], planned: int) -> list[str]:
    return [
        f"step:{s}/{planned} val_loss:{v:.5f} train_time:{0.1 * s:.3f}s step_avg:{100.0 if s else float('nan'):.2f}ms"
        for s, v in values.items()
    ]


def milliseconds_lines(values: dict[int, float], planned: int, ema: bool = False) -> list[str]:
    second = (lambda v: f" val_ema_loss:{v - 0.01:.4f}") if ema else (lambda v: "")
    lines = []
    for s, v in values.items():
        lines.append(f"step:{s}/{planned} train_time:{100 * s}ms step_avg:{100.0 if s else float('nan'):.2f}ms")
        lines.append(f"step:{s}/{planned} val_loss:{v:.4f}{second(v)} train_time:{100 * s}ms step_avg:100.00ms")
    return [*lines, "peak memory allocated: 33644 MiB reserved: 48552 MiB"]


def old_lines(values: dict[int, float]) -> list[str]:
    """llm.c: validation and training loss take turns."""
    return [line for s, v in values.items() for line in (f"s:{s} tel:{v:.6f}", f"s:{s} trl:{v + 0.1:.6f}")]


def curve(end: float, planned: int, points: int = 8) -> dict[int, float]:
    """A falling curve that ends at `end`."""
    steps = [planned * i // points for i in range(points + 1)]
    return {s: 10.8258 if s == 0 else end + 1.5 * (planned - s) / planned for s in steps}


def full_log(
    lines: list[str], seed: int | None = None, torch: str = "2.8.0+cu126", device: str = "", note: str = ""
) -> str:
    """Code, a line of equals signs, versions, nvidia-smi, and only then the metrics."""
    versions = f"Running Python 3.12.7 (main) [GCC 13.2.0]\nRunning PyTorch {torch} compiled for CUDA 12.6"
    table = smi(device) if device else smi()
    return "\n".join([source(seed, note=note), SEPARATOR, versions, table, SEPARATOR, *lines]) + "\n"


def write_arms(folder: Path, ends: dict[str, list[float]], planned: dict[str, int] | None = None) -> Path:
    """One folder per arm with one full log per value."""
    for arm, values in ends.items():
        (folder / arm).mkdir(parents=True)
        for i, end in enumerate(values):
            length = (planned or {}).get(arm, 3000)
            lines = seconds_lines(curve(end, length), length)
            (folder / arm / f"{i}.txt").write_text(full_log(lines, note=f"# {arm}"), encoding="utf-8")
    return folder
