"""The report's sums as plain Python loops: the specification, the lesson and the oracle.

Nothing here is fast and nothing here is clever; every faster kernel is tested against this file. All kernel modules
(``loops``, ``portable``, ``cpu``, ``gpu``) have these names and signatures. Arrays in, arrays out:

====================  =========================================
x, dx                 images (B, H, W, C)
weight, dw            convolution kernels (N, KH, KW, C)
y, dy                 results (B, OH, OW, N), pooled (B, OH, OW, C)
kernel, stride,       pairs (vertical, horizontal); ``padding`` zeros
padding               are added on both sides
dy, dx, ...           the gradient of the loss by y, by x, ...
====================  =========================================
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from ..backend import Array
from .shapes import Pair, Shape, Windows, index_dtype, output_sizes


def _taps(x_shape: Shape, kernel: Shape, stride: Pair, padding: Pair) -> Iterator[tuple[int, ...]]:
    """(oh, ow, kh, kw, h, w): output pixel (oh, ow) sees input pixel (h, w) through the kernel's place (kh, kw)."""
    _, height, width, _ = x_shape
    oh_size, ow_size = output_sizes(x_shape, kernel, stride, padding)
    for oh, ow, kh, kw in itertools.product(range(oh_size), range(ow_size), range(kernel[0]), range(kernel[1])):
        h = oh * stride[0] + kh - padding[0]
        w = ow * stride[1] + kw - padding[1]
        if 0 <= h < height and 0 <= w < width:  # outside lies the padding, which is zero and adds nothing
            yield oh, ow, kh, kw, h, w


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> Array:
    """y[b, oh, ow, n] = bias[n] + sum over kh, kw, c of x[b, h, w, c] weight[n, kh, kw, c] (report, eq. (12))."""
    kernel = weight.shape[1:3]
    y = np.zeros((len(x), *output_sizes(x.shape, kernel, stride, padding), len(weight)), x.dtype)
    for oh, ow, kh, kw, h, w in _taps(x.shape, kernel, stride, padding):
        for b, n, c in np.ndindex(len(x), len(weight), x.shape[3]):
            y[b, oh, ow, n] += x[b, h, w, c] * weight[n, kh, kw, c]
    return y if bias is None else y + bias


