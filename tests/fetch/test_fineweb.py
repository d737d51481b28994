import fcntl
import os
import socket
import sys

import huggingface_hub.constants
import pytest

from coregpt.cli import main
from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder
from coregpt.fetch import fetch_fineweb
from coregpt.fetch import hub as downloads

from .conftest import CHUNK, SECOND, TRAIN, VAL
from .hub import sha


def bins(folder):
    return sorted(name for name in os.listdir(folder) if name != ".fetch.lock")


def test_fetched_shards_are_the_published_bytes_and_open_as_a_source(hub, folder):
    paths = fetch_fineweb(folder, 2, hub.url, lambda line: None)
    assert paths == [folder / VAL, folder / TRAIN, folder / SECOND]
    assert all(path.read_bytes() == hub.files[path.name] for path in paths)
    assert bins(folder) == sorted(hub.files)
    source = open_folder(folder)
    assert len(source.train) + len(source.select) == 80_000


def test_the_endpoint_comes_from_the_environment_unless_given(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    fetch_fineweb(folder, 1, None, lambda line: None)
    assert bins(folder) == [TRAIN, VAL]


def test_complete_files_are_not_fetched_again_and_damaged_ones_are(hub, folder, run):
    run()
    hub.ranges.clear()
    hub.asked.clear()
    assert run() == [f"{VAL}: already there", f"{TRAIN}: already there"]
    assert hub.ranges == hub.asked == []
    (folder / VAL).write_bytes(hub.files[VAL][:-1])
    run()
    assert hub.ranges == [(VAL, None)]
    assert (folder / VAL).read_bytes() == hub.files[VAL]


@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_a_connection_lost_in_mid_file_is_resumed_where_it_broke(hub, folder, run, fault, capfd):
    hub.faults[TRAIN] = [fault, fault]
    run()
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]
    starts = hub.starts(TRAIN)
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert hub.served[TRAIN] <= len(hub.files[TRAIN]) + 2 * CHUNK  # a piece that has not wholly come is not kept


def test_a_broken_download_is_resumed_by_the_next_command(hub, folder, run, capfd):
    hub.faults[TRAIN] = ["drop", *["500"] * 100]
    with pytest.raises(DataError, match=r"answered 500.*it resumes"):
        run()
    assert bins(folder) == [TRAIN + ".part", VAL]
    kept = (folder / (TRAIN + ".part")).read_bytes()
    assert 0 < len(kept) < len(hub.files[TRAIN])
    assert hub.files[TRAIN].startswith(kept)
    hub.faults.clear()
    hub.ranges.clear()
    hub.served.clear()
    run()
    assert hub.ranges == [(TRAIN, f"bytes={len(kept)}-")]
    assert hub.served == {TRAIN: len(hub.files[TRAIN]) - len(kept)}
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_storage_that_ignores_ranges_starts_the_file_anew(hub, folder, run, capfd):
    hub.faults[TRAIN] = ["drop", "no ranges"]
    run()
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_part_that_was_already_complete_only_gets_its_name(hub, folder, run):
    folder.mkdir(parents=True)
    (folder / (TRAIN + ".part")).write_bytes(hub.files[TRAIN])
    run()
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]
    assert hub.served[TRAIN] == 0


@pytest.mark.parametrize("stale", [500, 81_024, 200_000])  # shorter than the file, as long, longer
def test_a_part_of_another_file_does_not_spoil_the_result(hub, folder, run, stale):
    folder.mkdir(parents=True)
    (folder / (TRAIN + ".part")).write_bytes(b"\1" * stale)
    run()
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_altered_bytes_are_refused_and_not_kept(hub, folder, run):
    altered = bytearray(hub.files[TRAIN])
    altered[-1] ^= 1
    hub.files[TRAIN] = bytes(altered)
    with pytest.raises(DataError, match="something on the way alters it"):
        run()
    assert bins(folder) == [VAL]


