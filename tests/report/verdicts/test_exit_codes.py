"""One table of exit codes."""

from typing import get_args

import pytest

from coregpt.report.facts.model import Word
from coregpt.report.verdicts.exit_codes import (
    BAD_INPUT,
    BETTER,
    BROKEN,
    EQUIVALENT,
    MEANINGS,
    UNDECIDED,
    WORSE,
    WORST_FIRST,
    code_of,
    table,
)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["better"], BETTER),
        (["worse"], WORSE),
        (["equivalent"], EQUIVALENT),
        (["inconclusive"], UNDECIDED),
        (["screened"], UNDECIDED),
        (["unstable"], BROKEN),
        (["invalid"], BROKEN),
        (["better", "better"], BETTER),
        (["better", "inconclusive"], UNDECIDED),
        (["better", "worse"], WORSE),
        (["better", "equivalent"], EQUIVALENT),
        (["worse", "invalid"], BROKEN),
        ([], UNDECIDED),
    ],
)
def test_several_arms_are_never_better_news_than_any_of_them(words: list[str], code: int) -> None:
    assert code_of(words) == code


def test_every_word_has_a_code_and_every_code_a_meaning() -> None:
    assert {code_of([word]) for word in get_args(Word)} == set(WORST_FIRST)
    assert set(WORST_FIRST) < set(MEANINGS)
    assert BAD_INPUT not in WORST_FIRST
    assert len(table().splitlines()) == 2 + len(MEANINGS)
