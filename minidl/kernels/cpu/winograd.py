"""Winograd's convolution F(4 x 4, 3 x 3): 16 pixels of a result from 36 multiplications instead of 144.

A tile of 6 x 6 pixels d, a kernel g of 3 x 3 and the 4 x 4 pixels y that they give are polynomials of sorts; in the
values of these at six points the convolution is a product, point by point (Lavin and Gray 2016, section 4):

    y = A' [ (G g G') * (B' d B) ] A            with * elementwise, in both directions of the image

Between channels it is a matrix product for each of the 36 points. So: transform the tiles into V[point, tile, c] and
the kernels into U[point, c, n], multiply V by U at each point, and transform the products M[point, tile, n] back. The
gradient by x is the same with the kernels turned round; the gradient by the kernel is the transpose:

    dg = G' [ (A dy A') * (B' d B) ] G          summed over all tiles

The transforms cost little beside the products where channels are many, but their factors of up to 8 cancel in the sums,
and with them some digits: see docs/kernels.md.
"""

import numpy as np

from ..shapes import Pair
from .memory import empty
from .multiply import pack
from .parallel import Floats, Ints, at, helper, stack, task
from .tile import COLUMNS, ROWS, multiply_tile
from .vector import LANES, load, store, zero

SLAB = 1 << 18  # floats of V that are transformed, multiplied and transformed back before the next
U_SLAB = 1 << 20  # floats of U, likewise
TILES = 2 * ROWS  # of images that one task multiplies


@helper
def _b(d0, d1, d2, d3, d4, d5):
    """B' d"""
    p, q = d4 - 4.0 * d2, d3 - 4.0 * d1
    r, s = d4 - d2, 2.0 * (d3 - d1)
    return 4.0 * d0 - 5.0 * d2 + d4, p + q, p - q, r + s, r - s, 4.0 * d1 - 5.0 * d3 + d5


@helper
def _a(m0, m1, m2, m3, m4, m5):
    """A' m"""
    s, d, p, q = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + s + p, d + 2.0 * q, s + 4.0 * p, d + 8.0 * q + m5


@helper
def _a_transposed(y0, y1, y2, y3):
    """A y"""
    s, d, p, q = y0 + y2, y1 + y3, y0 + 4.0 * y2, 2.0 * y1 + 8.0 * y3
    return y0, s + d, s - d, p + q, p - q, y3


@helper
def _g(g0, g1, g2):
    """G g"""
    s, d = -1 / 6 * (g0 + g2), 1 / 6 * g1
    p, q = 1 / 24 * g0 + 1 / 6 * g2, 1 / 12 * g1
    return 0.25 * g0, s - d, s + d, p + q, p - q, g2


@helper
def _g_transposed(u0, u1, u2, u3, u4, u5):
    """G' u"""
    s, t = -1 / 6 * (u1 + u2), u3 + u4
    return 0.25 * u0 + s + 1 / 24 * t, 1 / 6 * (u2 - u1) + 1 / 12 * (u3 - u4), s + 1 / 6 * t + u5


@helper
def _load6(x, i, step):
    return (
        load(x, i), load(x, i + step), load(x, i + 2 * step),
        load(x, i + 3 * step), load(x, i + 4 * step), load(x, i + 5 * step),
    )  # fmt: skip


@helper
def _store_all(x, i, step, vectors):
    for k in range(len(vectors)):
        store(x, i + k * step, vectors[k])


@helper
def _inside(x, pixel, c):
    return load(x, pixel + c) if pixel >= 0 else zero()


@helper
def _pixels(pixels, tile, tiles_h, tiles_w, size, H, W, C, padding_h, padding_w):
    """Where the size x size pixels of a tile lie in images (B, H, W, C); -1 for those in the padding."""
    b, i, j = tile // (tiles_h * tiles_w), tile // tiles_w % tiles_h, tile % tiles_w
    for k in range(size * size):
        h, w = 4 * i - padding_h + k // size, 4 * j - padding_w + k % size
        pixels[k] = ((b * H + h) * W + w) * C if 0 <= h < H and 0 <= w < W else -1


_places, _half = stack(Ints, 36), stack(Floats, 36 * LANES)


@task
def _transform_images(tile, first, x: Floats, H, W, C, tiles_h, tiles_w, PH, PW, row, plane, V: Floats):
    """V[point, tile] = B' d B for one tile of 6 x 6 pixels."""
    d, t = _places(), _half()
    _pixels(d, first + tile, tiles_h, tiles_w, 6, H, W, C, PH, PW)
    for c in range(0, C, LANES):
        for j in range(6):
            column = _b(
                _inside(x, d[j], c), _inside(x, d[6 + j], c), _inside(x, d[12 + j], c),
                _inside(x, d[18 + j], c), _inside(x, d[24 + j], c), _inside(x, d[30 + j], c),
            )  # fmt: skip
            _store_all(t, j * LANES, 6 * LANES, column)
        for i in range(6):
            _store_all(V, 6 * i * plane + tile * row + c, plane, _b(*_load6(t, 6 * i * LANES, LANES)))


