"""What ResNet18's convolutions should take on an H100: predicted, not measured, where no card is at hand.

    python experiments/benchmarks/card_predictions.py
    python experiments/benchmarks/card_predictions.py --batch 512 --precision bfloat16

A product on the matrix units takes the longest of its operations (those that fill up its tiles among them) and its
bytes, and a second launch where its sums are split. What the rule leaves to im2col and cuBLAS takes what was measured
of these (``matrix_units.COLUMN`` and ``CUBLAS``). The bytes are those of a card that copies 2.4 TB/s, as an H100 did.

How many operations a second? A prototype of such kernels was measured on an H100 (docs/gpu.md): its forward pass at
100 TFLOP/s, its gradient by the weight at 65 to 72, whatever the layer. NVRTC's code for the two has 582 and 866
instructions for each 64 products of fragments, so that instructions times rate is the same for both. That suggests that
what bounds them is how fast instructions are started, and that a kernel with fewer of them is faster in proportion: the
column "predicted". The column "as the prototype" is what it takes if that is wrong and no more than the prototype's own
rates are reached.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from minidl.kernels.gpu import matrix_units
from minidl.kernels.gpu.matrix_units import CUBLAS, DEPTH, ROWS
from minidl.kernels.gpu.windows import Windows, windows_over

LAYERS = (  # H = W, C, N, kernel, stride, padding, how many in ResNet18 at 128 pixels
    (128, 3, 64, 7, 2, 3, 1),
    (32, 64, 64, 3, 1, 1, 4),
    (32, 64, 128, 3, 2, 1, 1),
    (32, 64, 128, 1, 2, 0, 1),
    (16, 128, 128, 3, 1, 1, 3),
    (16, 128, 256, 3, 2, 1, 1),
    (16, 128, 256, 1, 2, 0, 1),
    (8, 256, 256, 3, 1, 1, 3),
    (8, 256, 512, 3, 2, 1, 1),
    (8, 256, 512, 1, 2, 0, 1),
    (4, 512, 512, 3, 1, 1, 3),
)
BANDWIDTH = 2.4e12  # bytes a second
LAUNCH = 2e-6  # seconds from the end of a kernel in a recording to the next one's first results
MULTIPROCESSORS = 132
PROTOTYPE = {"forward": 100e12, "by input": 100e12, "by weight": 68e12}  # operations a second, in TF32
ISSUED = 582 * 100e12  # the prototype's: instructions for 64 products of fragments, times its rate
# The instructions of the innermost loop for 64 products of 16 x 8 x 8 in TF32, or 32 of twice the depth in bfloat16,
# with loads of four channels: counted in NVRTC 13.5's code for sm_90 by nvdisasm, in bfloat16
# while it still read images of float32. (columns of a tile, bfloat16)
INSTRUCTIONS = {
    "forward": {(128, False): 273, (64, False): 343, (128, True): 185, (64, True): 231},
    "by input": {(128, False): 298, (64, False): 361, (128, True): 210, (64, True): 250},
    "by weight": {(128, False): 351, (64, False): 427, (128, True): 264, (64, True): 316},
}
SINGLE = {"forward": 748, "by input": 762, "by weight": 711}  # with loads of one channel, tiles of 64 columns, in TF32
PRODUCTS = {
    "forward": matrix_units.forward_products,
    "by input": matrix_units.input_products,
    "by weight": matrix_units.weight_products,
}


def seconds(name: str, windows: Windows, batch: int, n: int, half: bool) -> tuple[str, float, float]:
    """(who computes it, the prediction, the same at the prototype's rate)."""
    h, w, c = windows.image
    products = PRODUCTS[name](windows, batch, n)
    if not matrix_units.ahead(windows, batch, n, products):
        written = batch * windows.rows * windows.step * (not windows.are_pixels)
        there = written * matrix_units.COLUMN + 2.0 * batch * windows.rows * windows.depth * n * CUBLAS
        launches = 2 * len(list(windows.pieces(batch, 2 if half else 4)))
        took = there * (0.5 if half else 1) + (launches - 1) * LAUNCH
        return "im2col", took, took
    image, result, kernels = batch * h * w * c, batch * windows.rows * n, n * windows.depth  # numbers
    bytes_each = 2.0 if half else 4.0  # of the first two
    moved = bytes_each * (image + result) + 4.0 * kernels
    out = {"forward": result, "by input": image, "by weight": kernels}[name]
    parts = matrix_units.parts_of(max(products), MULTIPROCESSORS, len(products))
    written = 4.0 if name == "by weight" else bytes_each
    second = LAUNCH + (2 * 4.0 * parts + written) * out / BANDWIDTH if parts > 1 else 0.0  # parts are float32
    single = c % 4 > 0 or n % 4 > 0
    instructions = SINGLE[name] if single else INSTRUCTIONS[name][products[0].tile, half]
    done = sum(p.operations for p in products)
    issued = ISSUED / instructions
    predicted, cautious = (max(done / r, moved / BANDWIDTH) + second for r in (issued, min(issued, PROTOTYPE[name])))
    return f"units, {parts}", predicted, cautious


def rows(batch: int, half: bool) -> Iterator[tuple[str, str, str, float, float, int]]:
    """(layer, product, who, predicted, as the prototype, how many in a training step)."""
    for size, c, n, kernel, stride, padding, times in LAYERS:
        windows = windows_over((batch, size, size, c), (n, kernel, kernel, c), (stride, stride), (padding, padding))
        for name in PRODUCTS:
            who, predicted, cautious = seconds(name, windows, batch, n, half)
            in_step = times * (c > 3 or name != "by input")  # a training step needs no gradient of the images
            yield f"{size} px, {c} -> {n}, {kernel} x {kernel} / {stride}", name, who, predicted, cautious, in_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images (default: 128)")
    parser.add_argument("--precision", choices=("fast", "bfloat16"), default="fast")
    options = parser.parse_args()
    print(
        f"Predicted, not measured: H100, {options.precision}, batch {options.batch}; microseconds; tiles of {ROWS} rows"
    )
    print(f"and steps of {DEPTH}; who computes: the units, in so many parts, or im2col and cuBLAS")
    print("| layer | product | who | predicted | as the prototype |")
    print("| --- | --- | --- | ---: | ---: |")
    totals = [0.0, 0.0]
    for layer, name, who, predicted, cautious, times in rows(options.batch, options.precision == "bfloat16"):
        print(f"| {layer} | {name} | {who} | {predicted * 1e6:.0f} | {cautious * 1e6:.0f} |")
        totals = [total + times * took for total, took in zip(totals, (predicted, cautious), strict=True)]
    print(f"| all of a training step, ms | | | {totals[0] * 1e3:.2f} | {totals[1] * 1e3:.2f} |")


if __name__ == "__main__":
    main()
