"""NumPy arrays of one's own as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import check_images, check_labels, whole_number
from ..images import check_kind, check_pixels
from .digits import stratified
from .imageset import ImageSet


def arrays(
    images: Any, labels: Any, split: str | None = None, classes: Sequence[str] | None = None, seed: int = 0
) -> ImageSet:
    """Your own images and labels as a dataset like the others, all of it or one of two parts.

    Parameters
    ----------
    images : array (n, H, W, C)
        uint8 from 0 to 255, or real numbers in [0, 1]: they stay what they are.
    labels : integer array (n,), or sequence of n names
        Classes counted from 0, or their names, which are then numbered in alphabetical order.
    split : None, "train" or "val"
        All images, or four in five, or one in five; each keeps the classes' proportions.
    classes : sequence of str, optional
        The names of classes that labels have as numbers; "0", "1" ... by default.
    seed : int
        Which images are held out: the same seed always gives the same split.

    Returns
    -------
    ImageSet

    Raises
    ------
    TypeError, ValueError
        When images, labels or classes are not of these kinds and shapes, or a split would be empty.

    Examples
    --------
    >>> import numpy as np
    >>> import minidl as md
    >>> images, labels = np.zeros((10, 8, 8, 3), np.uint8), ["cat", "dog"] * 5
    >>> train, val = (md.data.arrays(images, labels, split) for split in ("train", "val"))
    >>> len(train), len(val), train.classes
    (8, 2, ('cat', 'dog'))
    """
    if split not in (None, "train", "val"):
        raise ValueError(f"unknown split of arrays, {split!r}: choose None (all), 'train' or 'val'")
    images = check_kind(images, "arrays")
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise ValueError(
            f"arrays: images have shape {images.shape}, and channels come last here: use images.transpose(0, 2, 3, 1)"
        )
    if images.ndim == 3:
        raise ValueError(f"arrays: images have shape {images.shape}: grey ones need an axis more, images[..., None]")
    check_images(images[:0].astype(np.float32) if images.dtype == np.uint8 else images, "arrays")
    if 0 in images.shape:
        raise ValueError(f"arrays: there are no images, or they have no pixels: their shape is {images.shape}")
    check_pixels(images, "arrays")
    numbers, names = _numbered(labels, len(images), classes)
    if split is not None:
        chosen = stratified(numbers, split, whole_number(seed, "seed", 0, "arrays"))
        if not len(chosen):
            raise ValueError(f"arrays: the split {split!r} of {len(images)} images is empty: one in five is held out")
        images, numbers = images[chosen], numbers[chosen]
    return ImageSet(images, numbers, names)


def _numbered(labels: Any, count: int, classes: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels (n,) as int64, and what they are called."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "US" or (labels.dtype == object and all(isinstance(name, str) for name in labels.flat)):
        if classes is not None:
            raise ValueError("arrays: labels are names already, and classes would name them again: leave one out")
        if labels.shape != (count,):
            raise ValueError(f"arrays: labels have shape {labels.shape}, the images ask for ({count},)")
        names, places = np.unique(labels.astype(str), return_inverse=True)
        return places.astype(np.int64), tuple(names.tolist())
    if classes is not None and (isinstance(classes, str) or len({*classes}) < len(classes)):
        raise ValueError(f"arrays: classes are {classes!r}: give a sequence of names, each of which comes once")
    numbers = check_labels(labels, count, None if classes is None else len(classes), "arrays").copy()
    return numbers, tuple(str(k) for k in range(int(numbers.max()) + 1)) if classes is None else tuple(classes)
