"""What takes credit from a technique is told arm by arm, in the headline and wherever rows are pasted."""

from coregpt.report.facts.inputs import Confound
from coregpt.report.facts.model import Report
from coregpt.report.pages.paste import sentence, table
from coregpt.report.verdicts.confounded import confounded
from tests.report import studies
from tests.report.verdicts.test_compare import base, shifted

BATCH = Confound(setting="batch_tokens", values={"gpt": "64", "a": "32", "b": "64"}, why={"a": "rest"})
DECAY = [
    Confound(setting=name, values={"gpt": "0.1", "a": "0.1", "b": "0.2"}, why={"b": "rest"})
    for name in ("optim.weight_decay", "weight decay")
]


def made(*confounds: Confound) -> Report:
    return studies.report({"gpt": base(), "a": shifted(0.05), "b": shifted(0.06)}, confounds=confounds)


def test_each_arm_has_its_own_and_weight_decay_one_word() -> None:
    study = made(BATCH, *DECAY).study
    assert (confounded(study, "a"), confounded(study, "b")) == (("batch_tokens",), ("weight decay",))


def test_headline_notes_and_pasted_rows_carry_them() -> None:
    report = made(BATCH, *DECAY)
    alone = " Not by the technique alone: a also differs in batch_tokens; b also differs in weight decay."
    assert report.headline.endswith(alone)
    words = "Arms also differ from gpt: a in batch_tokens; b in weight decay; their verdicts cannot be credited to the"
    assert any(note.startswith(words) for note in report.notes)
    assert [row[-1] for row in table(report).rows] == [
        "better, confounded by batch_tokens",
        "better, confounded by weight decay",
    ]
    assert "better, confounded by weight decay: gain" in sentence(report, report.comparisons[1])


def test_without_any_nothing_is_said() -> None:
    report = made()
    assert "alone" not in report.headline
    assert [row[-1] for row in table(report).rows] == ["better", "better"]