def test_the_plain_etag_is_checked_where_it_is_a_sha256(hub, run):
    hub.linked[TRAIN] = {"ETag": f'W/"{"a" * 64}"'}
    with pytest.raises(DataError, match="a" * 64):
        run()


def test_a_hub_that_publishes_no_size_or_digest_is_checked_by_the_length_sent_and_the_header(hub, folder, run, capfd):
    hub.linked = {name: {"ETag": '"not-a-digest"'} for name in hub.files}
    hub.faults[TRAIN] = ["drop"]
    run()
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_file_that_is_no_shard_is_refused_even_with_the_right_digest(hub, folder, run):
    page = b"<html>please log in</html>" * 100
    hub.files[TRAIN] = page
    hub.linked[TRAIN] = {"X-Linked-Size": str(len(page)), "X-Linked-ETag": f'"{sha(page)}"'}
    with pytest.raises(DataError, match="something else under the name"):
        run()
    assert bins(folder) == [VAL]


def test_a_moved_file_is_an_error_at_once(hub, folder, run):
    del hub.files[SECOND]
    with pytest.raises(DataError, match=rf"{SECOND}: the server answered 404"):
        run(shards=2)
    assert bins(folder) == [TRAIN, VAL]
    assert sum(SECOND in line for line in hub.asked) == 1


def test_a_storage_that_always_fails_is_given_up(hub, run):
    hub.faults[VAL] = ["503"] * 100
    with pytest.raises(DataError, match=f"answered 503.*tried {downloads.ATTEMPTS} times"):
        run()
    assert len(hub.ranges) == downloads.ATTEMPTS


def test_pauses_between_attempts_grow(hub, run, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    hub.faults[VAL] = ["503", "503", "503"]
    lines = run()
    assert pauses == [1.0, 2.0, 4.0]
    assert sum("next attempt" in line for line in lines) == 3


def test_without_a_network_the_message_says_what_to_do(folder, quick):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(DataError, match=r"connection failed.*HF_ENDPOINT.*by hand.*pydocs") as raised:
        fetch_fineweb(folder, 1, f"http://127.0.0.1:{port}", lambda line: None)
    assert "\n" not in str(raised.value)


def test_where_the_library_is_told_to_stay_offline_the_message_says_so(hub, run, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE"):
        run()
    assert hub.asked == []


def test_a_page_at_the_endpoint_that_is_no_hub_is_refused(hub, folder):
    with pytest.raises(DataError, match="the server answered 404"):
        fetch_fineweb(folder, 1, hub.url + "/elsewhere", lambda line: None)


@pytest.mark.parametrize("shards", [0, -1, 104])
def test_a_number_of_shards_that_does_not_exist_is_refused(folder, shards):
    with pytest.raises(DataError, match="1 to 103"):
        fetch_fineweb(folder, shards, "http://127.0.0.1:1", lambda line: None)


@pytest.mark.parametrize("endpoint", ["example.org", "file:///etc"])
def test_an_endpoint_that_is_no_web_address_is_refused(folder, endpoint):
    with pytest.raises(DataError, match="http"):
        fetch_fineweb(folder, 1, endpoint, lambda line: None)


def test_a_folder_locked_by_another_fetch_is_left_alone(folder, run):
    folder.mkdir(parents=True)
    with open(folder / ".fetch.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process"):
            run()
    run()


def test_a_folder_that_cannot_be_written_is_named(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to"):
        fetch_fineweb(tmp_path / "file" / "x", 1, hub.url, lambda line: None)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is always full")
def test_a_full_disk_is_named_and_leaves_nothing_under_the_files_name(folder, run):
    folder.mkdir(parents=True)
    (folder / (TRAIN + ".part")).symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write to .*No space left on device.*make room"):
        run()
    assert bins(folder) == [TRAIN + ".part", VAL]


def test_without_huggingface_hub_one_line_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules, "coregpt.fetch.hub")
    assert main(["data", "fetch", "fineweb10B"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "python -m pip install 'coregpt[data]'" in printed.err
