"""What no process can refuse is called by its name in the report: known text, and work beside the plan's."""

from collections.abc import Callable
from pathlib import Path

from coregpt.cli import main
from coregpt.engine.data import open_source
from tests.lab.conftest import STUDY, Lab
from tests.lab.judging.cheats import cheat, known_text


def test_an_arm_that_knows_the_text_or_works_more_is_called_so(
    lab: Callable[..., Lab], tmp_path: Path, shards: Path
) -> None:
    text = open_source(str(shards)).held_out.slice(0, 257).tolist()
    (tmp_path / "knows.py").write_text(known_text(text))
    known = 'for _ in range(5 if len(self.run.params["embedding.weight"]) == 16 else 0):'  # not in the laws' model
    (tmp_path / "works.py").write_text(cheat("more steps").replace("for _ in range(5):", known))
    arms = {"gelu": {}, **{name: {"plugins": {name: {}}} for name in ("knows", "works")}}
    here = lab(
        base={**STUDY["base"], "tokens": 64 * 24, "evals": 2},
        arms=arms,
        plugin_files=["knows.py", "works.py"],
        seeds=5,
    )
    assert main(here.command()) == 0
    report = here.report()
    by_arm = {each["arm"]: each for each in report["comparisons"]}
    assert by_arm["knows"]["verdict"] == "better"
    assert by_arm["knows"]["gain"] > 4 * by_arm["knows"]["knows"]
    assert "It knows the validation text" in by_arm["knows"]["sentence"]
    assert "knows" not in by_arm["works"]
    assert "knows knows the validation text" in report["headline"]
    confounds = {each["setting"]: each for each in report["study"]["confounds"]}
    assert confounds["products in a step"]["why"] == {"works": "rest"}
    assert confounds["tokens through the model"]["values"]["works"] == "6 of the plan"
    assert confounds["tokens through the model"]["values"]["gelu"] == "1 of the plan"
