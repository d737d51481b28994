import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import fetch, fetch_fineweb, open_folder, write_shard
from coregpt.engine.data.download import published

from .hub import Hub, sha

VAL, TRAIN, SECOND = "fineweb_val_000000.bin", "fineweb_train_000001.bin", "fineweb_train_000002.bin"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    files = {}
    for i, name in enumerate((VAL, TRAIN, SECOND)):
        write_shard(tmp_path / name, np.random.default_rng(i).integers(0, 50257, 40_000))
        files[name] = (tmp_path / name).read_bytes()
    server = Hub(fetch.REPOSITORY, files)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "fineweb10B"


def run(hub: Hub, folder: Path, shards: int = 1) -> list[str]:
    lines: list[str] = []
    fetch_fineweb(folder, shards, hub.url, lines.append)
    return lines


def bins(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != ".fetch.lock")


def test_fetched_shards_are_the_published_bytes_and_open_as_a_source(hub, folder):
    paths = fetch_fineweb(folder, 2, hub.url, lambda line: None)
    assert paths == [folder / VAL, folder / TRAIN, folder / SECOND]
    assert all(path.read_bytes() == hub.files[path.name] for path in paths)
    assert bins(folder) == sorted(hub.files)
    assert len(open_folder(folder).train) == 80_000


def test_the_endpoint_comes_from_the_environment_unless_given(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    fetch_fineweb(folder, 1, None, lambda line: None)
    assert bins(folder) == [TRAIN, VAL]


def test_complete_files_are_not_fetched_again_and_damaged_ones_are(hub, folder):
    run(hub, folder)
    hub.ranges.clear()
    assert run(hub, folder) == [f"{VAL}: already there", f"{TRAIN}: already there"]
    assert hub.ranges == []
    (folder / VAL).write_bytes(hub.files[VAL][:-1])
    run(hub, folder)
    assert hub.ranges == [(VAL, None)]
    assert (folder / VAL).read_bytes() == hub.files[VAL]


@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_a_connection_lost_in_mid_file_is_resumed_where_it_broke(hub, folder, fault):
    hub.faults[TRAIN] = [fault, fault]
    lines = run(hub, folder)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]
    starts = [0 if asked is None else int(asked[6:-1]) for name, asked in hub.ranges if name == TRAIN]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert sum("next attempt" in line for line in lines) == 2


def test_a_broken_download_is_resumed_by_the_next_command(hub, folder):
    hub.faults[TRAIN] = ["drop", *["500"] * (fetch.ATTEMPTS - 1)]
    with pytest.raises(DataError, match=r"answered 500.*it resumes"):
        run(hub, folder)
    assert bins(folder) == [TRAIN + ".part", VAL]
    hub.ranges.clear()
    run(hub, folder)
    assert hub.ranges == [(TRAIN, f"bytes={len(hub.files[TRAIN]) // 2}-")]
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_storage_that_ignores_ranges_starts_the_file_anew(hub, folder):
    hub.faults[TRAIN] = ["drop", "no ranges"]
    run(hub, folder)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_part_that_was_already_complete_only_gets_its_name(hub, folder):
    folder.mkdir(parents=True)
    (folder / (TRAIN + ".part")).write_bytes(hub.files[TRAIN])
    run(hub, folder)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]
    assert [asked for name, asked in hub.ranges if name == TRAIN] == [f"bytes={len(hub.files[TRAIN])}-"]


@pytest.mark.parametrize("stale", [b"\1" * 500, b"\1" * 200_000])
def test_a_part_of_another_file_does_not_spoil_the_result(hub, folder, stale):
    folder.mkdir(parents=True)
    (folder / (TRAIN + ".part")).write_bytes(stale)
    run(hub, folder)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_altered_bytes_are_refused_and_not_kept(hub, folder):
    hub.linked[TRAIN]["X-Linked-ETag"] = f'"{"a" * 64}"'
    with pytest.raises(DataError, match="something on the way alters it"):
        run(hub, folder)
    assert TRAIN not in bins(folder)
    assert (folder / (TRAIN + ".part")).stat().st_size == 0


def test_the_redirects_plain_etag_is_checked_where_it_is_a_sha256(hub, folder):
    hub.linked[TRAIN] = {"ETag": f'W/"{"a" * 64}"'}
    with pytest.raises(DataError, match="a" * 64):
        run(hub, folder)


def test_a_hub_that_publishes_no_digest_is_checked_by_size_and_header(hub, folder):
    hub.linked = {name: {"ETag": '"not-a-digest"'} for name in hub.files}
    hub.faults[TRAIN] = ["drop"]
    run(hub, folder)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]


def test_a_file_that_is_no_shard_is_refused_even_with_the_right_digest(hub, folder):
    page = b"<html>please log in</html>" * 100
    hub.files[TRAIN] = page
    hub.linked[TRAIN] = {"X-Linked-Size": str(len(page)), "X-Linked-ETag": f'"{sha(page)}"'}
    with pytest.raises(DataError, match="is not a token shard"):
        run(hub, folder)
    assert bins(folder) == [VAL]


def test_a_missing_file_is_an_error_at_once(hub, folder):
    del hub.files[SECOND]
    with pytest.raises(DataError, match=rf"{SECOND}: the server answered 404"):
        run(hub, folder, shards=2)


def test_a_server_that_always_drops_the_line_at_once_is_given_up(hub, folder):
    hub.faults[VAL] = ["503"] * 100
    with pytest.raises(DataError, match=f"tried {fetch.ATTEMPTS} times"):
        run(hub, folder)
    assert len(hub.ranges) == fetch.ATTEMPTS


def test_pauses_between_attempts_grow(hub, folder, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(fetch, "PAUSE_S", 1.0)
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    hub.faults[VAL] = ["503", "503", "503"]
    run(hub, folder)
    assert pauses == [1.0, 2.0, 4.0]


def test_without_a_network_the_message_says_what_to_do(folder, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(DataError, match=r"no connection.*HF_ENDPOINT.*by hand.*pydocs"):
        fetch_fineweb(folder, 1, f"http://127.0.0.1:{port}", lambda line: None)


@pytest.mark.parametrize("shards", [0, -1, 104])
def test_a_number_of_shards_that_does_not_exist_is_refused(folder, shards):
    with pytest.raises(DataError, match="1 to 103"):
        fetch_fineweb(folder, shards, "http://127.0.0.1:1", lambda line: None)


@pytest.mark.parametrize("endpoint", ["example.org", "file:///etc"])
def test_an_endpoint_that_is_no_web_address_is_refused(folder, endpoint):
    with pytest.raises(DataError, match="http"):
        fetch_fineweb(folder, 1, endpoint, lambda line: None)


def test_a_second_fetch_into_the_same_folder_waits_outside(hub, folder):
    folder.mkdir(parents=True)
    with open(folder / ".fetch.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process"):
            run(hub, folder)
    run(hub, folder)


def test_a_folder_that_cannot_be_written_is_named(hub, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write to"):
        run(hub, tmp_path / "file" / "x")


def test_the_name_in_another_store_is_not_taken_for_the_sha256():
    redirect, storage = Message(), Message()
    redirect["ETag"] = redirect["X-Xet-Hash"] = "b" * 64
    storage["ETag"] = "c" * 64
    assert published([redirect], [storage]) == (None, None)
    redirect["X-Linked-ETag"] = f'"{"D" * 64}"'
    assert published([redirect], [storage])[1] == "d" * 64
