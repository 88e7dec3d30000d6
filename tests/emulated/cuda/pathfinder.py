"""Of NVIDIA's package ``cuda-pathfinder``, which comes with CuPy: where the libraries are. There is cuBLAS."""

from types import SimpleNamespace

from cupy.cuda import libcublas


def load_nvidia_dynamic_lib(name):
    if name != "cublas":
        raise RuntimeError(f"the emulated card has no library {name!r}")
    return SimpleNamespace(abs_path=libcublas.path())
