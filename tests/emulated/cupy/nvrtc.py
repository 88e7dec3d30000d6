"""NVIDIA's own compiler, which needs no card: where ``nvidia-cuda-nvrtc`` is installed, it reads the kernels too."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
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


def _compiled(code, options):
    """(whether NVRTC compiles the code, what it says)."""
    library, program, size = _library(), ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    try:
        encoded = [option.encode() for option in options]
        status = library.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        return status == 0, log.value.decode()
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


@functools.cache
def complaint(code, options):
    """Why NVRTC does not compile the code; None where it does, or is not there."""
    if not available():
        return None
    fine, log = _compiled(code, (*options, ARCHITECTURE))
    return None if fine else log


REPORT = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?"
    r"Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)


def resources(code, options, architecture):
    """Of each kernel, as assembled for an architecture (sm_90): (name, registers, bytes of shared memory, spilled)."""
    fine, log = _compiled(code, (*options, f"-arch={architecture}", "--ptxas-options=-v"))
    if not fine:
        raise RuntimeError(log)
    return [
        (name, int(registers), int(shared or 0), int(stored) + int(loaded))
        for name, stored, loaded, registers, shared in REPORT.findall(log)
    ]
