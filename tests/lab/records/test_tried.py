"""What was tried already is told with what its verdict is worth."""

from pathlib import Path
from typing import Any

import pytest

from coregpt.cli.records.ledger_chains import find
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.merging import merge
from coregpt.lab.records.tried import Query, search
from tests.lab.records.test_chains import register


def declare(ledger: Ledger, study: str, event: Any = "declared", **settings: Any) -> None:
    """A study of one arm, whose runs are those of its name."""
    arms = {"plain": {"plugins": {}}, "new": {"plugins": {"cap": {}}, **settings}}
    runs = [[f"{study}-{arm}", arm, 0] for arm in arms]
    said = {"arms": arms, "test": {"baseline": "plain"}, "seeds": [0]}
    code = {"engine": "e", "data": "d", "plugins": {"cap": "c"}}
    ledger.append(event, study=study, digest="d" * 64, declaration=said, unsaid={}, code=code, runs=runs)


def conclude(ledger: Ledger, study: str, verdict: str, confirmed: bool = False, **more: Any) -> None:
    arms = {"new": {"verdict": verdict, "p": 0.001, "confirmed": confirmed, **more}}
    ledger.append("concluded", study=study, chain="b", digest="d" * 64, arms=arms)


def standings(ledger: Ledger) -> dict[str, str]:
    return {each.study: each.standing for each in search(ledger.read(), Query(arm="new"))}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.of(tmp_path / "own")
    for study, stage in (("ideas", "screen"), ("first", "confirmation"), ("second", "confirmation"), ("tiny", "pilot")):
        register(made, study, stage)
        declare(made, study)
    register(made, "waiting")
    declare(made, "waiting")
    conclude(made, "ideas", "candidate")
    conclude(made, "first", "better", confirmed=True)
    conclude(made, "second", "better")
    conclude(made, "tiny", "pilot")
    return made


def test_better_is_told_with_what_its_chain_says(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"first": "confirmed by its chain", "second": "not confirmed by its chain"}
    assert standings(ledger) == {**said, "ideas": "screen", "tiny": "pilot", "waiting": ""}
    assert find(None, "", "new", ledger.path.parent, as_json=False) == 0
    told = capsys.readouterr().out
    for words in ("candidate (screen)", "better (confirmed by its chain)", "better (not confirmed by its chain)"):
        assert words in told
    assert "none yet  " in told


def test_an_exploratory_study_claims_nothing(ledger: Ledger) -> None:
    ledger.append("started", study="first", run="first-new", arm="new", seed=0)
    declare(ledger, "first", "amended", tokens=7)
    conclude(ledger, "second", "better", exploratory=True)
    now = standings(ledger)
    assert (now["first"], now["second"]) == ("exploratory", "exploratory"), "by the ledger, or by what was reported"


def test_of_another_machine_what_its_report_said_counts(ledger: Ledger, tmp_path: Path) -> None:
    conclude(ledger, "ideas", "candidate", exploratory=True)
    here = Ledger.of(tmp_path / "here")
    merge(here, ledger)
    assert standings(here) == {
        "first": "confirmed by its chain",
        "second": "not confirmed by its chain",
        "ideas": "screen, exploratory",
        "tiny": "pilot",
        "waiting": "",
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{cap:15}", "; softcap has no option 'cap:15': it has shape, cap"),
        ("{caps: 15}", "; softcap has no option 'caps': it has shape, cap"),
        ("{cap: 15}", "\n"),
    ],
)
def test_a_misspelt_option_does_not_read_as_an_idea_that_nobody_tried(
    ledger: Ledger, capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    assert find("softcap", options, None, ledger.path.parent, as_json=False) == 1
    assert capsys.readouterr().out.startswith(f"nothing like that is on record{said}")
