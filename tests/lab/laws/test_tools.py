"""Tools of the laws: they measure and say nothing."""

import subprocess
import sys


def test_counting_executed_flops_prints_nothing() -> None:
    code = (
        "import torch; from coregpt.lab.laws.tools import executed_flops;"
        "print(executed_flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"{2 * 3 * 4 * 5}\n", "")
