"""Every command that docs/speed.md names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "speed.md").read_text()


def test_every_command_can_be_run() -> None:
    named = set(re.findall(r"python -m benchmarks\.(\w+)", PAGE))
    assert {"prices", "guard", "gpu"} <= named
    for name in named:
        assert '__name__ == "__main__"' in (ROOT / "benchmarks" / f"{name}.py").read_text()
