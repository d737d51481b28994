"""What the text of a file and its first keys have wrong is told without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

TELL = """
import sys
from coregpt.cli import main
code = main(sys.argv[1:])
print(sorted({"torch", "scipy"} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("command", ["plan", "ablate", "noise"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question: [\n", "s.yaml:2: not valid YAML"),
        ("question: Does it?\nsedes: 3\ntest: {}\n", "s.yaml:2: sedes: unknown key; did you mean 'seeds'?"),
        ("question: Does it?\nseeds: 3\nequal: flop\ntest: {}\n", "s.yaml:3: equal: should be "),
    ],
)
def test_mistakes_of_the_text_and_of_first_keys_import_no_torch(
    tmp_path: Path, command: str, text: str, words: str
) -> None:
    (tmp_path / "s.yaml").write_text(text)
    told = [sys.executable, "-c", TELL, command, "s.yaml"]
    done = subprocess.run(told, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
