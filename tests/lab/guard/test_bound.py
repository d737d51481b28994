"""What all runs share is compared with what it was before a technique was imported."""

import subprocess
import sys

COMPILED = """
import torch
from torch import nn
from coregpt.lab.guard.bound import Bound

before = Bound.now()
torch.compile(nn.Linear(4, 4), backend="eager", fullgraph=True)(torch.ones(2, 4))
before.refuse_changes("was compiled")
"""


def test_what_torchs_compiler_does_to_torch_is_no_techniques_doing() -> None:
    """It puts functions of its own around some of torch's, and stays in the process."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
