"""Two ledgers in one: both chains hold, nothing comes twice, and what was merged can still be checked."""

from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.records.merging import check, merge, told


def made(folder: Path, *runs: str) -> Ledger:
    ledger = Ledger.of(folder)
    for run in runs:
        ledger.append("started", study=folder.name, run=run, arm="a", seed=0)
    return ledger


def runs(ledger: Ledger) -> list[tuple[str, bool]]:
    return [(each["run"], bool(each.machine)) for each in told(ledger.read())]


def test_entries_of_the_other_come_after_own_ones_once(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", "a", "b"), made(tmp_path / "two", "c")
    assert merge(one, two) == (1, 1)
    assert merge(one, two) == (0, 1)
    two.append("started", study="two", run="d", arm="a", seed=1)
    assert merge(one, two) == (1, 2)
    one.append("started", study="one", run="e", arm="a", seed=1)
    assert runs(one) == [("a", False), ("b", False), ("c", True), ("d", True), ("e", False)]
    assert check(one.read()) == []


def test_own_history_does_not_see_what_happened_elsewhere(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", "a"), made(tmp_path / "two", "a")
    declaration = {"test": {"baseline": "a"}, "arms": {}, "seeds": [0]}
    for ledger in (one, two):
        ledger.append("declared", study="x", digest="", declaration=declaration, code={}, runs=[["a", "a", 0]])
    merge(one, two)
    assert len(History(one.read(), "x").declared) == 1


def test_ledgers_merged_into_each_other_tell_everything_once(tmp_path: Path) -> None:
    one, two, three = (made(tmp_path / name, name) for name in ("one", "two", "three"))
    merge(two, three)
    merge(one, two)
    merge(two, one)
    merge(one, two)
    for ledger in (one, two):
        assert sorted(run for run, _ in runs(ledger)) == ["one", "three", "two"]
        assert check(ledger.read()) == []
    assert ("one", False) in runs(one)
    assert ("one", True) in runs(two)


def test_a_broken_one_is_refused_and_nothing_is_taken(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", "a"), made(tmp_path / "two", "c", "d")
    before, whole = one.path.read_bytes(), two.path.read_bytes()
    two.path.write_bytes(whole.replace(b'"run":"c"', b'"run":"x"'))
    with pytest.raises(LedgerError, match="jsonl:1: it was edited"):
        merge(one, two)
    two.path.write_bytes(whole)
    merge(one, two)
    two.path.write_bytes(whole.splitlines(keepends=True)[0])
    with pytest.raises(LedgerError, match="its end was cut off"):
        merge(one, two)
    made(tmp_path / "copy").path.parent.mkdir(exist_ok=True)
    (tmp_path / "copy" / "ledger.jsonl").write_bytes(before)
    with pytest.raises(LedgerError, match="began as a copy"):
        merge(one, Ledger.of(tmp_path / "copy"))


def test_a_ledger_that_went_another_way_since_is_refused(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", "a"), made(tmp_path / "two", "c", "d")
    merge(one, two)
    first = two.path.read_bytes().splitlines(keepends=True)[0]
    two.path.write_bytes(first)
    two.append("started", study="two", run="other", arm="a", seed=0)
    with pytest.raises(LedgerError, match="line 2 is not the line that was merged before"):
        merge(one, two)


def test_merged_lines_that_were_forged_are_found_though_the_own_chain_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = made(tmp_path / "one", "a"), made(tmp_path / "two", "c", "d")
    merge(one, two)
    forged = Ledger.of(tmp_path / "forged")
    for entry in one.read():
        payload = dict(entry.payload)
        if entry.event == "merged" and payload["line"]["run"] == "d":
            payload["line"] = {**payload["line"], "run": "x"}
        forged.append(entry.event, **payload)  # type: ignore[arg-type]
    (said,) = check(forged.read())
    assert "line 2 does not follow" in said
    assert main(["ledger", "verify", "--runs", str(tmp_path / "one")]) == 0
    assert main(["ledger", "verify", "--runs", str(tmp_path / "forged")]) == 1
    assert "line 2 does not follow" in capsys.readouterr().out


def test_the_command_takes_a_folder_or_a_file_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "two", "c")
    for other in (tmp_path / "two", tmp_path / "two" / "ledger.jsonl"):
        assert main(["ledger", "merge", str(other), "--runs", str(tmp_path / "one")]) == 0
    out = capsys.readouterr().out
    assert "1 entries" in out
    assert "0 entries" in out
    assert main(["ledger", "merge", str(tmp_path / "none"), "--runs", str(tmp_path / "one")]) == 2
    assert "there is no ledger" in capsys.readouterr().err
