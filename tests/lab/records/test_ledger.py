"""The ledger keeps what was entered, notices every edit, survives torn writes and several writers."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import RunError
from coregpt.lab.records.ledger import Follower, Ledger, LedgerError
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import Lab


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.of(tmp_path)
    for seed in range(4):
        made.append("started", study="toy", run=f"r{seed}", arm="a", seed=seed)
    return made


def lines(ledger: Ledger) -> list[bytes]:
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_entries_come_back_in_order_and_chained(ledger: Ledger) -> None:
    entries = ledger.read()
    assert [(entry.n, entry["run"]) for entry in entries] == [(1, "r0"), (2, "r1"), (3, "r2"), (4, "r3")]
    assert [entry.previous for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert Ledger(ledger.path.parent / "none.jsonl").read() == []


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_an_edited_line_is_named(ledger: Ledger, n: int) -> None:
    text = lines(ledger)
    text[n - 1] = text[n - 1].replace(b'"arm":"a"', b'"arm":"b"')
    ledger.path.write_bytes(b"".join(text))
    with pytest.raises(LedgerError, match=f"ledger.jsonl:{n}: it was edited"):
        ledger.read()


def test_a_line_edited_with_its_own_hash_redone_breaks_the_next_one(ledger: Ledger, tmp_path: Path) -> None:
    forged = Ledger.of(tmp_path / "forged")
    forged.append("started", study="toy", run="other", arm="a", seed=0)
    ledger.path.write_bytes(b"".join([*lines(forged), *lines(ledger)[1:]]))
    with pytest.raises(LedgerError, match="jsonl:2: it does not follow"):
        ledger.read()


@pytest.mark.parametrize("keep", [[0, 2, 3], [1, 2, 3], [0, 2, 1, 3], [0, 1, 1, 2, 3]])
def test_lines_removed_moved_or_repeated_break_the_chain(ledger: Ledger, keep: list[int]) -> None:
    text = lines(ledger)
    ledger.path.write_bytes(b"".join(text[i] for i in keep))
    with pytest.raises(LedgerError, match="does not follow"):
        ledger.read()


@pytest.mark.parametrize("junk", [b"\n", b"[]\n", b"{}\n", b"\xff\n"])
def test_a_line_that_is_no_entry_is_named(ledger: Ledger, junk: bytes) -> None:
    text = lines(ledger)
    ledger.path.write_bytes(b"".join([*text[:2], junk, *text[2:]]))
    with pytest.raises(LedgerError, match="jsonl:3: it is not an entry"):
        ledger.read()


def test_appending_to_a_broken_end_is_refused_and_names_the_line(ledger: Ledger) -> None:
    text = lines(ledger)
    ledger.path.write_bytes(b"".join([*text[:3], text[3].replace(b"r3", b"r9")]))
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match="jsonl:4: "):
        ledger.append("started", study="toy", run="x", arm="a", seed=9)
    assert ledger.path.read_bytes() == before


def test_every_way_to_tear_the_last_line_is_repaired_by_the_next_entry(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    start = whole[:-1].rfind(b"\n") + 1
    for cut in (start, start + 1, len(whole) - 30, len(whole) - 2, len(whole) - 1):
        ledger.path.write_bytes(whole[:cut])
        kept = 4 if cut == len(whole) - 1 else 3
        assert len(ledger.read()) == kept
        assert ledger.append("started", study="toy", run="new", arm="a", seed=7).n == kept + 1
        assert [entry["run"] for entry in ledger.read()][-1] == "new"


def test_a_torn_line_in_the_middle_is_an_error(ledger: Ledger) -> None:
    text = lines(ledger)
    ledger.path.write_bytes(b"".join([text[0], text[1][:40] + b"\n", *text[2:]]))
    with pytest.raises(LedgerError, match="jsonl:2: "):
        ledger.read()


def test_a_long_last_line_is_found_whole(ledger: Ledger) -> None:
    ledger.append("declared", study="toy", declaration={"text": "x" * 200_000})
    assert ledger.append("started", study="toy", run="r", arm="a", seed=1).n == 6
    assert len(ledger.read()) == 6


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom coregpt.lab.records.ledger import Follower, Ledger\n"
        f"for i in range(40): Ledger.of(Path({str(tmp_path)!r})).append('started', study='s', run=sys.argv[1], seed=i)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("a", "b", "c")]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    entries = Ledger.of(tmp_path).read()
    assert len(entries) == 120
    for name in ("a", "b", "c"):
        assert [entry["seed"] for entry in entries if entry["run"] == name] == list(range(40))


# -- through the whole program -----------------------------------------------------------------------------------


def test_a_study_leaves_its_declaration_and_every_start_and_end(executed: Lab) -> None:
    entries = Ledger.of(executed.runs).read()
    mine = [entry for entry in entries if entry["study"] == "tiny" and entry.event != "chained"]
    assert mine[0].event == "declared"
    assert mine[0]["digest"] == executed.report()["study"]["digest"]
    assert mine[0]["declaration"] == executed.report()["study"]["declaration"]
    ids = {run["run_id"] for run in executed.report()["runs"]}
    for event in ("started", "ended"):
        assert {entry["run"] for entry in mine if entry.event == event} == ids
    assert set(executed.report()["study"]["started"]) == ids
    assert all(run["attempts"] == 1 and run["first_started"] for run in executed.report()["timing"]["runs"])


def test_times_of_the_ledger_stand_under_timing_only(executed: Lab) -> None:
    rest = {key: value for key, value in executed.report().items() if key != "timing"}
    for entry in Ledger.of(executed.runs).read():
        assert entry.time not in json.dumps(rest)


def copied(executed: Lab, folder: Path) -> Lab:
    """The executed study in a folder of its own."""
    subprocess.run(["cp", "-r", str(executed.runs), str(folder)], check=True)
    return executed.with_runs_in(folder)


def verdicts(lab: Lab) -> set[str]:
    return {comparison["verdict"] for comparison in lab.report()["comparisons"]}


def test_a_broken_ledger_trains_nothing_and_makes_every_verdict_invalid(
    executed: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = copied(executed, tmp_path)
    ledger = Ledger.of(here.runs)
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"alpha":0.05', b'"alpha":0.01'))
    assert main(here.command("--no-mlflow")) == 2
    assert "jsonl:1: it was edited" in capsys.readouterr().err
    assert verdicts(here) == {"invalid"}
    assert "jsonl:1: " in here.report()["runs"][0]["reason"]
    assert main(["ledger", "verify", "--runs", str(here.runs)]) == 2
    assert "jsonl:1: " in capsys.readouterr().err


def test_a_result_edited_by_hand_is_no_outcome(
    executed: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = copied(executed, tmp_path)
    folder = RunFolder(here.runs / executed.report()["runs"][2]["run_id"])
    result = folder.result()
    assert result is not None
    folder.write_result({**result, "value": result["value"] - 0.1})
    assert main(here.command("--no-mlflow")) == 1  # a comparison has no outcome
    assert here.report()["runs"][2]["status"] == "failed"
    assert "the ledger recorded" in here.report()["runs"][2]["reason"]
    assert verdicts(here) == {"invalid"}
    capsys.readouterr()
    assert main(["ledger", "verify", "--runs", str(here.runs)]) == 1
    assert "recorded were" in capsys.readouterr().out


def test_a_deleted_run_is_trained_again_to_the_same_report(executed: Lab, tmp_path: Path) -> None:
    here = copied(executed, tmp_path)
    subprocess.run(["rm", "-r", str(here.runs / executed.report()["runs"][0]["run_id"])], check=True)
    assert main(here.command("--no-mlflow")) == 0
    untimed = [{k: v for k, v in lab.report().items() if k != "timing"} for lab in (executed, here)]
    assert untimed[0] == untimed[1]
    assert here.report()["timing"]["runs"][0]["attempts"] == 2


def test_a_deleted_ledger_makes_the_study_exploratory(executed: Lab, tmp_path: Path) -> None:
    here = copied(executed, tmp_path)
    Ledger.of(here.runs).path.unlink()
    assert main(here.command("--no-mlflow")) == 0
    assert "declared when 4 runs of it" in here.report()["study"]["exploratory"]
    assert here.report()["headline"].startswith("Exploratory")


def test_a_dropped_seed_stays_in_the_report_and_the_study_turns_exploratory(
    lab: Callable[..., Lab], executed: Lab, tmp_path: Path
) -> None:
    before = Lab(tmp_path, executed.data, lab(seeds=[0, 1], name="tiny").study)
    subprocess.run(["cp", "-r", str(executed.runs), str(tmp_path / "runs")], check=True)
    after = Lab(tmp_path, executed.data, lab(seeds=[0, 2], name="tiny").study)
    assert before.study == after.study
    assert main(after.command("--no-mlflow")) == 0
    study = after.report()["study"]
    assert "amended after 4 runs had started: seeds [0, 1] -> [0, 2]" in study["exploratory"]
    assert [(run["arm"], run["seed"], run["status"]) for run in study["other_runs"]] == [
        ("gelu", 1, "finished"),
        ("relu2", 1, "finished"),
    ]
    dropped = executed.report()["runs"][1]["value"]
    assert study["other_runs"][0]["value"] == dropped
    page = (after.reports / "tiny" / "report.md").read_text()
    assert "Started and left out" in page
    assert "no longer planned" in page


def test_a_folder_without_a_ledger_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", "--runs", str(tmp_path)]) == 2
    assert "there is no ledger" in capsys.readouterr().err


def test_a_whole_ledger_is_confirmed(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", "--runs", str(executed.runs)]) == 0
    assert "the chain is whole" in capsys.readouterr().out


def test_a_follower_hears_of_ends_that_others_enter(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path)
    ledger.append("ended", study="s", run="before", arm="a", seed=0, status="finished", value=1.0)
    follower = Follower(ledger)
    assert not follower.knows("r")
    Ledger.of(tmp_path).append("started", study="s", run="r", arm="a", seed=0)
    assert not follower.knows("r")
    Ledger.of(tmp_path).append("ended", study="s", run="r", arm="a", seed=0, status="finished", value=1.0)
    assert follower.knows("r")
    with ledger.path.open("ab") as file:
        file.write(b'{"event":"ended","run":"to')
    assert not follower.knows("torn")


def test_a_follower_that_began_at_a_torn_line_goes_on_where_it_was_mended(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path)
    ledger.append("started", run="a")
    with ledger.path.open("ab") as file:
        file.write(b'{"arm": "a line that a dying machine did not fin')
    follower = Follower(ledger)
    ledger.append("ended", run="a")
    assert follower.knows("a")
    assert not follower.knows("b")


def test_a_full_disk_is_told_with_the_file_and_leaves_a_whole_chain(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path)
    ledger.append("started", run="a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(
            RunError, match=r"ledger.jsonl cannot be written \(File too large\); what is complete is kept"
        ):
            ledger.append("ended", run="a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    ledger.append("ended", run="a")
    assert [entry.event for entry in ledger.read()] == ["started", "ended"]
