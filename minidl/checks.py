"""What is wrong with an argument: a message says who asked, what was given, what was expected, and the likely fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .backend import Array, device_of, is_array, to_numpy
from .backend.recording import is_capturing
from .graph import Vjp
from .kernels.shapes import Pair, output_sizes
from .kernels.types import real_dtype
from .tools.numbers import number, numbers, pair, vector, whole_number, whole_numbers  # noqa: F401

NEAR = 1e-3  # how far from 1 the sum of probabilities may be: those of float16 round to this

# Arrays and images


def check_real(x: Any, operation: str, name: str = "x") -> Array:
    """x, if an array of real numbers: among whole ones, a mean is rounded and a negative number wraps around."""
    if not is_array(x):
        raise TypeError(f"{operation}: {name} must be a Tensor or an array, and got a {type(x).__name__}")
    if real_dtype(x).kind != "f":
        raise TypeError(
            f"{operation}: {name} must be real numbers, and got {x.dtype}: use .astype(np.float32), and divide pixels "
            "from 0 to 255 by 255"
        )
    return x


def channels_first(x: Array, channels: int) -> str:
    """What to add to a message about the last axis of x when it is another one that has the ``channels``."""
    if x.ndim != 4 or x.shape[1] != channels:
        return ""
    return ". Channels come last here: if these are images (B, C, H, W), use x.transpose(0, 2, 3, 1)"


def check_images(x: Array, operation: str) -> None:
    """x must be (B, H, W, C), of real numbers."""
    check_real(x, operation, "images")
    if x.ndim != 4:
        raise ValueError(
            f"{operation}: the images have shape {x.shape}, and must have shape (B, H, W, C): "
            "batch, height, width, channels (one image: image[None])"
        )


def check_windows(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, operation: str, weight: Array | None = None
) -> None:
    """At least one window must fit along each axis."""
    for axis, out in enumerate(output_sizes(x.shape, kernel, stride, padding)):
        if out < 1:
            size, k, s, p = x.shape[1 + axis], kernel[axis], stride[axis], padding[axis]
            of_weight = "" if weight is None else f" (weight of shape {weight.shape})"
            raise ValueError(
                f"{operation}: a kernel of {kernel[0]} x {kernel[1]}{of_weight} does not fit into images of shape "
                f"{x.shape}: the output {'height' if axis == 0 else 'width'} would be "
                f"floor(({size} + 2*{p} - {k})/{s}) + 1 = {out}. Use larger images, a smaller kernel or more padding"
            )


# Labels and answers


def check_labels(labels: Any, count: int, classes: int | None, name: str) -> Array:
    """Labels (count,) as int64, or an error that says what is wrong with them; classes: None where it is not known."""
    if not is_array(labels):
        labels = np.asarray(labels)
    if labels.shape != (count,):
        hints = {(count, classes): "; for one-hot rows, use labels.argmax(axis=1)", (count, 1): ": use labels[:, 0]"}
        hint, asking = hints.get(labels.shape, ""), "images" if classes is None else "logits"
        raise ValueError(f"{name}: labels have shape {labels.shape}, the {asking} ask for ({count},){hint}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: labels must be integers (class numbers), and are {labels.dtype}: use .astype(int)")
    if is_capturing():  # they cannot be looked at: who replays the step has checked what it is given
        return labels
    values, end = to_numpy(labels), 2**63 if classes is None else classes
    known = "" if classes is None else f"with {classes} classes, "
    bad = np.flatnonzero((values < 0) | (values >= end))
    if len(bad):
        raise ValueError(
            f"{name}: label {values[bad[0]]} of image {bad[0]} is out of range: {known}labels go from 0 to {end - 1} "
            f"({len(bad)} of {count} are out of range)"
        )
    return labels.astype(np.int64, copy=False)


def check_targets(labels: Any, count: int, classes: int, name: str) -> Array:
    """What a cross-entropy is asked for: classes (count,) as int64, or probabilities (count, classes), as they are."""
    labels = labels if is_array(labels) else np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind != "f":
        return check_labels(labels, count, classes, name)
    if labels.shape != (count, classes):
        raise ValueError(
            f"{name}: labels are real numbers of shape {labels.shape}, and as probabilities of each class they must "
            f"have shape {(count, classes)}"
        )
    if is_capturing():
        return labels
    values = to_numpy(labels).astype(np.float64)
    sums = values.sum(axis=1)
    bad = np.flatnonzero(~((values >= 0).all(axis=1) & (abs(sums - 1) <= NEAR)))  # NaN is no number of at least 0
    if len(bad):
        row = values[bad[0]]
        wrong = (
            f"NaN or infinite ({row})" if not np.isfinite(row).all()
            else f"below 0 ({row.min():g})" if row.min() < 0
            else f"of sum {sums[bad[0]]:g}"
        )  # fmt: skip
        raise ValueError(
            f"{name}: the labels of image {bad[0]} are {wrong}, and probabilities are at least 0 and sum to 1 "
            f"({len(bad)} of {count} are none): functional.softmax makes them of logits"
        )
    return labels


def truths(operation: str, **arrays: Any) -> tuple[np.ndarray, ...]:
    """Boolean arrays of one shape (B,), of the same images in the same order."""
    found = tuple(to_numpy(array) for array in arrays.values())
    kinds, shapes = [str(array.dtype) for array in found], [str(array.shape) for array in found]
    who, right = f"{operation}: {' and '.join(arrays)} must", "whether a network was right on each image"
    if {*kinds} != {"bool"}:
        raise TypeError(f"{who} be boolean, {right}, and are {' and '.join(kinds)}")
    if found[0].ndim != 1 or len({*shapes}) > 1:
        raise ValueError(f"{who} be (B,), the same images in the same order, and have shapes {' and '.join(shapes)}")
    return found


# Operations


def explained(name: str, arguments: Sequence[Any], error: ValueError) -> ValueError:
    """NumPy's complaint, with the name of the operation and the shapes it was given."""
    shapes = " and ".join(str(a.shape) for a in arguments if hasattr(a, "shape"))
    shapes = f"shapes {shapes}{' do not fit' if 'shape' in str(error) else ''}: " if shapes else ""
    return ValueError(f"{name}: {shapes}{error}")


