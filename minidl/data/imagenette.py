"""Imagenette: ten easy classes of ImageNet, found on disk or downloaded."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from ..tools.files import user_path
from .archive import Archive, install
from .files import ImageFiles

CLASSES = {  # in the order of their labels
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
COUNTS = {"train": 9469, "val": 3925}
SERVER = "https://s3.amazonaws.com/fast-ai-imageclas/"
ARCHIVES = {
    "160px": Archive("imagenette2-160", SERVER, "e793b78cc4c9e9a4ccc0c1155377a412", COUNTS),
    "320px": Archive("imagenette2-320", SERVER, "3df6f0d01a2c9592104656642f5e78a3", COUNTS),
    "full": Archive("imagenette2", SERVER, "fe2fc210e6bb7c5664d602c3cd71e612", COUNTS),
}


class Imagenette(ImageFiles):
    """Imagenette version 2: 9469 training and 3925 validation photographs in ten classes.

    Parameters
    ----------
    root : path, optional
        The folder that holds ``imagenette2-160/`` (or ``-320/``, or ``imagenette2/``), or is it. By default
        what the environment variable ``MINIDL_DATA`` names, and without it a folder in the user's cache.
    split : "train" or "val"
    size : "160px", "320px" or "full"
        The shorter side of the published images: 99 MB, 342 MB or 1.6 GB to download.
    download : bool
        Download into ``root`` what is not there yet.

    Attributes
    ----------
    labels : int64 array of shape (n,)
    classes : tuple of str
        The names of the ten classes, in the order of their labels.
    paths : list of pathlib.Path
        The file of each image, by class and then by name.

    Raises
    ------
    ValueError
        If ``split`` or ``size`` is not one of the choices.
    FileNotFoundError
        If there is no copy on disk and ``download`` is off.
    RuntimeError
        If images are missing or damaged, or the download fails or has the wrong checksum.

    Notes
    -----
    J. Howard, "Imagenette", fast.ai, https://github.com/fastai/imagenette. The photographs are ImageNet's.

    Examples
    --------
    >>> train = Imagenette("datasets", split="train", download=True)    # doctest: +SKIP
    >>> images, labels = train.at(72)                                   # doctest: +SKIP
    >>> images.shape, train.classes[labels[0]]                          # doctest: +SKIP
    ((9469, 72, 72, 3), 'tench')
    """

    classes = tuple(CLASSES.values())

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        split: str = "train",
        size: str = "160px",
        download: bool = False,
    ) -> None:
        self.split = _choice("split", split, COUNTS)
        self.size = _choice("size", size, ARCHIVES)
        archive = ARCHIVES[size]
        base = _base(root)
        found = _find(base, archive)
        if found is None and download:
            found = install(archive, base, check=partial(_check, archive=archive))
        if found is None:
            raise FileNotFoundError(
                f"no Imagenette ({size}) in {base}: expected a folder {archive.folder}/ with train/ and val/ "
                "in it. Pass download=True to fetch it, or say where your copy is with root=... or with the "
                "environment variable MINIDL_DATA"
            )
        self.folder, self.cache, self.name = found, found / "minidl-cache", f"{found.name}-{split}"
        self.paths, self.labels = _list(found, split, archive)

    def __repr__(self) -> str:
        return f"Imagenette({str(self.folder)!r}, {self.split!r}, {self.size!r}): {len(self)} images"


def _choice(name: str, value: str, choices: dict) -> str:
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"unknown {name} of Imagenette, {value!r}: choose one of {listed}")
    return value


def _base(root: str | os.PathLike[str] | None) -> Path:
    """The folder that holds the dataset, or is to."""
    if root is None:
        root = os.environ.get("MINIDL_DATA") or None
    if root is None:
        import pooch

        root = pooch.os_cache("minidl")
    return user_path(root)


def _find(base: Path, archive: Archive) -> Path | None:
    """Where the dataset lies: in ``base``, or ``base`` itself unless its name is that of another size."""
    candidates = [base / archive.folder]
    if base.name not in {other.folder for other in ARCHIVES.values()} - {archive.folder}:
        candidates.append(base)
    for folder in candidates:
        if all((folder / split).is_dir() for split in archive.counts):
            return folder
    return None


def _check(folder: Path, archive: Archive) -> None:
    for split in archive.counts:
        _list(folder, split, archive)


def _list(folder: Path, split: str, archive: Archive) -> tuple[list[Path], np.ndarray]:
    """The files of a split with their labels, in a fixed order; raises unless all of them are there."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, wnid in enumerate(CLASSES):
        files = sorted((folder / split / wnid).glob("[!.]*.JPEG"))
        if not files:
            raise RuntimeError(
                f"there are no images in {folder / split / wnid} ({CLASSES[wnid]}): the copy is incomplete or altered. "
                "Move or delete that folder, then try again with download=True"
            )
        paths += files
        labels += [label] * len(files)
    if len(paths) != archive.counts[split]:
        raise RuntimeError(
            f"expected {archive.counts[split]} images in the {split} split of {folder}, found {len(paths)}: "
            "the copy is incomplete or altered. Move or delete that folder, then try again with download=True"
        )
    return paths, np.array(labels, np.int64)