@task
def _transform_gradients(tile, first, dy: Floats, H, W, C, tiles_h, tiles_w, row, plane, Z: Floats):
    """Z[point, tile] = A dy A' for one tile of 4 x 4 pixels."""
    d, t = _places(), _half()
    _pixels(d, first + tile, tiles_h, tiles_w, 4, H, W, C, 0, 0)
    for c in range(0, C, LANES):
        for j in range(4):
            column = _a_transposed(
                _inside(dy, d[j], c), _inside(dy, d[4 + j], c), _inside(dy, d[8 + j], c), _inside(dy, d[12 + j], c)
            )
            _store_all(t, j * LANES, 4 * LANES, column)
        for i in range(6):
            k = 4 * i * LANES
            rows = _a_transposed(load(t, k), load(t, k + LANES), load(t, k + 2 * LANES), load(t, k + 3 * LANES))
            _store_all(Z, 6 * i * plane + tile * row + c, plane, rows)


@task
def _transform_kernels(part, g: Floats, C, plane, U: Floats):
    """U[panel, point, c] = G g G' for g[panel, 3 x 3, c], COLUMNS kernels side by side."""
    panel, c = part // C, part % C
    t = _half()
    for lane in range(0, COLUMNS, LANES):
        for j in range(3):
            k, step = ((panel * 9 + j) * C + c) * COLUMNS + lane, 3 * C * COLUMNS
            _store_all(t, j * LANES, 3 * LANES, _g(load(g, k), load(g, k + step), load(g, k + 2 * step)))
        for i in range(6):
            k = 3 * i * LANES
            row = _g(load(t, k), load(t, k + LANES), load(t, k + 2 * LANES))
            _store_all(U, (panel * 36 + 6 * i) * plane + c * COLUMNS + lane, plane, row)


_a_rows, _c_rows = stack(Ints, ROWS), stack(Ints, ROWS)
_products, _sums = stack(Floats, 36 * TILES * COLUMNS), stack(Floats, 36 * ROWS * COLUMNS)


