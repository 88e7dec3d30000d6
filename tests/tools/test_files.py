"""A file is whole or not there, and is written where open would write it."""

import os
import stat
from pathlib import Path

import pytest

import minidl as md
from minidl.study import Folder
from minidl.tools import files
from minidl.tools.files import first_writable, user_path, whole_file


def write(path, text="new"):
    with whole_file(path) as file:
        file.write(text.encode())


def linked(link, target):
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this user may make no links")


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write("~/a/b.txt")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "new"
    assert user_path("~nobody.txt") == Path("~nobody.txt")  # a name that begins so, and no user's home
    model = md.nn.Linear(2, 2)
    md.save(model, "~/w.safetensors")
    md.load(model, "~/w.safetensors")
    assert (tmp_path / "w.safetensors").is_file()
    assert Folder("~/runs").path == tmp_path / "runs"


def test_a_link_leads_to_what_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link, second = tmp_path / "disk" / "file", tmp_path / "link", tmp_path / "second"
    linked(link, target)  # nothing is there yet
    linked(second, link)
    write(second, "first")
    assert target.read_text(encoding="utf-8") == "first"
    write(link)
    assert target.read_text(encoding="utf-8") == "new"
    assert link.is_symlink()
    assert second.is_symlink()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "file", "link", "second"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_a_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_is_as_open_makes_it(tmp_path):
    write(tmp_path / "ours")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_device_stays_one():
    write(os.devnull)
    assert not Path(os.devnull).is_file()


def test_what_cannot_be_written_is_refused_and_stays(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write(tmp_path / "folder")
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ArithmeticError), whole_file(path) as file:
        file.write(b"half")
        raise ArithmeticError
    assert path.read_bytes() == b"old"

    def refuse(*_):
        raise PermissionError(13, "another process has it open")

    monkeypatch.setattr(files, "PAUSE", 0)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match="close what has it open"):
        write(path)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["file", "folder"]


def test_a_file_that_somebody_reads_for_a_moment_is_replaced_after_it(tmp_path, monkeypatch):
    tries, replace = [], os.replace

    def busy(*paths):
        tries.append(paths)
        if len(tries) < 3:
            raise PermissionError(13, "in use")
        replace(*paths)

    monkeypatch.setattr(files, "PAUSE", 0)
    monkeypatch.setattr(os, "replace", busy)
    write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_the_first_folder_that_can_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    bad, good = tmp_path / "file" / "below", tmp_path / "good"
    assert first_writable(bad, good) == good
    with pytest.raises(OSError, match="file"):
        first_writable(bad)