def value_and_vjp(result: Any, name: str) -> tuple[Array, Vjp]:
    """What an operation returned, when it is what it should be."""
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], tuple):
        raise TypeError(
            f"{name}: an operation returns a tuple (value, vjp), and vjp is a tuple with a function for each argument "
            "(add a comma?); gradients that share their work share a minidl.graph.once(...)"
        )
    return result


def check_devices(name: str, parameters: Sequence[str], arrays: Sequence[Any]) -> None:
    """Refuse arrays that lie on different devices; which parameters are to be looked at is known by their names."""
    found = {p: device_of(a) for p, a in zip(parameters, arrays, strict=False) if p and is_array(a) and a.ndim}
    if len(set(found.values())) > 1:
        where = " and ".join(f"{p} on the {device}" for p, device in found.items())
        raise ValueError(
            f"{name}: {where}: all must be on one device. Move a model with model.to('gpu'), and images with "
            "minidl.backend.to_device(images, 'gpu')"
        )


def check_mask(mask: Any, shape: tuple[int, ...]) -> None:
    """A mask must be an array of the parameter's shape, of truth values or of 0 and 1."""
    if not is_array(mask):
        raise TypeError(f"mask must be a boolean array of shape {shape}, and is a {type(mask).__name__}")
    if mask.shape != shape:
        raise ValueError(f"mask has shape {mask.shape}, but the parameter has shape {shape}")
    if mask.dtype != bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise TypeError(
            "mask must be True where a weight is kept and False where it is pruned: write mask = scores > 0.5"
        )
