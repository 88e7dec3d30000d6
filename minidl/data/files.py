"""Image files with a class each: read one by one, or all of them decoded once and then from a cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .cache import decoded
from .imageset import ImageSet
from .picture import read_rgb

if TYPE_CHECKING:
    from PIL import Image


class ImageFiles:
    """What datasets of files share.

    Attributes
    ----------
    folder : where they lie
    paths, labels : of each image
    classes : the names of the classes, in the order of their labels
    name, cache : of the file that keeps them decoded, and its folder
    own : whether they are the user's own photographs, rather than published ones
    """

    folder: Path
    paths: list[Path]
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str
    cache: Path
    own = False

    def __len__(self) -> int:
        """The number of images."""
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        """Image ``i`` in its own size, in RGB, and its label."""
        return read_rgb(self.paths[i], self.own), int(self.labels[i])

    def images(self, pixels: int) -> np.ndarray:
        """All images as squares, decoded the first time and read from a cache afterwards.

        Each has its shorter side resized to ``pixels`` (antialiased bilinear) and its central square cut out.

        Parameters
        ----------
        pixels : int
            The side of the squares.

        Returns
        -------
        numpy.memmap of shape (n, pixels, pixels, 3)
            uint8, read-only.

        Raises
        ------
        RuntimeError
            If an image is damaged: the message names it.
        ValueError
            If so many pixels would fill more than the whole disk.
        """
        needed, disk = 3 * len(self.paths) * float(pixels) ** 2, shutil.disk_usage(self.folder).total
        if needed > disk:
            raise ValueError(
                f"pixels is {pixels}: {len(self.paths)} images of that size are {needed / 1e9:.3g} GB, and the disk of "
                f"{self.folder} holds {disk / 1e9:.3g} GB at all"
            )
        return decoded(self.paths, pixels, self.cache, self.name, self.own)

    def at(self, pixels: int) -> ImageSet:
        """The images as squares of this side, with their labels and classes."""
        return ImageSet(self.images(pixels), self.labels, self.classes)
