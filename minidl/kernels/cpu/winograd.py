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

import numpy as np

from ..shapes import Pair
from .memory import empty
from .multiply import zeros
from .parallel import Floats, Ints, at, helper, stack, task
from .tile import COLUMNS, ROWS, multiply_whole
from .transform import two_sided
from .vector import LANES, copy_square

B_T = (  # the rows are the points 0, 1, -1, 2, -2 and infinity
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
A = (
    (1.0, 0.0, 0.0, 0.0),
    (1.0, 1.0, 1.0, 1.0),
    (1.0, -1.0, 1.0, -1.0),
    (1.0, 2.0, 4.0, 8.0),
    (1.0, -2.0, 4.0, -8.0),
    (0.0, 0.0, 0.0, 1.0),
)
_image, _kernel, _gradient = two_sided(B_T), two_sided(G), two_sided(A)
_result = two_sided(tuple(zip(*A, strict=True)), shifted=True)
_kernel_gradient = two_sided(tuple(zip(*G, strict=True)))

OWN = 12 * COLUMNS  # channels up to which a task transforms its tiles for itself; with more, its kernels instead
NEAR = 26 * 128  # channels times tiles that it transforms, unless that is less than ROWS tiles
MANY = 11 * ROWS  # the most tiles in a task
SHARED = 1 << 21  # floats of V that are shared at a time
SLAB = 1 << 19  # floats of V, or Z, that are transformed at a time for the weight gradient
CHUNK = 2 * COLUMNS  # channels whose kernels a task transforms at a time

_places, _planes = stack(Ints, 36), stack(Ints, 36)
_block = stack(Floats, 9 * LANES * LANES)


@helper
def _every(places, count, step):
    """places[k] = k * step"""
    for k in range(count):
        places[k] = k * step


@helper
def _pixels(places, tile, tiles_h, tiles_w, size, H, W, C, PH, PW):
    """Where the size x size pixels of a tile lie in images (B, H, W, C); -1 for those in the padding."""
    b, i, j = tile // (tiles_h * tiles_w), tile // tiles_w % tiles_h, tile % tiles_w
    for k in range(size * size):
        h, w = 4 * i - PH + k // size, 4 * j - PW + k % size
        places[k] = ((b * H + h) * W + w) * C if 0 <= h < H and 0 <= w < W else -1


@helper
def _transform_images(gradients, x, H, W, C, tiles_h, tiles_w, PH, PW, first, count, V, plane):
    """V[panel, point, tile] for some tiles: B' d B of 6 x 6 pixels d, or of 4 x 4 gradients A d A'."""
    pixels, planes = _places(), _planes()
    _every(planes, 36, plane)
    for tile in range(count):
        _pixels(pixels, first + tile, tiles_h, tiles_w, 4 if gradients else 6, H, W, C, PH, PW)
        for c in range(0, C, LANES):
            out = at(V, c // COLUMNS * 36 * plane + tile * COLUMNS + c % COLUMNS)
            if gradients:
                _gradient(at(x, c), pixels, out, planes, out)
            else:
                _image(at(x, c), pixels, out, planes, out)


@helper
def _transform_kernels(g, turned, C, N, n, c0, count, U, plane):
    """U[point, c, lane] = G g G' for the COLUMNS kernels from n on and some of their channels, a square at a time."""
    block, places, planes = _block(), _places(), _planes()
    _every(places, 9, LANES * LANES)
    _every(planes, 36, plane)
    for c in range(0, count, LANES):
        for lane in range(0, COLUMNS, LANES):
            for k in range(9):
                source = ((c0 + c) * 9 + 8 - k) * N + n + lane if turned else ((n + lane) * 9 + k) * C + c0 + c
                step = 9 * N if turned else 9 * C
                copy_square(at(g, source), step, at(block, k * LANES * LANES), LANES, np.int64(not turned))
            for i in range(LANES):
                _kernel(at(block, i * LANES), places, at(U, (c + i) * COLUMNS + lane), planes, U)


@task
def _transform(
    part, first, tiles, x: Floats, H, W, C, PH, PW, dy: Floats, OH, OW, N, V: Floats, Z: Floats, plane, gradients
):  # fmt: skip
    """The shared V, and where asked for Z, of some tiles."""
    tile = part * ROWS
    count, tiles_h, tiles_w = min(ROWS, tiles - tile), -(-OH // 4), -(-OW // 4)
    _transform_images(False, x, H, W, C, tiles_h, tiles_w, PH, PW, first + tile, count, at(V, tile * COLUMNS), plane)
    if gradients:
        _transform_images(
            True, dy, OH, OW, N, tiles_h, tiles_w, 0, 0, first + tile, count, at(Z, tile * COLUMNS), plane
        )


@task
def _transform_all_kernels(part, g: Floats, turned, C, N, U: Floats, plane):
    panel, c = part // (C // COLUMNS), part % (C // COLUMNS) * COLUMNS
    out = at(U, panel * 36 * plane + c * COLUMNS)
    _transform_kernels(g, turned, C, N, panel * COLUMNS, c, COLUMNS, out, plane)


_a_rows = stack(Ints, ROWS)
_tiles_or_kernels = stack(Floats, 36 * max(OWN * (ROWS + 1), NEAR * 5 // 4, CHUNK * COLUMNS + LANES))
_products = stack(Floats, 36 * (MANY * COLUMNS + LANES))


@task
def _convolve(
    part, first, tiles, block, shared, x: Floats, H, W, C, PH, PW, V: Floats, v_plane, g: Floats, turned, U: Floats,
    bias: Floats, OH, OW, N, y: Floats,
):  # fmt: skip
    """y = A' (V U) A + bias for a block of tiles, and all channels n or, where V is shared, one panel of them.

    Where V is not shared U is, and the task transforms its tiles; where V is shared, it transforms its kernels.
    """
    panels = N // COLUMNS if shared else 1
    tile0 = part // panels * block
    count, tiles_h, tiles_w = min(block, tiles - tile0), -(-OH // 4), -(-OW // 4)
    room, M, m_plane = _tiles_or_kernels(), _products(), block * COLUMNS + LANES
    rows, pixels, planes = _a_rows(), _places(), _planes()
    _every(rows, ROWS, COLUMNS)
    _every(planes, 36, m_plane)
    if shared:
        v, plane, u, chunk, u_plane = at(V, tile0 * COLUMNS), v_plane, room, CHUNK, CHUNK * COLUMNS + LANES
    else:
        v, plane, u, chunk, u_plane = room, m_plane, U, C, C * COLUMNS + LANES
        _transform_images(False, x, H, W, C, tiles_h, tiles_w, PH, PW, first + tile0, count, v, plane)
    for n in range(part % panels * COLUMNS, N, panels * COLUMNS):
        for c in range(0, C, chunk):
            deep = min(chunk, C - c)
            if shared:
                _transform_kernels(g, turned, C, N, n, c, deep, u, u_plane)
            else:
                u = at(U, n // COLUMNS * 36 * u_plane)
            for point in range(36):
                a = at(v, (c // COLUMNS * 36 + point) * plane)
                for r in range(0, count, ROWS):  # rows beyond the last hold anything, and come to nothing
                    multiply_whole(
                        at(a, r * COLUMNS), rows, (0, 36 * plane, 1), at(u, point * u_plane),
                        (0, COLUMNS * COLUMNS, COLUMNS), (1, deep // COLUMNS, COLUMNS),
                        at(M, point * m_plane + r * COLUMNS), rows, bias, np.int64(c > 0), COLUMNS,
                    )  # fmt: skip
        for tile in range(count):
            _pixels(pixels, first + tile0 + tile, tiles_h, tiles_w, 4, OH, OW, N, 0, 0)
            for lane in range(0, COLUMNS, LANES):
                shift = at(bias, COLUMNS + n + lane)
                _result(at(M, tile * COLUMNS + lane), planes, at(y, n + lane), pixels, shift)


_sums = stack(Floats, 36 * ROWS * COLUMNS)


@task
def _multiply_gradients(
    part, V: Floats, C, Z: Floats, N, plane, tiles, dU: Floats, add, finish, start: Floats, dw: Floats
):  # fmt: skip
    """Add Z' V over the tiles to dU, for ROWS of dw's kernels and a panel of their channels; at last dw = G' dU G."""
    c0, n0 = part // -(-N // ROWS) * COLUMNS, part % -(-N // ROWS) * ROWS
    u = _sums() if finish and not add else at(dU, part * 36 * ROWS * COLUMNS)
    a_rows, c_rows, places, planes = _a_rows(), _a_rows(), _places(), _planes()
    _every(c_rows, ROWS, COLUMNS)
    _every(planes, 36, ROWS * COLUMNS)
    _every(places, 9, C)
    for i in range(ROWS):
        n = min(n0 + i, N - 1)  # rows beyond the last compute the last once more
        a_rows[i] = n // COLUMNS * 36 * plane + n % COLUMNS
    for point in range(36):
        multiply_whole(
            at(Z, point * plane), a_rows, (0, 0, COLUMNS), at(V, (c0 // COLUMNS * 36 + point) * plane),
            (0, 0, COLUMNS), (1, 1, tiles), at(u, planes[point]), c_rows, start, add, COLUMNS,
        )  # fmt: skip
    for n in range(min(ROWS, N - n0) if finish else 0):
        for lane in range(0, COLUMNS, LANES):
            out = at(dw, (n0 + n) * 9 * C + c0 + lane)
            _kernel_gradient(at(u, n * COLUMNS + lane), planes, out, places, out)


def pays(kernel: Pair, stride: Pair, out: Pair, C: int, N: int) -> bool:
    """The rule: 3 x 3 kernels at stride 1, channels that fill panels, and results that fill most of their tiles."""
    tiles = -(-out[0] // 4) * -(-out[1] // 4)
    return kernel == (3, 3) and stride == (1, 1) and C % COLUMNS == N % COLUMNS == 0 and out[0] * out[1] >= 10 * tiles


def _round(tiles: int) -> int:
    return -(-tiles // ROWS) * ROWS


def convolve(x: np.ndarray, weight: np.ndarray, turned: bool, bias: np.ndarray | None, padding: Pair) -> np.ndarray:
    """conv2d, or with ``turned`` kernels (rotated by half a turn, N and C exchanged) its gradient by the input."""
    (b, h, w, c), n = x.shape, weight.shape[3 if turned else 0]
    oh, ow = h + 2 * padding[0] - 2, w + 2 * padding[1] - 2
    tiles = b * -(-oh // 4) * -(-ow // 4)
    start = np.zeros(COLUMNS + n, np.float32)  # zeros for the sums to start from, then the bias
    start[COLUMNS:] = 0 if bias is None else bias
    y, image, out = empty((b, oh, ow, n)), (x, h, w, c, *padding), (oh, ow, n)
    shared = c > OWN
    if shared:
        slab = min(tiles, max(MANY, SHARED // (36 * c)))
        block, plane = _round(-(-slab // -(-slab // MANY))), _round(slab) * COLUMNS + LANES
        panels, V, U = n // COLUMNS, empty(c // COLUMNS * 36 * plane), start
    else:
        block, plane = max(1, min(NEAR // c, tiles, MANY) // ROWS) * ROWS, c * COLUMNS + LANES
        panels, V, U, slab = 1, start, empty(n // COLUMNS * 36 * plane), tiles
        _transform_all_kernels.run(n // COLUMNS * (c // COLUMNS), weight, turned, c, n, U, plane)
    for first in range(0, tiles, slab):
        count = min(slab, tiles - first)
        if shared:
            _transform.run(-(-count // ROWS), first, count, *image, x, *out, V, V, plane, False)
        parts = -(-count // block) * panels
        _convolve.run(parts, first, count, block, shared, *image, V, plane, weight, turned, U, start, *out, y)
    return y


def grad_weight(dy: np.ndarray, x: np.ndarray, padding: Pair) -> np.ndarray:
    (b, h, w, c), (_, oh, ow, n) = x.shape, dy.shape
    tiles = b * -(-oh // 4) * -(-ow // 4)
    slab = min(tiles, max(MANY, SLAB // (36 * max(c, n))))
    plane, parts, dw = slab * COLUMNS + LANES, -(-n // ROWS) * (c // COLUMNS), empty((n, 3, 3, c))
    V, Z = empty(c // COLUMNS * 36 * plane), empty(n // COLUMNS * 36 * plane)
    dU = empty(parts * 36 * ROWS * COLUMNS if slab < tiles else 1)
    for first in range(0, tiles, slab):
        count = min(slab, tiles - first)
        _transform.run(-(-count // ROWS), first, count, x, h, w, c, *padding, dy, oh, ow, n, V, Z, plane, True)
        steps = first > 0, first + slab >= tiles
        _multiply_gradients.run(parts, V, c, Z, n, plane, count, dU, *steps, zeros(COLUMNS), dw)
    return dw
