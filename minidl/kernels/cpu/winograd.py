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
from .. import made_of
from ..cpu_runtime.memory import empty
from ..cpu_runtime.tasks import at, helper, share, stack, task
from ..cpu_runtime.vector import LANES, copy_square, turn_square
from ..shapes import Pair
from .multiply import PARTS
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
KERNELS = 96  # the most kernels n in a task of the weight gradient
SLAB = 1 << 17  # floats of V and Z that it transforms at a time

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
def _transform_images(x, c0, channels, padding, size, tiles, first, count, V, plane):
    """V[panel, point, tile] for some channels and tiles: B' d B of 6 x 6 pixels d, or of 4 x 4 gradients A d A'."""
    pixels = _places()
    for tile in range(count):
        _pixels(pixels, x.shape, first + tile, tiles, size, padding)
        for c in range(0, channels, LANES):
            out = at(V, c // COLUMNS * POINTS * plane + tile * COLUMNS + c % COLUMNS)
            if size == 4:
                _gradient(at(x, c0 + c), pixels, out, plane)
            else:
                _image(at(x, c0 + c), pixels, out, plane)


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
def _transform_all_images(start, stop, x, padding, tiles, V, plane):
    """V of some tiles."""
    _transform_images(x, 0, x.shape[3], padding, 6, tiles, start, stop - start, at(V, start * COLUMNS), plane)


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
            _transform_images(x, 0, C, padding, 6, tiles, first, count, own, v_plane)
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


SUMS = POINTS * COLUMNS * KERNELS


@task(room=SLAB + SUMS)
def _grad_weight(start, stop, room, x, dy, padding, tiles, slab, most, partials, zero, dw):
    """dw = G' (sum of Z' V) G for a panel of channels c, ``most`` kernels n and a share of the tiles in each part."""
    dU, V, rows, plane = at(room, 0), at(room, SUMS), _rows(), slab * COLUMNS + LANES
    Z, (_, N, _, _, C), (B, _, _, _) = at(V, POINTS * plane), dw.shape, x.shape
    panels, blocks = C // COLUMNS, -(-N // most)
    for part in range(start, stop):
        c0, n0, partial = part % panels * COLUMNS, part // panels % blocks * most, part // (panels * blocks)
        (begin, end), width = share(partial, partials, B * tiles[0] * tiles[1]), min(most, N - n0)
        for first in range(begin, end, slab):
            count = min(slab, end - first)
            _transform_images(x, c0, COLUMNS, padding, 6, tiles, first, count, V, plane)
            _transform_images(dy, n0, width, (0, 0), 4, tiles, first, count, Z, plane)
            for n in range(0, width, ROWS):
                for i in range(ROWS):
                    place = min(n + i, width - 1)  # rows beyond the last compute the last once more
                    rows[i] = place // COLUMNS * POINTS * plane + place % COLUMNS
                for point in range(POINTS):
                    multiply_whole(
                        at(Z, point * plane), rows, (COLUMNS,), at(V, point * plane), (COLUMNS,), (count,),
                        at(dU, (n * POINTS + point * ROWS) * COLUMNS), COLUMNS, at(zero, 0), first > begin, COLUMNS,
                    )  # fmt: skip
        for n in range(width):
            for lane in range(0, COLUMNS, LANES):
                sums = at(dU, (n // ROWS * POINTS * ROWS + n % ROWS) * COLUMNS + lane)
                to = at(dw, ((partial * N + n0 + n) * 9) * C + c0 + lane)
                _kernel_gradient(sums, ROWS * COLUMNS, to, C)


def pays(kernel: Pair, stride: Pair, out: Pair, C: int, N: int) -> bool:
    """The rule: 3 x 3 kernels at stride 1, channels that fill panels, and results that fill most of their tiles."""
    tiles = -(-out[0] // 4) * -(-out[1] // 4)
    return kernel == (3, 3) and stride == (1, 1) and C % COLUMNS == N % COLUMNS == 0 and out[0] * out[1] >= 10 * tiles


def _plane(rows: int) -> int:
    """Floats from one point of a panel to the next."""
    return rows * COLUMNS + LANES


def _transformed(weight: Array, turned: bool) -> Array:
    """U of all kernels."""
    c, n = weight.shape[0 if turned else 3], weight.shape[3 if turned else 0]
    panels, plane = n // COLUMNS, _plane(c)
    U = empty(panels * POINTS * plane)
    _transform_all_kernels.run(panels * (c // LANES), weight, turned, c, U, plane)
    return U


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
        u_plane, v_plane, V = _plane(c), _plane(block), starts
        U = made_of(weight, _transformed, turned)
    else:
        u_plane, v_plane, U = _plane(CHUNK), _plane(count + ROWS), starts
        V = empty(c // COLUMNS * POINTS * v_plane)
        _transform_all_images.run(count, x, padding, tiles, V, v_plane)
    parts = -(-count // block) * panels
    _convolve.run(parts, x, padding, V, v_plane, weight, turned, U, u_plane, starts, tiles, block, y)
    return y


def grad_weight(dy: Array, x: Array, padding: Pair) -> Array:
    (b, _, _, c), (_, oh, ow, n) = x.shape, dy.shape
    tiles = -(-oh // 4), -(-ow // 4)
    most = min(n, KERNELS)
    slab = (SLAB - POINTS * LANES * (1 + most // COLUMNS)) // (POINTS * (COLUMNS + most))
    parts = c // COLUMNS * -(-n // most)
    partials = min(-(-PARTS // parts), max(1, b * tiles[0] * tiles[1] // (4 * slab)))
    dw, zero = empty((partials, n, 3, 3, c)), np.zeros(COLUMNS, np.float32)
    _grad_weight.run(parts * partials, x, dy, padding, tiles, slab, most, partials, zero, dw)
    return dw.sum(axis=0) if partials > 1 else dw[0]
