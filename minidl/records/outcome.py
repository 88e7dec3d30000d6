"""The outcome of an attack, as it is kept and read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .archive import check_arrays, check_rows


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one attack did, image by image.

    Attributes
    ----------
    epsilons : array (E,), in [0, 1] pixel units, ascending, the first is 0
    indices : integer array (B,)
        The attacked images' rows in the validation set, ascending.
    labels : integer array (B,)
    right : boolean array (E, B)
        Whether the model was right.
    zero_gradient, vanished_gradient : boolean array (B,)
        Which images had a gradient of exactly 0, and which one too small for float32's full precision.
    broken_by : array of str (E, B), optional
        Of several attacks in turn, which was the first to break each image at this epsilon or a smaller one: "clean" is
        wrong as it is, "" stands.
    flags : tuple of (name, evidence, advice)
        What was raised against these numbers while they were measured; see ``robustness.Flag``.
    """

    epsilons: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    right: np.ndarray
    zero_gradient: np.ndarray
    vanished_gradient: np.ndarray
    broken_by: np.ndarray | None = None
    flags: tuple[tuple[str, str, str], ...] = ()

    def __post_init__(self) -> None:
        """Shapes, kinds, ranges and order, as docs/studies.md has them; a ValueError says which of them is not so."""
        e, b = len(np.atleast_1d(self.epsilons)), len(np.atleast_1d(self.indices))
        expected = {
            "epsilons": ((e,), "f"),
            "indices": ((b,), "iu"),
            "labels": ((b,), "iu"),
            "right": ((e, b), "b"),
            "zero_gradient": ((b,), "b"),
            "vanished_gradient": ((b,), "b"),
        }
        if self.broken_by is not None:
            expected["broken_by"] = ((e, b), "U")
        check_arrays(self, expected)
        epsilons = self.epsilons
        if b == 0 or e == 0 or epsilons[0] != 0 or not (np.diff(epsilons) > 0).all() or not epsilons[-1] <= 1:
            found = epsilons[:8].tolist()
            raise ValueError(f"epsilons are {found} on {b} images: expected 0 first, then ascending, up to 1")
        check_rows(self.indices, self.labels)
        if self.broken_by is not None and not np.array_equal(self.broken_by == "", self.right):
            raise ValueError("broken_by: expected the name of an attack for each image that is not right, and no other")
