"""What every dataset gives: images, their labels, and what the labels mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, channels last, with the class of each.

    It unpacks, so ``images, labels = minidl.data.digits()`` reads naturally.

    Parameters
    ----------
    images : array of shape (n, H, W, C)
        uint8 in 0..255 (possibly a read-only memory map), or float32 in [0, 1].
    labels : int64 array of shape (n,)
        Indices into ``classes``.
    classes : tuple of str
        The names of the classes, in the order of their labels.

    Raises
    ------
    ValueError
        If images and labels do not match in number.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.data import ImageSet
    >>> pair = ImageSet(np.zeros((2, 8, 8, 1), np.float32), np.array([0, 1]), ("cat", "dog"))
    >>> images, labels = pair
    >>> len(pair), images.shape, pair.classes[labels[1]]
    (2, (2, 8, 8, 1), 'dog')
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"every image needs one label: got {len(self.images)} images and {len(self.labels)} labels"
            )

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.images, self.labels))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def __repr__(self) -> str:
        return f"ImageSet({self.images.shape} {self.images.dtype}, {len(self.classes)} classes)"
