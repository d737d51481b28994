"""docs/loop.md as a program follows it: its YAML and its shell, on a script whose truth is known."""

import json
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from coregpt.cli import main

PAGE = (Path(__file__).parent.parent / "docs/loop.md").read_text()
SCRIPT = """
import random, sys
from pathlib import Path
seed, gain = sys.argv[sys.argv.index("--seed") + 1], 0.0
# ideas
shared, own = (random.Random(key).gauss(0, 1) for key in (seed, seed + Path(__file__).read_text()))
print(f"step 1: val loss {4.0:.6f}")
print(f"step 2: val loss {3.0 - gain + 0.01 * (0.45**0.5 * shared + 0.55**0.5 * own):.6f}")
"""
IDEAS = """
next_idea() {{ sed -n "$((m + 1))p" ideas.txt | grep .; }}
make_edit() {{ sed -i "s/^# ideas/$1\\n# ideas/" train.py; }}
coregpt() {{ {python} -m coregpt.cli "$@" --no-mlflow; }}
"""


@dataclass(frozen=True)
class Loop:
    """A folder in which the loop has run."""

    folder: Path

    @property
    def log(self) -> list[list[str]]:
        return [line.split("\t") for line in (self.folder / "loop.tsv").read_text().splitlines()]

    def judged(self, n: int) -> dict[str, object]:
        """What `--json` said of the n-th idea, from 1 on."""
        text = (self.folder / f"verdict-{n}.json").read_text()
        assert len(text.encode()) <= 2000
        (found,) = json.loads(text)["results"]
        assert isinstance(found, dict)
        return found

    def baseline(self) -> str:
        return self.git("show", "loop:train.py")

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout


def begun(folder: Path, ideas: Sequence[str]) -> Loop:
    """A repository with the script, the page's YAML beside it."""
    loop = Loop(folder)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "ideas.txt").write_text("".join(f"{idea}\n" for idea in ideas))
    (folder / "judge.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)[0])
    (folder / ".gitignore").write_text("*\n!train.py\n")
    loop.git("init", "-q", "-b", "loop")
    loop.git("config", "user.name", "loop")
    loop.git("config", "user.email", "loop@example.org")
    loop.git("add", "train.py")
    loop.git("commit", "-qm", "the baseline")
    return loop


def run(folder: Path, ideas: Sequence[str]) -> Loop:
    """The page's loop over lines of Python."""
    loop = begun(folder, ideas)
    (shell,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.S)
    kept = shell.replace("> verdict.json", "> verdict-$((++m)).json")
    text = "m=0\n" + IDEAS.format(python=shlex.quote(sys.executable)) + kept
    done = subprocess.run(["bash", "-c", text], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return loop


def test_a_loop_keeps_what_is_confirmed_and_nothing_else(tmp_path: Path) -> None:
    """A loser, a find, an error, the find's loser again on top of it, and the same loser once more."""
    loop = run(tmp_path, ["gain -= 0.5", "gain += 0.5", "1 \\/ 0", "gain -= 0.4", "gain -= 0.4"])
    said = [loop.judged(n) for n in range(1, 6)]
    assert [each["verdict"] for each in said] == ["no sign", "confirmed", "broken", "no sign", "no sign"]
    assert [each["exit_code"] for each in said] == [13, 10, 14, 13, 13]
    assert [each["duplicate"] for each in said] == [False, False, False, False, True]
    assert said[0]["screen"]["seeds"] == 2  # type: ignore[index]
    assert "ZeroDivisionError" in str(said[2]["log"])
    assert "gain += 0.5" in loop.baseline()
    assert "gain -= " not in loop.baseline()
    assert len({str(each["chain"]) for each in said}) == 1, "the chain goes on where its find is the baseline"
    assert [line[1] for line in loop.log] == [each["verdict"] for each in said]
    assert loop.log[4][8] == "duplicate"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_thirty_ideas_of_which_two_do_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The same in one process. Real ideas are better by 4 standard deviations of a run: hardly any loop misses one."""
    monkeypatch.chdir(tmp_path)
    real = sorted(random.Random(seed).sample(range(30), 2))
    ideas = [f"gain += 0.04  # {i}" if i in real else f"nothing = {i}" for i in range(30)]
    loop, confirmed = begun(tmp_path, ideas), []
    words = ["judge", "--study", "judge.yaml", "--baseline", "loop", "--candidate", "try", "--confirm", "--no-mlflow"]
    for place, idea in enumerate(ideas):
        loop.git("switch", "-q", "-C", "try", "loop")
        script = (tmp_path / "train.py").read_text()
        (tmp_path / "train.py").write_text(script.replace("# ideas", f"{idea}\n# ideas", 1))
        loop.git("commit", "-qam", idea)
        code = main([*words, "--log", "loop.tsv"])
        assert code in (10, 13)
        if code == 10:
            confirmed.append(place)
            loop.git("switch", "-q", "loop")
            loop.git("merge", "-q", "--ff-only", "try")
    assert confirmed == real
    assert loop.baseline().count("gain += 0.04") == 2
    assert len(loop.log) == 30
