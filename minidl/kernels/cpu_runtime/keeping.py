"""Compiled code on disk, through Numba's own cache; whatever becomes of the disk, what is asked for is compiled."""

from __future__ import annotations

import functools
import hashlib
import pickle
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from numba.core import caching, config
from numba.misc.appdirs import AppDirs

from ...tools.files import first_writable

PACKAGES = ("minidl.kernels.cpu", __package__)  # whose sources decide on what a task does
ADVICE = "make room on the disk, or set NUMBA_CACHE_DIR to a folder that can be written"
AGAIN = "if you are told so again, delete that folder"


_said: set[str] = set()


def _warn(kind: str, what: str) -> None:
    """Once for each kind, however many tasks there are."""
    if kind not in _said:
        _said.add(kind)
        warnings.warn(what, RuntimeWarning, stacklevel=2)


def _cannot_keep(error: Exception) -> None:
    _warn("lost", f"minidl's kernels are compiled for this process alone: they cannot be kept ({error}); {ADVICE}")


@functools.cache
def _sources() -> bytes:
    """A digest of the kernels' own source, which may lie in a folder or in a zip file."""
    files = [file for package in PACKAGES for file in resources.files(package).iterdir() if file.name.endswith(".py")]
    if not files:
        raise RuntimeError("without minidl's source, old code could not be told from new")
    texts = [file.read_bytes() for file in sorted(files, key=lambda file: file.name)]
    return hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).digest()


class _Locator(caching._CacheLocator):
    """In NUMBA_CACHE_DIR, beside the source, or in the user's cache folder: the first where files can be made."""

    def __init__(self, function: Any, file: str) -> None:
        self._code, self._file = function.__code__, Path(file)
        below = self.get_suitable_cache_subpath(file)
        folders = [self._file.parent / "__pycache__"] if self._file.is_file() else []
        folders.append(Path(AppDirs(appname="numba", appauthor=False).user_cache_dir, below))
        if config.CACHE_DIR:  # type: ignore[attr-defined]
            folders.insert(0, Path(config.CACHE_DIR, below))  # type: ignore[attr-defined]
        self._folder = str(first_writable(*folders))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> bytes:
        """What is compared: a task is compiled anew when its own file changes, or another one of the kernels."""
        own = self._file.read_bytes() if self._file.is_file() else self._code.co_code
        return hashlib.sha256(_sources() + own).digest()

    def get_disambiguator(self) -> str:
        return str(self._code.co_firstlineno)


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes: list[Any] = [_Locator]  # noqa: RUF012


class _Files(caching.IndexDataCacheFile):
    """Numba's, whose data files begin with their digest: damaged machine code is not run."""

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name: str) -> Any:
        found = Path(self._data_path(name)).read_bytes()
        digest, content = found[:32], found[32:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError(f"{name} is not what was written")
        return pickle.loads(content)


class _Cache(caching.FunctionCache):
    _impl_class = _Implementation

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever a file that is not what was written may lead to
            _warn("damaged", f"damaged code of kernels in {self._cache_path} is made anew ({error!r}); {AGAIN}")
        try:
            self.flush()
        except OSError:
            self.disable()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # a full disk, above all
            _cannot_keep(error)


def keep(compiled: Any, function: Callable[..., Any]) -> None:
    """Keep on disk what Numba will compile of a function, and take it from there."""
    try:
        compiled._cache = _Cache(function)
    except (RuntimeError, OSError) as error:
        _cannot_keep(error)
