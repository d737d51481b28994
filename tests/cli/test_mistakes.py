"""Messages for people, read back as data."""

import pytest

from coregpt.cli.mistakes import problem


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "dir/s.yaml:3: base.tokns: unknown key; did you mean 'tokens'?",
            {"file": "dir/s.yaml", "line": 3, "key": "base.tokns", "nearest": "tokens", "expected": None},
        ),
        (
            "s.yaml:9: arms.a b.optim.lr: expected a number, got 'x'",
            {"file": "s.yaml", "line": 9, "key": "arms.a b.optim.lr", "expected": "a number", "nearest": None},
        ),
        (
            "s.yaml:2: test.alpha: should be less than 0.5, got 2",
            {"file": "s.yaml", "line": 2, "key": "test.alpha", "expected": "less than 0.5"},
        ),
        ("s.yaml: cannot be read (No such file)", {"file": "s.yaml", "line": None, "key": None}),
        (
            "there is no technique 'x'; there are: rope, wsd",
            {"file": None, "line": None, "key": None, "expected": "rope, wsd"},
        ),
        (
            "s.yaml:3: scales.a.model.vocab: expected 16 or more, the token ids of shards, got 8",
            {"line": 3, "key": "scales.a.model.vocab", "expected": "16 or more, the token ids of shards"},
        ),
        ("s.yaml:7: arms.gpt/x0.5: 'rope' clashes", {"line": 7, "key": "arms.gpt/x0.5"}),
        ("s.yaml:1: not valid YAML: found a tab", {"file": "s.yaml", "line": 1}),
        ("argument --jobs: expected a number from 1 on (see coregpt plan --help)", {"file": None, "key": None}),
    ],
)
def test_what_a_message_names(text: str, wanted: dict[str, object]) -> None:
    found = problem(text)
    assert {key: found[key] for key in wanted} == wanted
    assert found["message"]
