"""Photographs of one's own: a folder for each class."""

from __future__ import annotations

import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from ..checks import number
from ..tools.files import user_path
from .files import ImageFiles
from .picture import is_readable

CACHE = ".minidl-cache"  # hidden, and so no class
SPLITS = (None, "train", "val")


class ImageFolder(ImageFiles):
    """Your own photographs, in a folder with a folder for each class: of every format that Pillow reads.

    ``ImageFolder(root).at(pixels)`` are the images as squares, upright as their EXIF says, decoded once and then read
    from a cache within ``root`` (or the user's cache folder, where nothing can be written there).

    Parameters
    ----------
    root : path
        Holds a folder of images for each class, named after it. Links are followed; what is hidden (begins with a dot)
        is left out.
    split : None, "train" or "val"
        All images, or one of two parts. An image's part follows from a hash of its class's and its own name: it stays
        the same when others come or go, and on every machine.
    held_out : float in (0, 1)
        Of all images about this part is "val".

    Attributes
    ----------
    paths, labels, classes
        The file of each image, by class and then by name; its class as int64; the classes' names in order.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a link in it leads nowhere.
    ValueError
        If there are no classes, one is empty, or its name is none: the message says which.
    RuntimeError
        From ``at``: if an image cannot be read, which.

    Warns
    -----
    UserWarning
        When files are left out as they are no images, and when a class has none in its split.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> from minidl.data import ImageFolder
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (root / name).mkdir()
    ...     Image.new("RGB", (40, 30), "white").save(root / name / "1.png")
    >>> photographs = ImageFolder(root).at(8)
    >>> photographs.images.shape, photographs.labels.tolist(), photographs.classes
    ((2, 8, 8, 3), [0, 1], ('cat', 'dog'))
    """

    own = True

    def __init__(self, root: str | os.PathLike[str], split: str | None = None, held_out: float = 0.2) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split of ImageFolder, {split!r}: choose None (all), 'train' or 'val'")
        held_out = number(held_out, "held_out", "(0, 1)", "ImageFolder")
        self.folder, self.split = user_path(root), split
        folders = _classes(self.folder)
        self.classes = tuple(folder.name for folder in folders)
        listed: list[tuple[Path, int]] = []
        for label, folder in enumerate(folders):  # no comprehension: whether that is a frame of its own, Pythons differ
            listed += [(path, label) for path in _images(folder)]
        chosen = [entry for entry in listed if split is None or (_place(entry[0]) < held_out) == (split == "val")]
        self.paths = [path for path, _ in chosen]
        self.labels = np.array([label for _, label in chosen], np.int64)
        self.cache, self.name = self.folder / CACHE, f"{self.folder.resolve().name or 'images'}-{split or 'all'}"
        counts = Counter(self.labels.tolist())
        if missing := [name for label, name in enumerate(self.classes) if not counts[label]]:
            what = f"ImageFolder: the split {split!r} of {self.folder} has no images of {', '.join(missing)}"
            if not self.paths:
                raise ValueError(f"{what}: give held_out= another part, or more images")
            warnings.warn(f"{what}: there are few of these", stacklevel=2)

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.folder)!r}, {self.split!r}): {len(self)} images in {len(self.classes)} classes"


def _classes(root: Path) -> list[Path]:
    """The folder of each class, by their names."""
    if not root.is_dir():
        raise FileNotFoundError(f"ImageFolder: there is no folder {root}")
    folders = sorted((path for path in root.iterdir() if path.is_dir() and path.name[0] != "."), key=_sorted_as)
    if not folders:
        raise ValueError(f"ImageFolder: {root} has no folders: put the images of each class into one named after it")
    for folder in folders:
        try:
            folder.name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"ImageFolder: the name of the class {os.fsencode(folder)!r} is no UTF-8, and so no text: rename it"
            ) from None
    return folders


def _images(folder: Path) -> list[Path]:
    """The image files of a class, by their names; of what else is there a warning tells."""
    there = sorted((path for path in folder.iterdir() if path.name[0] != "."), key=_sorted_as)
    for path in there:
        if path.is_symlink() and not path.exists():
            raise FileNotFoundError(f"ImageFolder: {path} is a link that leads nowhere")
    images = [path for path in there if path.is_file() and is_readable(path.name)]
    others = sorted({*there} - {*images}, key=_sorted_as)
    if not images:
        within = f"; if {folder.parent} holds splits, give one of them: ImageFolder({str(folder)!r})"
        hint = within if any(path.is_dir() for path in there) else ": delete the folder, or put images into it"
        raise ValueError(f"ImageFolder: there are no images in {folder}{hint}")
    if others:
        warnings.warn(
            f"ImageFolder: {len(others)} of the names in {folder} are no images', and left out, such as "
            f"{others[0].name!r}",
            stacklevel=3,
        )
    return images


def _sorted_as(path: Path) -> bytes:
    """A name as every system orders it: some write an accent as a letter of its own."""
    return unicodedata.normalize("NFC", path.name).encode("utf-8", "surrogateescape")


def _place(path: Path) -> float:
    """Where in [0, 1) a hash puts an image's name and its class's."""
    name = _sorted_as(path.parent) + b"/" + _sorted_as(path)
    return int.from_bytes(hashlib.sha256(name).digest()[:6], "big") / 2**48
