"""The kernels as whole-array expressions, written once for NumPy and CuPy (im2col + matmul): they run anywhere.

Same names, signatures and meaning as ``loops``, which explains them. A result has its input's precision.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..backend import Array, array_module
from .shapes import Pair, Windows, index_dtype, output_sizes


def _pad(x: Array, padding: Pair, value: float = 0.0) -> Array:
    """(B, H, W, C) -> (B, H + 2 PH, W + 2 PW, C)."""
    if padding == (0, 0):
        return x
    (ph, pw), xp = padding, array_module(x)
    return xp.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=value)


def _windows(x: Array, kernel: Pair, stride: Pair) -> Array:
    """A view (B, OH, OW, KH, KW, C) of x (B, H, W, C): no number is copied, only the strides change."""
    xp = array_module(x)
    oh, ow = output_sizes(x.shape, kernel, stride, (0, 0))
    sb, sh, sw, sc = x.strides
    return xp.lib.stride_tricks.as_strided(
        x, (len(x), oh, ow, *kernel, x.shape[3]), (sb, sh * stride[0], sw * stride[1], sh, sw, sc)
    )


def _scatter(columns: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    """Add each window of columns (B, OH, OW, KH, KW, C) back to the pixels it was read from: the opposite of _windows.

    One slice of the image at a time for each place (kh, kw) of the window, within which no pixel comes up twice.
    """
    (sh, sw), (ph, pw) = stride, padding
    b, h, w, c = x_shape
    _, oh, ow, kh_size, kw_size, _ = columns.shape
    dx = array_module(columns).zeros((b, h + 2 * ph, w + 2 * pw, c), columns.dtype)
    for kh in range(kh_size):
        for kw in range(kw_size):
            dx[:, kh : kh + sh * oh : sh, kw : kw + sw * ow : sw] += columns[:, :, :, kh, kw]
    return dx[:, ph : ph + h, pw : pw + w]


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    n, kh, kw, c = weight.shape
    columns = _windows(_pad(x, padding), (kh, kw), stride)  # (B, OH, OW, KH, KW, C)
    b, oh, ow = columns.shape[:3]
    y = columns.reshape(b * oh * ow, kh * kw * c) @ weight.reshape(n, kh * kw * c).T  # (B OH OW, N)
    if bias is not None:
        y += bias
    return y.reshape(b, oh, ow, n)


def conv2d_grad_input(dy: Array, weight: Array, x_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, kh, kw, c = weight.shape
    columns = dy.reshape(-1, n) @ weight.reshape(n, kh * kw * c)  # (B OH OW, KH KW C)
    return _scatter(columns.reshape(*dy.shape[:3], kh, kw, c), x_shape, stride, padding)


def conv2d_grad_weight(dy: Array, x: Array, w_shape: tuple[int, ...], stride: Pair, padding: Pair) -> Array:
    n, kh, kw, c = w_shape
    columns = _windows(_pad(x, padding), (kh, kw), stride)
    return (dy.reshape(-1, n).T @ columns.reshape(-1, kh * kw * c)).reshape(w_shape)


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    xp = array_module(x)
    windows = _windows(_pad(x, padding, -float("inf")), kernel, stride)
    b, oh, ow, kh, kw, c = windows.shape
    windows = windows.reshape(b, oh, ow, kh * kw, c)
    where = windows.argmax(axis=3)  # the first of equal values, as in loops
    y = xp.take_along_axis(windows, where[:, :, :, None], axis=3)[:, :, :, 0]
    return y, where.astype(index_dtype(kernel))


def max_pool2d_grad(
    dy: Array, where: Array, x_shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair
) -> Array:
    xp = array_module(dy)
    places = xp.arange(kernel[0] * kernel[1], dtype=where.dtype)[:, None]  # (KH KW, 1)
    shares = xp.where(where[:, :, :, None] == places, dy[:, :, :, None], dy.dtype.type(0))  # (B, OH, OW, KH KW, C)
    return _scatter(shares.reshape(*dy.shape[:3], *kernel, dy.shape[3]), x_shape, stride, padding)


def _averaging(size: int, windows: Windows, like: Array) -> Array:
    """A (len(windows), size) matrix whose product with an axis of length ``size`` takes the mean over each window."""
    matrix = array_module(like).zeros((len(windows), size), like.dtype)
    for i, (start, stop) in enumerate(windows):
        matrix[i, max(start, 0) : max(stop, 0)] = 1 / (stop - start)
    return matrix


def avg_pool2d(x: Array, rows: Windows, columns: Windows) -> Array:
    down, across = _averaging(x.shape[1], rows, x), _averaging(x.shape[2], columns, x)
    return _pool_with(x, down, across)


def avg_pool2d_grad(dy: Array, x_shape: tuple[int, ...], rows: Windows, columns: Windows) -> Array:
    down, across = _averaging(x_shape[1], rows, dy), _averaging(x_shape[2], columns, dy)
    return _pool_with(dy, down.T, across.T)


def _pool_with(x: Array, down: Array, across: Array) -> Array:
    """y[b, i, j, c] = sum over h, w of down[i, h] across[j, w] x[b, h, w, c]."""
    b, h, w, c = x.shape
    x = (down @ x.reshape(b, h, w * c)).reshape(b * len(down), w, c)
    return (across @ x).reshape(b, len(down), len(across), c)


def channel_sums(x: Array) -> Array:
    return x.sum(axis=tuple(range(x.ndim - 1)))


def moments(x: Array) -> tuple[Array, Array]:
    pixels = x.reshape(-1, x.shape[-1])
    return pixels.mean(axis=0), pixels.var(axis=0)


def track(
    running_mean: Array, running_var: Array, batches: Array, mean: Array, var: Array, momentum: float, count: int
) -> None:
    for running, now in ((running_mean, mean), (running_var, var * (count / (count - 1)))):
        running *= 1 - momentum
        running += momentum * now
    batches += 1


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, residual: Array | None, relu: bool
) -> Array:
    xp = array_module(x)
    y = (x - mean) * (gamma / xp.sqrt(var + eps)) + beta
    if residual is not None:
        y += residual
    return xp.maximum(y, 0, out=y) if relu else y


def batch_norm_grad(
    dy: Array, x: Array, y: Array, mean: Array, var: Array, gamma: Array, eps: float, relu: bool, training: bool
) -> tuple[Array, Array, Array, Array]:
    inv_std = 1 / array_module(x).sqrt(var + eps)
    over = tuple(range(x.ndim - 1))  # every axis but the channels
    dz = relu_grad(dy, y) if relu else dy
    x_hat = (x - mean) * inv_std
    dbeta, dgamma = dz.sum(axis=over), (dz * x_hat).sum(axis=over)
    through_moments = (dbeta + x_hat * dgamma) / (x.size // x.shape[-1]) if training else 0
    return gamma * inv_std * (dz - through_moments), dgamma, dbeta, dz


def batch_norm_grad_fixed(
    dy: Array, y: Array, var: Array, gamma: Array, eps: float, relu: bool, residual: bool
) -> tuple[Array, Array | None]:
    dz = relu_grad(dy, y) if relu else dy
    return gamma / array_module(y).sqrt(var + eps) * dz, dz if residual else None


def matmul(a: Array, b: Array) -> Array:
    return a @ b


def add_up(values: Array, places: Array, size: int) -> Array:
    sums = array_module(values).zeros(size, values.dtype)
    array_module(values).add.at(sums, places, values)  # on a card ``gpu`` does it, as here the order would be anyone's
    return sums


def dropout_scale(x: Array, p: float, rng: np.random.Generator) -> Array:
    kept = rng.random(x.shape, dtype=np.float32) >= p  # the same numbers for every device
    return array_module(x).asarray(kept * np.asarray(1 / (1 - p) if p < 1 else 0, x.dtype))


def uniform(x: Array, rng: np.random.Generator) -> Array:
    return array_module(x).asarray(2 * rng.random(x.shape, dtype=np.float32) - 1, x.dtype)


def relu(x: Array) -> Array:
    return array_module(x).maximum(x, 0)


def relu_grad(dy: Array, y: Array) -> Array:
    return array_module(dy).where(y > 0, dy, dy.dtype.type(0))


@functools.cache
def _log_erfc(degree: int) -> tuple[float, ...]:
    """log(erfc(z) exp(z^2) / t) for z >= 0, t = 2 / (2 + z) in (0, 1], in Chebyshev polynomials of 2 t - 1.

    Found where it is known: from the standard library, and beyond z = 5, where erfc(z) soon vanishes, by Laplace's
    continued fraction, erfc(z) exp(z^2) sqrt(pi) = 1 / (z + (1/2) / (z + (2/2) / (z + (3/2) / ...))).
    """

    def scaled(z: float) -> float:
        if z < 5:
            return math.erfc(z) * math.exp(z * z)
        return 1 / (math.sqrt(math.pi) * functools.reduce(lambda tail, k: z + k / 2 / tail, range(60, 0, -1), z))

    def wanted(places: Any) -> Any:
        return np.array([math.log(scaled(2 / t - 2) / t) for t in (places.ravel() + 1) / 2]).reshape(places.shape)

    return tuple(np.polynomial.chebyshev.chebinterpolate(wanted, degree).tolist())


def normal_cdf(x: Array) -> Array:
    """Phi(x), to rounding, as NumPy has no error function: the tail beyond |x|, and 1 - tail above 0."""
    xp = array_module(x)
    z = xp.abs(x) / math.sqrt(2)
    t = 2 / (2 + z)
    first, *others = _log_erfc(11 if x.dtype == np.float32 else 27)
    last = now = 0.0 * t
    for coefficient in reversed(others):  # Clenshaw's sum
        last, now = now, (4 * t - 2) * now - last + coefficient
    tail = t * xp.exp(-z * z + first + (2 * t - 1) * now - last) / 2
    return xp.where(x > 0, 1 - tail, tail)


def cross_entropy(logits: Array, labels: Array, temperature: float) -> tuple[Array, Array]:
    xp, rows = array_module(logits), array_module(logits).arange(len(logits))
    with np.errstate(invalid="ignore"):  # infinite logits give NaN, of which the loss itself speaks
        z = (logits - logits.max(axis=1, keepdims=True)) / temperature  # no exponential of it can overflow
    y = labels if labels.ndim == 2 else (labels[:, None] == xp.arange(z.shape[1])).astype(z.dtype)
    first = xp.zeros(z.shape, bool)
    first[rows, z.argmax(axis=1)] = True
    e = xp.exp(z)  # (B, classes), 1 at the largest logit
    others = xp.where(first, 0, e).sum(axis=1, keepdims=True)  # (B, 1)
    each = (y * xp.where(y > 0, xp.log1p(others) - z, 0)).sum(axis=1)  # all terms are positive: nothing cancels
    slope = e / (1 + others) * y.sum(axis=1, keepdims=True) - y
    likeliest = y.argmax(axis=1)
    slope[rows, likeliest] = 0
    slope[rows, likeliest] = -slope.sum(axis=1)
    return each, slope


def sgd_step(
    weight: Array,
    grad: Array,
    velocity: Array | None,
    mask: Array | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    step = grad + weight_decay * weight
    if velocity is not None:
        velocity *= momentum
        velocity += step
        step = step + momentum * velocity if nesterov else velocity
    weight -= lr * step
    if mask is not None:
        weight[~mask] = 0
        if velocity is not None:
            velocity[~mask] = 0


def adam_step(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    mask: Array | None,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    slope = grad + weight_decay * weight
    mean += (1 - beta1) * (slope - mean)
    square += (1 - beta2) * (slope**2 - square)
    scale = (square / (1 - beta2**step)) ** 0.5 + eps
    weight -= lr / (1 - beta1**step) * mean / scale
    if mask is not None:
        for array in (weight, mean, square):
            array[~mask] = 0
