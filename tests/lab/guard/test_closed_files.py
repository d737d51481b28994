"""Files that a process must not open: Python refuses them under any name, the kernel refuses them to anybody in it."""

import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from coregpt.contract.errors import PluginError
from coregpt.lab.guard import landlock
from coregpt.lab.guard.opened import forbidden, listening, refuse_opened
from coregpt.lab.judging.side_process import Line, forked


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "val.bin"
    path.write_text("the text")
    (tmp_path / "train.bin").write_text("another")
    return path


def test_a_file_is_refused_under_any_name_and_remembered(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "same"
    os.link(text, other)
    with forbidden([text]):
        refuse_opened()
        assert (tmp_path / "train.bin").read_text() == "another"
        with pytest.raises(PermissionError, match="must not read what it is judged on"):
            other.read_text()
        with pytest.raises(PluginError, match=r"opened .*same"):
            refuse_opened()
    assert text.read_text() == "the text"


def test_a_file_is_refused_by_its_name_in_an_open_folder_too(text: Path, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with forbidden([text]):
        os.close(os.open("train.bin", os.O_RDONLY, dir_fd=folder))
        with pytest.raises(PermissionError, match="must not read what it is judged on"):
            os.open("val.bin", os.O_RDONLY, dir_fd=folder)
        with pytest.raises(PluginError, match=r"opened val\.bin"):
            refuse_opened()
    os.close(os.open("val.bin", os.O_RDONLY, dir_fd=folder))
    os.close(folder)


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="no path is relative to an open folder here")
def test_what_a_relative_name_leads_to_decides_and_not_the_name(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    (mine / "inner").mkdir(parents=True)
    (mine / "inner" / "val.bin").write_text("my own")
    (tmp_path / "link").symlink_to(text)
    monkeypatch.chdir(mine)
    inner, data = os.open(mine / "inner", os.O_RDONLY), os.open(tmp_path / "train.bin", os.O_RDONLY)
    with forbidden([text]):
        os.close(os.open("val.bin", os.O_RDONLY, dir_fd=inner))
        with pytest.raises(FileNotFoundError):
            os.open("val.bin", os.O_RDONLY)
        Path("val.bin").write_text("another one of mine")
        assert Path("val.bin").read_text() == "another one of mine"
        refuse_opened()
    os.close(data)
    data = os.open(tmp_path, os.O_RDONLY)
    with forbidden([text]):
        for name in ("val.bin", "link", "mine/../val.bin"):  # though the first is another file in this folder
            with pytest.raises(PermissionError, match="must not read what it is judged on"):
                os.open(name, os.O_RDONLY, dir_fd=data)
    os.close(inner)
    os.close(data)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere links need rights")
def test_a_link_leads_from_where_it_lies(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    with forbidden([text]):
        os.symlink("val.bin", "train.bin")
        refuse_opened()
        with pytest.raises(PermissionError, match="must not read what it is judged on"):
            os.symlink("val.bin", tmp_path / "other")
        with pytest.raises(PermissionError, match="must not read what it is judged on"):
            os.symlink("../val.bin", "other")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere it is another function")
def test_multiprocessing_begins_no_process_either(text: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    with forbidden([], alone=True):
        with pytest.raises(PermissionError, match="a run begins no other process"):
            process.start()
        with pytest.raises(PluginError, match="began another process while it was trained"):
            refuse_opened()


def test_a_process_that_is_to_stay_alone_begins_no_other_and_remembers_who_tried(text: Path) -> None:
    with forbidden([], alone=True):
        for begin in (lambda: subprocess.run(["true"], check=True), lambda: os.system("true"), os.fork):
            with pytest.raises(PermissionError, match="a run begins no other process"):
                begin()
        with pytest.raises(PluginError, match=r"began another process while it was trained \(subprocess.Popen\)"):
            refuse_opened()
    with forbidden([text]):
        assert os.system("true") == 0
        refuse_opened()


def test_what_is_opened_is_heard(text: Path) -> None:
    with listening() as heard:
        text.read_text()
    text.read_text()
    assert heard == [str(text)]


@pytest.mark.skipif(landlock.version() == 0, reason="the kernel has no Landlock")
def test_the_kernel_closes_them_and_nothing_else(text: Path, tmp_path: Path) -> None:
    def serve(line: Line) -> None:
        said = landlock.close_to_reading([text])
        found = {}
        for path in (text, tmp_path / "train.bin", Path(os.__file__)):
            try:
                os.close(os.open(path, os.O_RDONLY))
                found[path.name] = "read"
            except PermissionError:
                found[path.name] = "refused"
        (tmp_path / "part").write_text("written")
        os.replace(tmp_path / "part", tmp_path / "whole")
        line.send(said=said, found=found)

    process = forked(serve)
    told = process.line.receive()
    process.close()
    assert told is not None
    assert told["said"].startswith("Landlock")
    assert told["found"] == {"val.bin": "refused", "train.bin": "read", "os.py": "read"}
    assert (tmp_path / "whole").read_text() == "written"
    assert text.read_text() == "the text"
