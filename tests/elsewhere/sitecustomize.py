"""Take from this Python what it lacks on the system that ELSEWHERE names; see README.md beside this file."""

import builtins
import contextlib
import multiprocessing
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import types

import strict_files

ROOT = str(pathlib.Path(__file__).resolve().parents[2])
NOT_ON_WINDOWS = set(
    "fork forkpty uname sched_getaffinity sched_setaffinity sched_yield register_at_fork mkfifo mknod killpg setsid "
    "getpgid getuid geteuid getgid chown nice wait3 wait4 WNOHANG memfd_create posix_fallocate posix_fadvise sendfile "
    "pipe2 getloadavg sysconf".split()
)
NOT_ON_MACOS = set(
    "sched_getaffinity sched_setaffinity memfd_create pipe2 getrandom copy_file_range splice eventfd posix_fallocate "
    "posix_fadvise setresuid setresgid getresuid getresgid".split()
)
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "posix", "syslog", "readline"}
SIGNALS = {"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"}


def ours(frame):
    """Whether code of this project asks, be it through pathlib: other libraries have ways of their own elsewhere."""
    while frame and "/pathlib" in frame.f_code.co_filename:
        frame = frame.f_back
    name = frame.f_code.co_filename if frame else ""
    inside = name.startswith(ROOT) and "/site-packages/" not in name and "/elsewhere/" not in name
    return inside or name.startswith(("<string>", "<doctest"))


class Lacking(types.ModuleType):
    """A module without some of its names, and with others for some."""

    def __init__(self, real, missing, instead=()):
        super().__init__(real.__name__)
        self.__dict__.update({"_real": real, "_missing": missing, **dict(instead)})

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)


def importing(real, lacking, modules):
    def imported(name, *args, **kwargs):
        top = name.partition(".")[0]
        if top in (*lacking, *modules) and ours(sys._getframe(1)):
            if top in modules:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return lacking[top]
        return real(name, *args, **kwargs)

    return imported


def popen_as_on_windows(real):
    def start(self, *args, preexec_fn=None, **kwargs):
        if preexec_fn is not None:
            raise ValueError("preexec_fn is not supported on Windows platforms")
        texts = ("text", "universal_newlines", "errors")
        if any(kwargs.get(name) for name in texts) and not kwargs.get("encoding"):
            kwargs["encoding"] = strict_files.ENCODING
        real(self, *args, **kwargs)

    return start


def no_links(*_, **__):
    raise OSError(22, "A required privilege is not held by the client")


def kill(process, _):
    """Whatever the signal, the process is gone."""
    os.kill(process, signal.SIGKILL)


def windows():
    signals = {name for name in dir(signal) if name.startswith("SIG")} - SIGNALS
    missing = signals | {"alarm", "setitimer", "pthread_kill", "sigtimedwait"}
    lacking = {
        "os": Lacking(os, NOT_ON_WINDOWS, {"symlink": no_links, "kill": kill, **strict_files.refusing()}),
        "signal": Lacking(signal, missing),
    }
    builtins.__import__ = importing(builtins.__import__, lacking, MODULES)
    subprocess.Popen.__init__ = popen_as_on_windows(subprocess.Popen.__init__)
    pathlib.Path.symlink_to = no_links
    os.environ.setdefault("PYTHONIOENCODING", strict_files.ENCODING)
    strict_files.install(ours, windows=True)


def macos():
    builtins.__import__ = importing(builtins.__import__, {"os": Lacking(os, NOT_ON_MACOS)}, set())
    with contextlib.suppress(AttributeError):
        del select.epoll
    threading.stack_size(512 << 10)
    strict_files.install(ours, windows=False)
    if "MINIDL_REAL_TMP" not in os.environ:
        real = os.environ["MINIDL_REAL_TMP"] = os.environ.get("TMPDIR", "/tmp")
        link = pathlib.Path(real, f"private-{os.getuid()}")
        with contextlib.suppress(FileExistsError):
            link.symlink_to(real, target_is_directory=True)
        os.environ["TMPDIR"] = str(link)


if os.environ.get("ELSEWHERE"):
    {"windows": windows, "macos": macos}[os.environ["ELSEWHERE"]]()
    multiprocessing.set_start_method("spawn")