@task
def _multiply(
    part, V: Floats, v_row, v_plane, first, tiles, U: Floats, u_plane, C, tiles_h, tiles_w, start: Floats,
    bias: Floats, n0, N, H, W, y: Floats,
):  # fmt: skip
    """y = A' (V U) A + bias, for a block of tiles and a panel of the channels n0, n0 + 1, ..."""
    blocks = -(-tiles // TILES)
    panel, tile0 = part // blocks, part % blocks * TILES
    count, n0 = min(TILES, tiles - tile0), n0 + panel * COLUMNS
    a_rows, c_rows, M, d, t = _a_rows(), _c_rows(), _products(), _places(), _half()
    for r in range(0, count, ROWS):
        for i in range(ROWS):  # rows beyond the last compute the last once more
            a_rows[i] = (tile0 + min(r + i, count - 1)) * v_row
            c_rows[i] = min(r + i, count - 1) * COLUMNS
        for point in range(36):
            b = at(U, (panel * 36 + point) * u_plane)
            c = at(M, point * TILES * COLUMNS)
            multiply_tile(at(V, point * v_plane), a_rows, (0, 0, 1), b, (0, 0, COLUMNS), (1, 1, C), c, c_rows, start, 0)
    for tile in range(count):
        _pixels(d, first + tile0 + tile, tiles_h, tiles_w, 4, H, W, N, 0, 0)
        for n in range(n0, min(N, n0 + COLUMNS), LANES):
            for j in range(6):
                column = _a(*_load6(M, (j * TILES + tile) * COLUMNS + n - n0, 6 * TILES * COLUMNS))
                _store_all(t, j * LANES, 6 * LANES, column)
            for i in range(4):
                pixels = _a(*_load6(t, 6 * i * LANES, LANES))
                for j in range(4):
                    if d[4 * i + j] >= 0:
                        store(y, d[4 * i + j] + n, pixels[j] + load(bias, n))


@task
def _multiply_gradients(
    part, Z: Floats, z_row, z_plane, N, V: Floats, v_row, v_plane, C, tiles, dU: Floats, is_first, is_last,
    start: Floats, dw: Floats,
):  # fmt: skip
    """Add Z' V over the tiles to dU for ROWS of dw's kernels and a panel of their channels; at last dw = G' dU G."""
    blocks = -(-N // ROWS)
    n0, c0 = part % blocks * ROWS, part // blocks * COLUMNS
    a_rows, c_rows, t = _a_rows(), _c_rows(), _half()
    u = _sums() if is_first and is_last else at(dU, part * 36 * ROWS * COLUMNS)
    for i in range(ROWS):
        a_rows[i], c_rows[i] = min(n0 + i, N - 1), i * COLUMNS
    for point in range(36):
        a, b, c = at(Z, point * z_plane), at(V, point * v_plane + c0), at(u, point * ROWS * COLUMNS)
        multiply_tile(a, a_rows, (0, 0, z_row), b, (0, 0, v_row), (1, 1, tiles), c, c_rows, start, 1 - is_first)
    for n in range(n0, min(N, n0 + ROWS) if is_last else n0):
        for c in range(c0, min(C, c0 + COLUMNS), LANES):
            for j in range(6):
                column = _g_transposed(*_load6(u, (j * ROWS + n - n0) * COLUMNS + c - c0, 6 * ROWS * COLUMNS))
                _store_all(t, j * LANES, 6 * LANES, column)
            for i in range(3):
                _store_all(dw, (n * 9 + 3 * i) * C + c, C, _g_transposed(*_load6(t, 6 * i * LANES, LANES)))


def _round(channels: int) -> int:
    """Floats in a row of V or Z: whole panels, as a tile may run over the end, and no power of two (see _planes)."""
    return -(-channels // COLUMNS) * COLUMNS + LANES


def pays(kernel: Pair, stride: Pair, out: Pair, C: int, N: int) -> bool:
    """The rule: 3 x 3 kernels at stride 1, channels that fill vectors, and results that fill most of their tiles."""
    tiles = -(-out[0] // 4) * -(-out[1] // 4)
    return kernel == (3, 3) and stride == (1, 1) and C % LANES == N % LANES == 0 and out[0] * out[1] >= 10 * tiles


def _planes(rows: int, row: int) -> tuple[int, np.ndarray]:
    """(plane, array) of 36 planes of rows x row floats, spaced so that they do not compete for the same cache lines."""
    plane = rows * row + 3 * LANES
    return plane, empty(36 * plane)


def convolve(x: np.ndarray, weight: np.ndarray, turned: bool, bias: np.ndarray | None, padding: Pair) -> np.ndarray:
    """conv2d, or with ``turned`` kernels (rotated by half a turn, N and C exchanged) its gradient by the input."""
    (b, h, w, c), (n, taps) = x.shape, (weight.shape[0], 9 * weight.shape[3])
    if turned:
        n = weight.shape[3]
        steps, step_n, weight = (0, -n, taps), 1, weight.reshape(-1)[8 * n :]
    else:
        steps, step_n = (0, c, 1), taps
    oh, ow = h + 2 * padding[0] - 2, w + 2 * padding[1] - 2
    tiles_h, tiles_w = -(-oh // 4), -(-ow // 4)
    tiles, row = b * tiles_h * tiles_w, _round(c)
    slab = min(tiles, max(4 * ROWS, SLAB // (36 * row) // ROWS * ROWS))
    u_plane = c * COLUMNS + LANES
    panels = -(-n // COLUMNS)
    some = panels if slab < tiles else min(panels, max(1, U_SLAB // (36 * u_plane)))
    shift = np.zeros(panels * COLUMNS, np.float32)
    if bias is not None:
        shift[:n] = bias
    none = np.zeros(COLUMNS, np.float32)
    y, (v_plane, V), U = empty((b, oh, ow, n)), _planes(slab, row), empty(some * 36 * u_plane)
    for first in range(0, tiles, slab):
        count = min(slab, tiles - first)
        _transform_images.run(count, first, x, h, w, c, tiles_h, tiles_w, *padding, row, v_plane, V)
        for panel in range(0, panels, some):
            n0, many = panel * COLUMNS, min(some, panels - panel)
            if first == 0:
                g = pack(weight.reshape(-1)[n0 * step_n :], steps, step_n, (1, 9, c), min(n - n0, many * COLUMNS))
                _transform_kernels.run(many * c, g, c, u_plane, U)
            _multiply.run(
                many * -(-count // TILES), V, row, v_plane, first, count, U, u_plane, c, tiles_h, tiles_w, none, shift,
                n0, n, oh, ow, y,
            )  # fmt: skip
    return y


def grad_weight(dy: np.ndarray, x: np.ndarray, padding: Pair) -> np.ndarray:
    (b, h, w, c), (_, oh, ow, n) = x.shape, dy.shape
    tiles_h, tiles_w = -(-oh // 4), -(-ow // 4)
    tiles, row, z_row = b * tiles_h * tiles_w, _round(c), _round(n)
    slab = min(tiles, max(4 * ROWS, SLAB // (36 * max(row, z_row))))
    (v_plane, V), (z_plane, Z) = _planes(slab + 1, row), _planes(slab, z_row)
    parts, none = -(-n // ROWS) * -(-c // COLUMNS), np.zeros(COLUMNS, np.float32)
    dw, dU = empty((n, 3, 3, c)), empty(parts * 36 * ROWS * COLUMNS if slab < tiles else 1)
    for first in range(0, tiles, slab):
        count = min(slab, tiles - first)
        _transform_images.run(count, first, x, h, w, c, tiles_h, tiles_w, *padding, row, v_plane, V)
        _transform_gradients.run(count, first, dy, oh, ow, n, tiles_h, tiles_w, z_row, z_plane, Z)
        _multiply_gradients.run(
            parts, Z, z_row, z_plane, n, V, row, v_plane, c, count, dU, first == 0, first + slab >= tiles, none, dw
        )
    return dw
