import os
from pathlib import Path

import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import cache_dir
from coregpt.engine.data.files import replacing


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("COREGPT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "home"


def test_the_cache_is_looked_for_in_the_documented_order(home, tmp_path, monkeypatch):
    assert cache_dir() == home / ".cache" / "coregpt"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "coregpt"
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_a_home_that_cannot_be_written_gives_a_private_temporary_folder(home):
    home.write_text("a file where a folder should be: even the superuser cannot write below it")
    folder = cache_dir()
    assert folder.parent == home.parent / "tmp"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_dir() == folder


def test_a_temporary_folder_that_others_may_write_to_is_refused(home):
    home.write_text("")
    cache_dir().chmod(0o777)
    with pytest.raises(DataError, match="set COREGPT_CACHE"):
        cache_dir()


def test_a_temporary_folder_that_is_somebody_elses_link_is_refused(home, tmp_path):
    home.write_text("")
    cache_dir().rmdir()
    (tmp_path / "theirs").mkdir(mode=0o777)
    Path(home.parent / "tmp" / f"coregpt-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(DataError, match="set COREGPT_CACHE"):
        cache_dir()


def test_a_file_is_replaced_only_when_its_writer_succeeds(tmp_path):
    target = tmp_path / "file"
    with replacing(target) as file:
        file.write(b"old")

    def fail() -> None:
        with replacing(target) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    with replacing(target) as file:
        file.write(b"newer")
        file.flush()
        assert target.read_bytes() == b"old"
    with open(target, "rb") as reader:
        with replacing(target) as file:
            file.write(b"newest")
        assert reader.read() == b"newer"  # who had the old file open keeps it whole
    assert os.listdir(tmp_path) == ["file"]
