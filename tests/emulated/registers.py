"""What the kernels for the matrix units take of a card, by NVIDIA's own compiler, which needs none: a table.

pip install nvidia-cuda-nvrtc
python tests/emulated/registers.py
"""

import itertools

from cupy import nvrtc

from minidl.kernels.gpu.launch import program

ARCHITECTURES = ("sm_90", "sm_80")
FILES = ("conv_windows.cu", "conv_weight.cu")
TYPES = ("float", "bfloat16")  # of activations, and so of factors: TF32 of float
CHOICES = tuple(itertools.product(FILES, TYPES, (128, 64), (4, 1)))


def rows(architectures=ARCHITECTURES, choices=CHOICES):
    """(kernel, factors, columns of a tile, channels a load, shared memory, {architecture: (registers, spilled)})."""
    for file, factor, columns, width in choices:
        code, options = program(file, "float", width, factor, columns, factor)
        found = {a: nvrtc.resources(code, options, a) for a in architectures}
        for i, (name, _, shared, _) in enumerate(found[architectures[0]]):
            taken = {a: (kernels[i][1], kernels[i][3]) for a, kernels in found.items()}
            yield name, {"float": "TF32"}.get(factor, factor), columns, width, shared, taken


def main():
    """The table of docs/gpu.md."""
    print("| kernel | factors | tile | channels a load | shared memory | registers, sm_90 / sm_80 | spilled |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, factor, columns, width, shared, taken in sorted(rows()):
        registers = " / ".join(str(count) for count, _ in taken.values())
        spilled = " / ".join(str(count) for _, count in taken.values())
        print(f"| `{name}` | {factor} | 128 x {columns} | {width} | {shared / 1024:g} KB | {registers} | {spilled} |")


if __name__ == "__main__":
    main()
