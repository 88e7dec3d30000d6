"""The UCI handwritten digits, shipped with the package: the dataset that needs no network."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from ..checks import whole_number
from .imageset import ImageSet

CLASSES = tuple("0123456789")
MAX_VALUE = 16  # each stored value counts the inked pixels of a 4x4 block of the 32x32 scan
FOLD = 5  # one image in five is held out for validation


def digits(split: str | None = None, seed: int = 0) -> ImageSet:
    """Handwritten digits: 1797 grey images of 8x8 pixels, in ten classes.

    Parameters
    ----------
    split : None, "train" or "val"
        All 1797 images (the default), or the 1437 or 360 of a split that keeps the classes' proportions.
    seed : int
        Which images are held out: the same seed always gives the same split.

    Returns
    -------
    ImageSet
        ``images`` float32 of shape (n, 8, 8, 1) in [0, 1], ``labels`` int64 of shape (n,), ``classes`` "0" to
        "9". The arrays are fresh copies: change them freely.

    Raises
    ------
    ValueError
        If ``split`` is not one of the choices.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0. These are its original test set, scaled from
    0..16 to [0, 1] (see ``uci_digits/README.md``).

    Examples
    --------
    >>> from minidl.data import digits
    >>> images, labels = digits()
    >>> images.shape, images.min(), images.max(), labels[:5]
    ((1797, 8, 8, 1), np.float32(0.0), np.float32(1.0), array([0, 1, 2, 3, 4]))
    >>> len(digits("train")), len(digits("val"))
    (1437, 360)
    """
    if split not in (None, "train", "val"):
        raise ValueError(f"unknown split of the digits, {split!r}: choose None (all), 'train' or 'val'")
    seed = whole_number(seed, "seed", 0, "digits")
    pixels, labels = _stored()
    chosen = np.arange(len(labels)) if split is None else stratified(labels, split, seed)
    images = pixels[chosen, :, :, None] / np.float32(MAX_VALUE)
    return ImageSet(images, labels[chosen].astype(np.int64), CLASSES)


@cache
def _stored() -> tuple[np.ndarray, np.ndarray]:
    """The shipped file: pixels (1797, 8, 8) in 0..16 and labels (1797,), both uint8."""
    shipped = resources.files(__package__) / "uci_digits" / "digits.npz"
    with shipped.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["pixels"], arrays["labels"]


def stratified(labels: np.ndarray, split: str, seed: int) -> np.ndarray:
    """Row numbers of a split: shuffle, group by class, and hold out every fifth along that line."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    held_out = np.arange(len(order)) % FOLD == 0
    return np.sort(order[held_out if split == "val" else ~held_out])
