"""Files as on Windows or macOS: what is in use stays, case does not count, and text has the locale's encoding."""

import builtins
import io
import os
import pathlib
import sys

ENCODING = "cp1252"
RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{k}" for kind in ("com", "lpt") for k in range(1, 10))}
listdir, readlink, opened = os.listdir, os.readlink, io.open


def in_use(path):
    """Whether this process has the file open, or mapped into its memory."""
    real = os.path.realpath(path)
    for handle in listdir("/proc/self/fd"):
        try:
            if readlink(f"/proc/self/fd/{handle}") == real:
                return True
        except OSError:  # the handle of the listing itself
            continue
    with opened("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        return any(line.rstrip("\n").endswith(f" {real}") for line in maps)


def refuse(*paths):
    """Unless nobody has these open."""
    for path in paths:
        if in_use(path):
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))


def refusing():
    """os.replace and the like, of files that are in use."""

    def of(name, both):
        def change(path, *args, **kwargs):
            refuse(path, *(args[:1] if both else ()))
            if both:
                check_name(args[0], windows=True)
            return getattr(os, name)(path, *args, **kwargs)

        return change

    return {name: of(name, name in ("replace", "rename")) for name in ("replace", "rename", "remove", "unlink")}


def check_name(path, windows):
    """Refuse what would be another file's name there, or none at all."""
    folder, name = os.path.split(os.path.abspath(os.fspath(path)))
    if windows and (set(name) & set('<>:"|?*\\') or name.split(".")[0].lower() in RESERVED or name[-1:] in (" ", ".")):
        raise OSError(22, "The filename, directory name, or volume label syntax is incorrect", str(path))
    try:
        others = listdir(folder)
    except OSError:
        return
    same = [other for other in others if other != name and other.casefold() == name.casefold()]
    if same:
        raise FileExistsError(17, f"there is {same[0]} already, and only the case of letters differs", str(path))


def opening(ours, windows):
    def open_file(file, mode="r", buffering=-1, encoding=None, *args, **kwargs):
        if windows and "b" not in mode and encoding in (None, "locale"):
            encoding = ENCODING
        named = isinstance(file, (str, os.PathLike)) and not os.fspath(file).startswith(os.devnull)
        if named and os.fspath(file).startswith(("/proc/", "/sys/")) and ours(sys._getframe(1)):
            raise FileNotFoundError(2, "No such file or directory", str(file))
        if named and set(mode) & set("wxa") and os.fspath(file).startswith("/") and ours(sys._getframe(1)):
            check_name(file, windows)
        return opened(file, mode, buffering, encoding, *args, **kwargs)

    return open_file


def refusing_method(real, ours):
    """Of a Path."""

    def change(self, *args, **kwargs):
        if ours(sys._getframe(1)) and os.path.exists(self):
            refuse(self, *(target for target in args if isinstance(target, (str, os.PathLike))))
        return real(self, *args, **kwargs)

    return change


def install(ours, windows):
    builtins.open = io.open = opening(ours, windows)
    for name in ("replace", "rename", "unlink") if windows else ():
        setattr(pathlib.Path, name, refusing_method(getattr(pathlib.Path, name), ours))
