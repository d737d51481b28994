"""Each law of fairness, with the technique that breaks it; every technique here keeps them (tests/plugins)."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from coregpt.lab.guard.bound import Bound
from coregpt.lab.laws import fair
from coregpt.lab.laws.law_case import LawCase, LawError
from coregpt.lab.study.registry import Catalogue
from tests.lab.judging.cheats import cheat

BROKEN_BY = {
    fair.leaves_what_all_share_alone: {
        "imported": "after being imported, torch.nn.functional.cross_entropy is another function",
        "evaluating": "after evaluating, torch.nn.functional.cross_entropy is another function",
        "precision": "after training, the precision of fp32 products is medium",
        "threads": "after training, the number of threads is 2",
        "logits": "after evaluating, coregpt.engine.model.gpt.GPT.logits is another function",
        "leak check": "coregpt.lab.judging.judge.refuse_leaks is another function",
    },
    fair.opens_no_file: {"reads": r"it opens .*notes.txt", "reads at import": r"it opens .*notes.txt"},
    fair.trains_on_its_batch_alone: {
        "more steps": "the model was given 1,248 tokens in 3 steps that have 288",
        "another batch": "after a technique was shown a step's batch, the tokens of its batch are others",
        "before the first step": r"building multiplies [\d.]+ times as much as a step",
        "in the optimizer": "an update multiplies 1.31e\\+06 floating point operations, and its rules by themselves 0:",
    },
    fair.evaluates_what_it_is_given: {"rows": "changes the tokens of select_loss"},
}
CASES = [(law, kind, told) for law, kinds in BROKEN_BY.items() for kind, told in kinds.items()]


@pytest.fixture
def shared() -> Iterator[Bound]:
    import coregpt.lab.judging.judge  # noqa: F401  one of the cheats is after it

    bound = Bound.now()
    yield bound
    bound.put_back()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("law", "kind", "told"), CASES, ids=[f"{law.__name__}-{kind}" for law, kind, _ in CASES])
def test_a_cheat_breaks_its_law(
    shared: Bound, tmp_path: Path, law: Callable[[LawCase], object], kind: str, told: str
) -> None:
    (tmp_path / "notes.txt").write_text("something")
    path = tmp_path / "cheat.py"
    path.write_text(cheat(kind, file=tmp_path / "notes.txt"))
    case = LawCase(Catalogue([path]), "cheat", bound=shared)
    case.cls  # as the first law does, so that what it does then is over  # noqa: B018
    with pytest.raises(LawError) as error:
        law(case)
    assert re.search(told, str(error.value)), str(error.value)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None, "a counter of products stayed"


def test_what_a_technique_left_behind_is_put_back(shared: Bound, tmp_path: Path) -> None:
    path = tmp_path / "cheat.py"
    path.write_text(cheat("precision"))
    with pytest.raises(LawError):
        fair.leaves_what_all_share_alone(LawCase(Catalogue([path]), "cheat", bound=shared))
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_folder_of_caches_hides_no_other_file() -> None:
    """Weights could lie in one; what Python itself writes there ends in a number until it is whole."""
    folder = Path("plugins", "__pycache__")
    assert fair.CODE.search(str(folder / "rope.cpython-313.pyc"))
    assert fair.CODE.search(str(folder / "rope.cpython-313.pyc.139872"))
    assert not fair.CODE.search(str(folder / "weights.npy"))
