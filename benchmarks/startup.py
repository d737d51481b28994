"""How long a person waits before anything happens."""

import statistics
import subprocess
import sys
import time


def help_seconds(times: int = 9) -> float:
    """Median wall seconds of `coregpt --help` in a process of its own."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "coregpt.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)