def conv2d_grad_input(dy: Array, weight: Array, x_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """dx: each term of conv2d's sum gives dy * weight to the pixel it read."""
    dx = np.zeros(x_shape, dy.dtype)
    for oh, ow, kh, kw, h, w in _taps(x_shape, weight.shape[1:3], stride, padding):
        for b, n, c in np.ndindex(len(dx), len(weight), x_shape[3]):
            dx[b, h, w, c] += dy[b, oh, ow, n] * weight[n, kh, kw, c]
    return dx


def conv2d_grad_weight(dy: Array, x: Array, w_shape: Shape, stride: Pair, padding: Pair) -> Array:
    """dw: each term of conv2d's sum gives dy * x to the weight it used."""
    dw = np.zeros(w_shape, dy.dtype)
    for oh, ow, kh, kw, h, w in _taps(x.shape, w_shape[1:3], stride, padding):
        for b, n, c in np.ndindex(len(x), w_shape[0], x.shape[3]):
            dw[n, kh, kw, c] += dy[b, oh, ow, n] * x[b, h, w, c]
    return dw


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    """y, the largest value of each window (padding never wins, NaN always), and where: its place kh * KW + kw in it."""
    shape = (len(x), *output_sizes(x.shape, kernel, stride, padding), x.shape[3])
    y = np.full(shape, -np.inf, x.dtype)
    where = np.zeros(shape, index_dtype(kernel))
    for oh, ow, kh, kw, h, w in _taps(x.shape, kernel, stride, padding):
        for b, c in np.ndindex(len(x), x.shape[3]):
            if x[b, h, w, c] > y[b, oh, ow, c] or np.isnan(x[b, h, w, c]) > np.isnan(y[b, oh, ow, c]):
                y[b, oh, ow, c] = x[b, h, w, c]
                where[b, oh, ow, c] = kh * kernel[1] + kw
    return y, where


def max_pool2d_grad(dy: Array, where: Array, x_shape: Shape, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """dx: the whole gradient of a window goes to its largest value."""
    dx = np.zeros(x_shape, dy.dtype)
    for oh, ow, kh, kw, h, w in _taps(x_shape, kernel, stride, padding):
        for b, c in np.ndindex(len(dx), x_shape[3]):
            if where[b, oh, ow, c] == kh * kernel[1] + kw:
                dx[b, h, w, c] += dy[b, oh, ow, c]
    return dx


def avg_pool2d(x: Array, rows: Windows, columns: Windows) -> Array:
    """The mean of each window rows[i] x columns[j]; parts of a window outside the image count as zeros."""
    _, height, width, _ = x.shape
    y = np.zeros((len(x), len(rows), len(columns), x.shape[3]), x.dtype)
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
        for h, w in itertools.product(range(max(top, 0), min(bottom, height)), range(max(left, 0), min(right, width))):
            y[:, i, j] += x[:, h, w] / ((bottom - top) * (right - left))
    return y


def avg_pool2d_grad(dy: Array, x_shape: Shape, rows: Windows, columns: Windows) -> Array:
    """dx: each pixel of a window gets its share of the window's gradient."""
    _, height, width, _ = x_shape
    dx = np.zeros(x_shape, dy.dtype)
    for (i, (top, bottom)), (j, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
        for h, w in itertools.product(range(max(top, 0), min(bottom, height)), range(max(left, 0), min(right, width))):
            dx[:, h, w] += dy[:, i, j] / ((bottom - top) * (right - left))
    return dx


def channel_sums(x: Array) -> Array:
    """The sum of each channel, over all axes but the last (C,): a bias's gradient."""
    return sum(x.reshape(-1, x.shape[-1])).astype(x.dtype)


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and (biased) variance of each channel, over all axes but the last: two arrays (C,)."""
    pixels = x.reshape(-1, x.shape[-1])
    mean = sum(pixels) / len(pixels)
    var = sum((pixel - mean) ** 2 for pixel in pixels) / len(pixels)
    return mean.astype(x.dtype), var.astype(x.dtype)


def track(
    running_mean: Array, running_var: Array, batches: Array, mean: Array, var: Array, momentum: float, count: int
) -> None:
    """Move running statistics (C,) towards those of a batch of ``count`` pixels, in place: one batch () more is known.

    The running variance is the unbiased one, over count - 1.
    """
    for c in range(len(mean)):
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * var[c] * count / (count - 1)
    batches += 1


def batch_norm(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float, residual: Array | None, relu: bool
) -> Array:
    """gamma (x - mean) / sqrt(var + eps) + beta for each channel, then + residual, then ReLU, where asked for."""
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        c = place[-1]
        value = gamma[c] * (x[place] - mean[c]) / np.sqrt(var[c] + eps) + beta[c]
        if residual is not None:
            value += residual[place]
        y[place] = max(value, 0) if relu else value
    return y


def batch_norm_grad(
    dy: Array, x: Array, y: Array, mean: Array, var: Array, gamma: Array, eps: float, relu: bool, training: bool
) -> tuple[Array, Array, Array, Array]:
    """dx, dgamma, dbeta and dz, the gradient before the ReLU (which is the residual's).

    When training, mean and var are moments(x) and depend on x themselves (Ioffe and Szegedy 2015, section 3).
    """
    count = x.size // x.shape[-1]
    inv_std = 1 / np.sqrt(var + eps)
    dz = np.zeros_like(dy)
    dgamma, dbeta = np.zeros_like(gamma), np.zeros_like(gamma)
    for place in np.ndindex(x.shape):
        c = place[-1]
        dz[place] = dy[place] if not relu or y[place] > 0 else 0
        dgamma[c] += dz[place] * (x[place] - mean[c]) * inv_std[c]
        dbeta[c] += dz[place]
    dx = np.zeros_like(dy)
    for place in np.ndindex(x.shape):
        c = place[-1]
        through_moments = (dbeta[c] + (x[place] - mean[c]) * inv_std[c] * dgamma[c]) / count if training else 0
        dx[place] = gamma[c] * inv_std[c] * (dz[place] - through_moments)
    return dx, dgamma, dbeta, dz


def batch_norm_grad_fixed(
    dy: Array, y: Array, var: Array, gamma: Array, eps: float, relu: bool, residual: bool
) -> tuple[Array, Array | None]:
    """dx and, where there was a residual, dz, for a mean and var that are constants, as in evaluation.

    That is all that the gradient by an image needs.
    """
    dz = relu_grad(dy, y) if relu else dy
    dx = np.zeros_like(dy)
    for place in np.ndindex(dy.shape):
        c = place[-1]
        dx[place] = gamma[c] / np.sqrt(var[c] + eps) * dz[place]
    return dx, dz if residual else None


def matmul(a: Array, b: Array) -> Array:
    """c[..., i, j] = sum over k of a[..., i, k] b[..., k, j], for a (..., I, K) and b (..., K, J): one, or stacks."""
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (np.broadcast_to(m, stack + m.shape[-2:]) for m in (a, b))
    c = np.zeros((*stack, a.shape[-2], b.shape[-1]), a.dtype)
    for *s, i, j, k in np.ndindex(*c.shape, b.shape[-2]):
        c[(*s, i, j)] += a[(*s, i, k)] * b[(*s, k, j)]
    return c


def add_up(values: Array, places: Array, size: int) -> Array:
    """sums[p] = sum of all values[i] with places[i] = p, i counted up, for values and whole places (M,) below size."""
    sums = np.zeros(size, values.dtype)
    for value, place in zip(values, places, strict=True):
        sums[place] += value
    return sums


def dropout_scale(x: Array, p: float, rng: np.random.Generator) -> Array:
    """What dropout multiplies each number of x by: 0 with probability p, else 1 / (1 - p)."""
    scale = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        if rng.random(dtype=np.float32) >= p:
            scale[place] = 1 / (1 - p)
    return scale


def uniform(x: Array, rng: np.random.Generator) -> Array:
    """Numbers between -1 and 1, drawn evenly: as many as x has, and of its precision."""
    drawn = np.empty_like(x)
    for place in np.ndindex(x.shape):
        drawn[place] = 2 * rng.random(dtype=np.float32) - 1
    return drawn


def relu(x: Array) -> Array:
    """max(x, 0), value by value."""
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        y[place] = max(x[place], 0)
    return y


def relu_grad(dy: Array, y: Array) -> Array:
    """dx: dy where the result y was positive, else 0."""
    dx = np.zeros_like(dy)
    for place in np.ndindex(y.shape):
        if y[place] > 0:
            dx[place] = dy[place]
    return dx


def cross_entropy(logits: Array, labels: Array, temperature: float) -> tuple[Array, Array]:
    """Of classes (B,) or probabilities (B, classes) the loss of each (B,), and T times its gradient by the logits."""
    each, slope = np.zeros(len(logits), logits.dtype), np.zeros_like(logits)
    for b, g in enumerate(logits):
        y = labels[b] if labels.ndim == 2 else np.arange(len(g)) == labels[b]
        e = np.exp((g - max(g)) / temperature)
        for k in range(len(g)):
            if y[k] > 0:
                each[b] += y[k] * (np.log(sum(e)) - (g[k] - max(g)) / temperature)
            slope[b, k] = e[k] / sum(e) * sum(y) - y[k]
    return each, slope


def sgd_step(
    weight: Array, grad: Array, velocity: Array | None, mask: Array | None, lr: float,
    momentum: float, weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    """One step of gradient descent with momentum, in place: weight, and velocity where momentum is not 0.

    A weight whose mask is False becomes, and stays, exactly zero.
    """
    for place in np.ndindex(weight.shape):
        step = grad[place] + weight_decay * weight[place]
        if velocity is not None:
            velocity[place] = momentum * velocity[place] + step
            step = step + momentum * velocity[place] if nesterov else velocity[place]
        weight[place] -= lr * step
        if mask is not None and not mask[place]:
            weight[place] = 0
            if velocity is not None:
                velocity[place] = 0


def normal_cdf(x: Array) -> Array:
    """Phi(x) = erfc(-x / sqrt(2)) / 2: how probable it is that a normal number is below x."""
    y = np.empty_like(x)
    for place in np.ndindex(x.shape):
        y[place] = math.erfc(-x[place] / math.sqrt(2)) / 2
    return y


def adam_step(
    weight: Array, grad: Array, mean: Array, square: Array, mask: Array | None, lr: float,
    beta1: float, beta2: float, eps: float, weight_decay: float, step: int,
) -> None:  # fmt: skip
    """One step of Adam (Kingma and Ba 2015, algorithm 1), in place; ``step`` counts from 1.

    Decay is added to the gradient, as in PyTorch's Adam. A weight whose mask is False is exactly zero, as are its
    means.
    """
    for place in np.ndindex(weight.shape):
        slope = grad[place] + weight_decay * weight[place]
        mean[place] = beta1 * mean[place] + (1 - beta1) * slope
        square[place] = beta2 * square[place] + (1 - beta2) * slope**2
        scale = np.sqrt(square[place] / (1 - beta2**step)) + eps
        weight[place] -= lr * mean[place] / (1 - beta1**step) / scale
        if mask is not None and not mask[place]:
            weight[place] = mean[place] = square[place] = 0
