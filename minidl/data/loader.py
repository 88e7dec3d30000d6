"""Batches: shuffled, cropped and flipped from one seed, and ready before they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import Array, Seed, device_of, is_at_hand, streams, to_device, to_numpy
from ..checks import check_labels, number, pair, whole_number
from ..images import check_pixels
from ..kernels.shapes import Pair
from .ahead import run_ahead
from .resized import draw_sizes
from .windows import Plan, cut

Batch = tuple[Array, np.ndarray]


class Loader:
    """Iterate over images in batches, optionally shuffled and augmented.

    Each epoch is a function of ``(seed, epoch)`` alone: whatever ``prefetch`` is, and whether or not earlier
    epochs were run, ``loader.epoch(k)`` gives the same bits. Iterating the loader runs epoch 0, then 1, ...

    Parameters
    ----------
    images : array of shape (n, H, W, C)
        uint8 in 0..255 (a memory map is fine, it is read batch by batch), or floating point in [0, 1]. Images that lie
        on a card stay there: batches are cut and mirrored on it.
    labels : integer array of shape (n,)
    batch_size : int
    shuffle : bool
        Visit the images in a new random order every epoch.
    augment : bool, optional
        Crop and flip at random. Without it each image gives its central window, unflipped, so that the same
        ``crop`` and ``flip`` serve training and validation. The default is that of ``shuffle``.
    crop : int or pair of int, optional
        Height and width of the window to cut, in pixels. The whole image by default.
    pad : int
        Zeros added on each side before a random crop, in pixels: with ``pad=4`` and no ``crop``, images are
        shifted by up to 4 pixels.
    flip : bool
        Mirror each image left to right with probability one half.
    scale : pair of float, optional
        Random windows have between these parts of the image's area, and sides that are to each other as 3 to 4 at
        most; they are resized to ``crop``, bilinearly with antialiasing (torchvision's RandomResizedCrop). Without
        augmentation the central window of ``crop`` is cut, as ever.
    noise : float, in units of pixels
        Standard deviation of Gaussian noise that is added to each pixel of augmented batches, whose pixels then leave
        [0, 1]: a network for ``robustness.certify_smoothed`` is trained so.
    drop_last : bool
        Leave out the last batch of an epoch when it is smaller than the others.
    seed : int, numpy.random.SeedSequence or numpy.random.Generator
        Of the streams "shuffle" and "augmentation", as ``backend.streams`` takes it.
    prefetch : int
        How many batches a background thread keeps ready. With 0, in the browser and on a card there is no thread.

    Yields
    ------
    x : float32 array of shape (batch_size, h, w, C), in [0, 1], on the images' device
    y : int64 NumPy array of shape (batch_size,)

    Raises
    ------
    ValueError
        If the arrays do not match or hold something else than images, or an option is out of range.

    Examples
    --------
    >>> from minidl.data import Loader, digits
    >>> train = digits("train")
    >>> loader = Loader(train.images, train.labels, batch_size=128, crop=8, pad=1, seed=0)
    >>> x, y = next(iter(loader))
    >>> len(loader), x.shape, x.dtype, y.shape
    (12, (128, 8, 8, 1), dtype('float32'), (128,))
    """

    def __init__(
        self,
        images: Array,
        labels: Array,
        batch_size: int,
        *,
        shuffle: bool = True,
        augment: bool | None = None,
        crop: int | tuple[int, int] | None = None,
        pad: int = 0,
        flip: bool = False,
        scale: tuple[float, float] | None = None,
        noise: float = 0.0,
        drop_last: bool = False,
        seed: Seed = 0,
        prefetch: int = 2,
    ) -> None:
        self.images, self.labels = _checked_arrays(images, labels)
        self.batch_size = whole_number(batch_size, "batch_size", 1, "Loader")
        self.shuffle = shuffle
        self.augment = shuffle if augment is None else augment
        pad, prefetch = whole_number(pad, "pad", 0, "Loader"), whole_number(prefetch, "prefetch", 0, "Loader")
        self.pad = pad if self.augment else 0
        self.crop = _checked_crop(crop, self.images.shape[1:3], self.pad)
        self.flip = flip
        scale = None if scale is None else _checked_scale(scale, pad)
        self.scale = scale if self.augment else None
        noise = number(noise, "noise", "[0, inf)", "Loader")
        self.noise = noise if self.augment else 0.0
        self.drop_last = drop_last
        no_thread = sys.platform == "emscripten" or not is_at_hand(images)
        self.prefetch = 0 if no_thread else prefetch
        self.next_epoch = 0
        drawn = streams(seed, "Loader")
        self._keys = {purpose: int(drawn[purpose].integers(2**63)) for purpose in ("shuffle", "augmentation")}
        if len(self) == 0:
            raise ValueError(
                f"Loader: drop_last leaves nothing: {len(self.labels)} images do not fill one batch of {batch_size}"
            )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        n = len(self.labels)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Run the next epoch."""
        epoch, self.next_epoch = self.next_epoch, self.next_epoch + 1
        return self.epoch(epoch)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Run the epoch of this number, counted from 0: the same batches every time."""
        epoch = whole_number(epoch, "epoch", 0, "Loader.epoch")
        batches = self._batches(self._plan(epoch))
        if self.noise:
            batches = self._noisy(batches, epoch)
        return run_ahead(batches, self.prefetch) if self.prefetch else batches

    def _plan(self, epoch: int) -> Plan:
        n = len(self.labels)
        (H, W), (h, w) = self.images.shape[1:3], self.crop
        rows = self._stream("shuffle", epoch).permutation(n) if self.shuffle else np.arange(n)
        if not self.augment:
            return Plan(rows, np.full(n, (H - h) // 2), np.full(n, (W - w) // 2), np.zeros(n, bool))
        rng = self._stream("augmentation", epoch)
        sizes = None if self.scale is None else draw_sizes(rng, n, (H, W), self.scale)
        heights, widths = (h, w) if sizes is None else sizes
        tops = rng.integers(H + 2 * self.pad - heights, size=n, endpoint=True)
        lefts = rng.integers(W + 2 * self.pad - widths, size=n, endpoint=True)
        flips = rng.random(n) < 0.5 if self.flip else np.zeros(n, bool)
        return Plan(rows, tops, lefts, flips, sizes)

    def _stream(self, purpose: str, epoch: int) -> np.random.Generator:
        """Random numbers for one purpose in one epoch, whatever ran before."""
        return np.random.default_rng([self._keys[purpose], epoch])

    def get_state(self) -> dict[str, Any]:
        """Where the loader is: what ``set_state``, of a loader made like this one, goes on from."""
        return {"next_epoch": self.next_epoch, "batches": len(self), "keys": dict(self._keys)}

    def state_problems(self, state: dict[str, Any]) -> list[str]:
        """Why ``set_state`` of a state would not go on with the same batches, a line each."""
        ours = self.get_state()
        return [
            f"{name}: {state.get(name)!r} there, {ours[name]!r} here: images, batch size and seed must be the same"
            for name in ("batches", "keys")
            if state.get(name) != ours[name]
        ]

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where ``get_state`` was."""
        self.next_epoch = state["next_epoch"]

    def _batches(self, plan: Plan) -> Iterator[Batch]:
        for i in range(len(self)):
            part = slice(i * self.batch_size, (i + 1) * self.batch_size)
            yield cut(self.images, plan.part(part), self.crop, self.pad), self.labels[plan.rows[part]]

    def _noisy(self, batches: Iterator[Batch], epoch: int) -> Iterator[Batch]:
        """The batches with noise, drawn on the CPU in their order: the same bits wherever the images are."""
        rng = np.random.default_rng([self._keys["augmentation"], epoch, 1])
        for x, labels in batches:
            drawn = np.float32(self.noise) * rng.standard_normal(x.shape, dtype=np.float32)
            yield x + to_device(drawn, device_of(x)), labels


def _checked_arrays(images: Array, labels: Array) -> Batch:
    if is_at_hand(images):
        images = np.asarray(images)  # a plain view of a memory map indexes faster
    if images.ndim != 4:
        raise ValueError(
            f"Loader: images must have shape (n, H, W, C), got {images.shape}: a grey image needs images[..., None]"
        )
    if 0 in images.shape:
        raise ValueError(
            f"Loader: there are no images to load, or they have no pixels: images has shape {images.shape}"
        )
    check_pixels(images, "Loader")
    return images, check_labels(to_numpy(labels), len(images), None, "Loader").copy()


def _checked_scale(scale: tuple[float, float], pad: int) -> tuple[float, float]:
    try:
        smallest, largest = scale
    except (TypeError, ValueError):
        wanted = "two parts of the image's area are wanted, such as (0.35, 1.0)"
        raise ValueError(f"Loader: scale is {scale!r}: {wanted}") from None
    low, high = (number(part, "scale", "(0, 1]", "Loader") for part in (smallest, largest))
    if low > high:
        raise ValueError(f"Loader: scale is {scale!r}: the smaller part comes first, scale=({high}, {low})")
    if pad:
        raise ValueError(f"Loader: scale={scale!r} cuts windows within the image, and pad={pad} around it: choose one")
    return low, high


def _checked_crop(crop: int | Pair | None, size: Pair, pad: int) -> Pair:
    (H, W), (h, w) = size, size if crop is None else pair(crop, "crop", 1, "Loader")
    if h > H + 2 * pad or w > W + 2 * pad:
        raise ValueError(
            f"Loader: crop {h}x{w} is larger than the images, {H}x{W} with {pad} pixels of padding: "
            "ask for a smaller crop, or load the images larger"
        )
    return h, w
