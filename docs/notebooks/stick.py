"""A class without a network: all that the lessons need, on a USB stick.

    python docs/notebooks/stick.py gather E:/minidl     with a network: minidl, Jupyter and lessons
    python E:/minidl/stick.py install                   without: into ~/minidl-class, or where said

Packages are made for one system and one version of Python each: gather on a machine like those of
the class, once for each kind, into the same folder. Nothing is installed into Python itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("jupyterlab", "ipykernel")  # beside minidl
PIP = (sys.executable, "-m", "pip")


def gather(folder: Path) -> None:
    """Fill the stick: wheels, notebooks of both kinds, the playground, and this file."""
    wheels, clone = folder / "wheels", HERE.parents[1]
    wheels.mkdir(parents=True, exist_ok=True)
    run(*PIP, "wheel", "--wheel-dir", wheels, clone, *PACKAGES, "pip")
    run(sys.executable, HERE / "build.py", "--handout", folder / "lessons")
    if (playground := clone / "docs" / "playground").is_dir():
        shutil.copytree(playground, folder / "playground", dirs_exist_ok=True)
    shutil.copy(__file__, folder / "stick.py")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size >> 20} MB. In the class: python {folder / 'stick.py'} install")


def install(there: Path) -> None:
    """A virtual environment and the students' notebooks, from the stick alone."""
    wheels = HERE / "wheels"
    if not any(wheels.glob("minidl-*.whl")):
        raise SystemExit(
            f"error: {wheels} has no minidl: gather first, which makes {wheels.parent}"
        )
    venv.create(there / "venv", with_pip=True)
    programs = there / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    try:
        alone = ("--no-index", "--find-links", wheels)
        run(python, "-m", "pip", "install", "--quiet", *alone, "minidl", *PACKAGES)
    except subprocess.CalledProcessError:
        version = ".".join(map(str, sys.version_info[:2]))
        raise SystemExit(
            f"error: the stick has no packages for this system and Python {version}: gather on a "
            "machine of this kind too, or use the Python that it was gathered with"
        ) from None
    lessons = there / "lessons"
    for path in sorted((HERE / "lessons" / "students").iterdir()):
        if not (lessons / path.name).exists():  # what a student has written stays
            lessons.mkdir(exist_ok=True)
            shutil.copy(path, lessons / path.name)
    print(f"Begin with: {programs / 'jupyter-lab'} {lessons}")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Lessons for a class without a network.")
    parser.add_argument("what", choices=("gather", "install"))
    parser.add_argument("folder", type=Path, nargs="?", help="the stick, or where to install")
    options = parser.parse_args()
    if options.what == "install":
        install(options.folder or Path.home() / "minidl-class")
    elif options.folder is None:
        parser.error(
            "gather: which folder? The stick's, such as E:/minidl or /media/me/stick/minidl"
        )
    else:
        gather(options.folder)


if __name__ == "__main__":
    main()
