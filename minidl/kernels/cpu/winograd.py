"""Winograd's convolution F(4 x 4, 3 x 3): 16 pixels of a result from 36 multiplications instead of 144.

A tile of 6 x 6 pixels d, a kernel g of 3 x 3 and the 4 x 4 pixels y that they give are polynomials of sorts; in the
values of these at six points the convolution is a product, point by point (Lavin and Gray 2016, section 4):

    y = A' [ (G g G') * (B' d B) ] A            with * elementwise, in both directions of the image

Between channels it is a matrix product for each of the 36 points: transform the tiles into V and the kernels into U,
multiply V[point] by U[point], and transform the products M back. The gradient by x is the same with the kernels turned
round; the gradient by the kernel is dg = G' [ Z * V ] G summed over all tiles, with Z = A dy A'.

V and Z are stored as [panel of channels][point][tile][COLUMNS channels], U as [panel of n][point][c][COLUMNS of n]: the
multiplication reads each from front to back. What one task computes and reads again stays in its core's second cache.
"""

import math

import numpy as np

from ...backend import Array
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import at, helper, stack, task
from ..cpu_runtime.vector import LANES, copy_square, turn_square
from ..shapes import Pair
from .tile import COLUMNS, ROWS, multiply_whole
from .transform import two_sided

# A polynomial's values at a point p, from its coefficients, are the sum of p**k times each. Lagrange's polynomial of p,
# which is 1 there and 0 at all other points, takes them back; its denominator goes with the kernel. At infinity the
# highest coefficient counts.
FINITE = (0, 1, -1, 2, -2)
REST = [[q for q in FINITE if q != p] for p in FINITE]
A = [[p**k for k in range(4)] for p in FINITE] + [[0, 0, 0, 1]]
G = [[p**k / math.prod(p - q for q in rest) for k in range(3)] for p, rest in zip(FINITE, REST, strict=True)]
G += [[0, 0, 1]]
B_T = [[*np.poly(rest)[::-1], 0] for rest in REST] + [[*np.poly(FINITE)[::-1]]]

_image, _kernel, _gradient = two_sided(B_T), two_sided(G), two_sided(A)
_result, _kernel_gradient = (two_sided(list(zip(*matrix, strict=True))) for matrix in (A, G))

POINTS, ONE = 36, 7  # of which number 7 is (1, 1): what is added to it there is added to each of the 16 pixels
OWN = 12 * COLUMNS  # channels up to which a task transforms its tiles for itself; with more, its kernels instead
NEAR = 26 * 128  # channels times tiles that it transforms, unless that is less than ROWS tiles
MANY = 11 * ROWS  # the most tiles in a task
CHUNK = 2 * COLUMNS  # channels whose kernels a task transforms at a time
SLAB = 1 << 20  # floats of V, or Z, that are transformed at a time for the weight gradient

_places, _rows = stack(np.int64, POINTS), stack(np.int64, ROWS)


@helper
def _pixels(places, shape, tile, tiles, size, padding):
    """Where the size x size pixels of a tile lie in images (B, H, W, C); -1 for those in the padding."""
    (_, H, W, C), (b, place) = shape, divmod(tile, tiles[0] * tiles[1])
    i, j = divmod(place, tiles[1])
    for k in range(size * size):
        h, w = 4 * i - padding[0] + k // size, 4 * j - padding[1] + k % size
        places[k] = ((b * H + h) * W + w) * C if 0 <= h < H and 0 <= w < W else -1


