"""NVIDIA's own compiler, which needs no card: where ``nvidia-cuda-nvrtc`` is installed, it reads the kernels too."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path

ARCHITECTURE = "-arch=compute_90"


@functools.cache
def _library():
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else []
    found = sorted(p for folder in folders or () for p in Path(folder).glob("**/libnvrtc.so.*"))
    return ctypes.CDLL(str(found[-1])) if found else None


def available():
    return _library() is not None


@functools.cache
def complaint(code, options):
    """Why NVRTC does not compile the code; None where it does, or is not there."""
    library, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    if library is None:
        return None
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    try:
        encoded = [option.encode() for option in (*options, ARCHITECTURE)]
        if library.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded)) == 0:
            return None
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        return log.value.decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
