"""Compiled code on disk: whatever becomes of its files, the result is right, and one warning says what happened."""

import errno
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minidl

numba = pytest.importorskip("numba")

from minidl.kernels.cpu_runtime import keeping  # noqa: E402

PACKAGE = Path(minidl.__file__).parent


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(keeping, "_said", set())
    return tmp_path


def compiled(function=double):
    """As if in a new process: Numba's function, whose code is on disk or is not."""
    made = numba.njit(function)
    keeping.keep(made, function)
    return made


def run(function=double):
    """(the warnings, whether the code came from the disk); the result is right."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = compiled(function)
        assert made(7) == function(7)
    return [str(warning.message) for warning in said], bool(sum(made.stats.cache_hits.values()))


def test_what_is_whole_is_used_again(folder):
    assert run() == ([], False)
    assert run() == ([], True)


def flip(content):
    """One bit of the machine code, which still unpickles."""
    at = content.index(b"ELF") + 200 if b"ELF" in content else len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"<<<<<<< HEAD\n" + content,
    "flipped": flip,
    "another pickle": lambda content: pickle.dumps("what?"),
}


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"], ids=["index", "code"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_made_anew(folder, kind, damage):
    run()
    (path,) = folder.rglob(kind)
    path.write_bytes(damage(path.read_bytes()))
    said, from_disk = run()
    assert not from_disk
    assert len(said) <= 1  # Numba takes some damaged indices for those of another version, which is as well
    assert all("is made anew" in text and "delete that folder" in text for text in said)
    if kind == "*.nbc":
        assert said
    assert run() == ([], True)


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"], ids=["index", "code"])
def test_missing_files_are_made_anew(folder, kind):
    run()
    next(folder.rglob(kind)).unlink()
    assert run() == ([], False)
    assert run() == ([], True)


def test_a_full_disk_costs_no_more_than_the_compilation(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr(keeping._Files, "_open_for_write", full)
        (said,), from_disk = run()
        assert not from_disk
        assert "for this process alone" in said
        assert os.strerror(errno.ENOSPC) in said
        assert "NUMBA_CACHE_DIR" in said
        assert run(triple) == ([], False)  # it is said once
    assert run() == ([], False)
    assert run() == ([], True)


def test_no_folder_that_can_be_written(folder, monkeypatch):
    def nowhere(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(keeping, "first_writable", nowhere)
    (said,), from_disk = run()
    assert not from_disk
    assert "for this process alone" in said
    assert "Permission denied" in said
    assert run(triple) == ([], False)


def test_code_of_other_sources_is_not_used(folder, monkeypatch):
    run()
    monkeypatch.setattr(keeping, "_sources", lambda: b"another version of the kernels")
    assert run() == ([], False)


RELU = "import numpy as np, minidl as md\nprint(md.functional.relu(np.array([-1, 2], 'f4')).data.tolist())"


def relu(environment, path=PACKAGE.parent, code=RELU):
    environment = {**os.environ, "PYTHONPATH": str(path), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", env=environment, timeout=120
    )
    assert done.stdout == "[0.0, 2.0]\n", done.stderr
    return done.stderr


def test_in_a_zip_file(tmp_path):
    """How zipapp and Dask bring a package to where it works."""
    with zipfile.ZipFile(tmp_path / "minidl.zip", "w") as archive:
        for path in PACKAGE.rglob("*.py"):
            archive.write(path, path.relative_to(PACKAGE.parent))
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert relu(environment, tmp_path / "minidl.zip").count("\n") == 1  # that it compiles
    assert relu(environment, tmp_path / "minidl.zip") == ""


def test_without_the_compiler_the_portable_kernels_do_it():
    said = relu({"NUMBA_DISABLE_JIT": "1"})
    assert said.count("Warning") == 1
    assert "portable kernels" in said
    assert "NUMBA_DISABLE_JIT" in said
    code = "from minidl import kernels\ntry: kernels.module('cpu')\nexcept ImportError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert "unset it" in done.stdout


def test_a_numba_that_does_not_fit_its_numpy(monkeypatch):
    from minidl import kernels

    def refuse(name):
        if name == "cpu":
            raise ImportError("Numba needs NumPy 2.4 or less")
        return real(name)

    real = kernels.module
    monkeypatch.setattr(kernels, "module", refuse)
    with pytest.warns(RuntimeWarning, match="portable kernels.*NumPy 2.4 or less"):
        assert kernels._default.__wrapped__(False) is real("portable")
    assert isinstance(real("portable").relu(np.ones(1)), np.ndarray)