@helper
def _transform_images(x, padding, size, tiles, first, count, V, plane):
    """V[panel, point, tile] for some tiles: B' d B of 6 x 6 pixels d, or of 4 x 4 gradients A d A'."""
    pixels = _places()
    for tile in range(count):
        _pixels(pixels, x.shape, first + tile, tiles, size, padding)
        for c in range(0, x.shape[3], LANES):
            out = at(V, c // COLUMNS * POINTS * plane + tile * COLUMNS + c % COLUMNS)
            if size == 4:
                _gradient(at(x, c), pixels, out, plane)
            else:
                _image(at(x, c), pixels, out, plane)


_block = stack(np.float32, 9 * LANES * LANES)


@helper
def _transform_kernels(g, turned, n, c0, count, U, plane):
    """U[point, c, lane] = G g G' for the COLUMNS kernels from n on and some of their channels, a square at a time."""
    block, inner = _block(), g.shape[3]
    for c in range(0, count, LANES):
        for lane in range(0, COLUMNS, LANES):
            for k in range(9):
                square = at(block, k * LANES * LANES)
                if turned:  # rotated by half a turn, and c and n exchanged
                    copy_square(at(g, ((c0 + c) * 9 + 8 - k) * inner + n + lane), 9 * inner, square, LANES)
                else:
                    turn_square(at(g, ((n + lane) * 9 + k) * inner + c0 + c), 9 * inner, square, LANES)
            for i in range(LANES):
                _kernel(at(block, i * LANES), LANES * LANES, at(U, (c + i) * COLUMNS + lane), plane)


@task
def _transform_all_images(start, stop, x, padding, size, tiles, first, V, plane):
    """V of some tiles, counted from the first."""
    _transform_images(x, padding, size, tiles, first + start, stop - start, at(V, start * COLUMNS), plane)


@task
def _transform_all_kernels(start, stop, g, turned, C, U, plane):
    """U of LANES channels of a panel for each part."""
    for part in range(start, stop):
        panel, c = part // (C // LANES), part % (C // LANES) * LANES
        out = at(U, panel * POINTS * plane + c * COLUMNS)
        _transform_kernels(g, turned, panel * COLUMNS, c, LANES, out, plane)


TILES_OR_KERNELS = POINTS * max(OWN * (ROWS + 1), NEAR * 5 // 4, CHUNK * COLUMNS + LANES)
PRODUCTS = POINTS * (MANY * COLUMNS + LANES)


@task(room=PRODUCTS + TILES_OR_KERNELS)
def _convolve(start, stop, room, x, padding, V, v_plane, g, turned, U, u_plane, starts, tiles, block, y):
    """y = A' (V U) A + bias for a block of tiles and a panel of channels n in each part.

    Either U is shared by all, and the tiles are transformed here, or V is and the kernels are, a chunk at a time.
    """
    M, own, pixels = at(room, 0), at(room, PRODUCTS), _places()  # own: V of some tiles, or U of some kernels
    (B, _, _, N), C, plane = y.shape, x.shape[3], block * COLUMNS + LANES
    few = C <= OWN
    for part in range(start, stop):
        n, first = part % (N // COLUMNS) * COLUMNS, part // (N // COLUMNS) * block
        count = min(block, B * tiles[0] * tiles[1] - first)
        if few and (n == 0 or part == start):  # else the last part's are still there
            _transform_images(x, padding, 6, tiles, first, count, own, v_plane)
        v = own if few else at(V, first * COLUMNS)
        for c in range(0, C, C if few else CHUNK):
            deep, u = (C, at(U, n * POINTS * u_plane // COLUMNS)) if few else (min(CHUNK, C - c), own)
            if not few:
                _transform_kernels(g, turned, n, c, deep, u, u_plane)
            for point in range(POINTS):
                zero_or_bias = at(starts, COLUMNS + n if point == ONE else 0)
                for r in range(0, count, ROWS):  # rows beyond the last hold anything, and come to nothing
                    multiply_whole(
                        at(v, (c // COLUMNS * POINTS + point) * v_plane + r * COLUMNS), COLUMNS, (POINTS * v_plane, 1),
                        at(u, point * u_plane), (COLUMNS * COLUMNS, COLUMNS), (deep // COLUMNS, COLUMNS),
                        at(M, point * plane + r * COLUMNS), COLUMNS, zero_or_bias, c > 0, COLUMNS,
                    )  # fmt: skip
        for tile in range(count):
            _pixels(pixels, y.shape, first + tile, tiles, 4, (0, 0))
            for lane in range(0, COLUMNS, LANES):
                _result(at(M, tile * COLUMNS + lane), plane, at(y, n + lane), pixels)


SUMS = POINTS * ROWS * COLUMNS


@task(room=SUMS)
def _multiply_gradients(start, stop, room, V, Z, plane, tiles, dU, add, finish, zero, dw):
    """Add Z' V over the tiles to dU, for ROWS of dw's kernels and a panel of their channels; at last dw = G' dU G."""
    rows, sums, N, C = _rows(), at(room, 0), dw.shape[0], dw.shape[3]
    for part in range(start, stop):
        c0, n0 = part // -(-N // ROWS) * COLUMNS, part % -(-N // ROWS) * ROWS
        u = sums if finish and not add else at(dU, part * SUMS)
        for i in range(ROWS):
            n = min(n0 + i, N - 1)  # rows beyond the last compute the last once more
            rows[i] = n // COLUMNS * POINTS * plane + n % COLUMNS
        for point in range(POINTS):
            multiply_whole(
                at(Z, point * plane), rows, (COLUMNS,), at(V, (c0 // COLUMNS * POINTS + point) * plane),
                (COLUMNS,), (tiles,), at(u, point * ROWS * COLUMNS), COLUMNS, at(zero, 0), add, COLUMNS,
            )  # fmt: skip
        for n in range(min(ROWS, N - n0) if finish else 0):
            for lane in range(0, COLUMNS, LANES):
                _kernel_gradient(at(u, n * COLUMNS + lane), ROWS * COLUMNS, at(dw, (n0 + n) * 9 * C + c0 + lane), C)


def pays(kernel: Pair, stride: Pair, out: Pair, C: int, N: int) -> bool:
    """The rule: 3 x 3 kernels at stride 1, channels that fill panels, and results that fill most of their tiles."""
    tiles = -(-out[0] // 4) * -(-out[1] // 4)
    return kernel == (3, 3) and stride == (1, 1) and C % COLUMNS == N % COLUMNS == 0 and out[0] * out[1] >= 10 * tiles


def convolve(x: Array, weight: Array, turned: bool, bias: Array | None, padding: Pair) -> Array:
    """conv2d, or with ``turned`` kernels (rotated by half a turn, N and C exchanged) its gradient by the input."""
    (b, h, w, c), n = x.shape, weight.shape[3 if turned else 0]
    y = empty((b, h + 2 * padding[0] - 2, w + 2 * padding[1] - 2, n))
    tiles = -(-y.shape[1] // 4), -(-y.shape[2] // 4)
    count, panels = b * tiles[0] * tiles[1], n // COLUMNS
    starts = np.zeros(COLUMNS + n, np.float32)  # zeros for the sums to start from, then the bias
    starts[COLUMNS:] = 0 if bias is None else bias
    block = max(1, min(NEAR // c if c <= OWN else MANY, MANY) // ROWS) * ROWS
    if c <= OWN:
        u_plane, v_plane, V = c * COLUMNS + LANES, block * COLUMNS + LANES, starts
        U = empty(panels * POINTS * u_plane)
        _transform_all_kernels.run(panels * (c // LANES), weight, turned, c, U, u_plane)
    else:
        u_plane, v_plane, U = CHUNK * COLUMNS + LANES, (count + ROWS) * COLUMNS + LANES, starts
        V = empty(c // COLUMNS * POINTS * v_plane)
        _transform_all_images.run(count, x, padding, 6, tiles, 0, V, v_plane)
    parts = -(-count // block) * panels
    _convolve.run(parts, x, padding, V, v_plane, weight, turned, U, u_plane, starts, tiles, block, y)
    return y


def grad_weight(dy: Array, x: Array, padding: Pair) -> Array:
    (b, _, _, c), (_, oh, ow, n) = x.shape, dy.shape
    tiles = -(-oh // 4), -(-ow // 4)
    count = b * tiles[0] * tiles[1]
    slab = min(count, max(MANY, SLAB // (POINTS * max(c, n))))
    plane, parts, dw = slab * COLUMNS + LANES, -(-n // ROWS) * (c // COLUMNS), empty((n, 3, 3, c))
    V, Z = empty(c // COLUMNS * POINTS * plane), empty(n // COLUMNS * POINTS * plane)
    dU, zero = empty(parts * SUMS if slab < count else 1), np.zeros(COLUMNS, np.float32)
    for first in range(0, count, slab):
        last = min(first + slab, count)
        for images, pad, size, out in ((x, padding, 6, V), (dy, (0, 0), 4, Z)):
            _transform_all_images.run(last - first, images, pad, size, tiles, first, out, plane)
        _multiply_gradients.run(parts, V, Z, plane, last - first, dU, first > 0, last == count, zero, dw)
    return dw
