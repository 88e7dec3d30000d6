"""``RawModule``: CUDA C compiled by g++, and launches that check what CUDA would take on trust."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from . import memory, nvrtc, ptx
from .arrays import SCALARS, ndarray
from .cuda import stream as streams
from .cuda.runtime import LIMITS, SHARED_OPTIN, CUDADriverError

STANDARDS = ("c++11", "c++14", "c++17", "c++20")
MISSING = {  # what g++ would take but NVRTC does not, and what only a card can do
    r"\b(u?int(8|16|32|64)_t|uintptr_t|uint|ushort)\b": "NVRTC has no <cstdint>: write unsigned, long long, ...",
    r"\b(INFINITY|NAN|(FLT|DBL|U?INT|LONG|LLONG)_(MAX|MIN|EPSILON)|M_PI\w*|M_E|CUDART_\w+|__builtin_\w+|__half\w*)\b":
        "NVRTC does not know it without a header",
    r"\bstd::": "NVRTC has no host headers, and so nothing of std::",
    r"#\s*include\b": "the emulated card has no headers to include, and NVRTC has none of the host's",
    r"\b(__shfl\w*|__ballot\w*|__any_sync|__all_sync|__syncwarp|__activemask|__match_\w+|__reduce_\w+_sync)\b":
        "the emulated card has no shuffles or votes, of all that warps do together only what warp.hpp has",
    r"\b(__syncthreads_(count|and|or)|cooperative_groups|wmma)\b": "not emulated",
}  # fmt: skip
DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+(?:__align__\s*\(\d+\)\s*)?([\w\s:]+?)\s+(\w+)\s*\[\s*\]\s*;")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\(([^)]*)\)\s*)?(\w+)\s*\(')
FAULTS = {
    1: "some threads of a block returned while others wait at __syncthreads()",
    2: "threads of one block wait at different __syncthreads()",
    3: "memory beyond the block's dynamic shared memory was overwritten",
    4: "of the 32 threads of a warp some wait for the others at an instruction that all do together",
    5: "ldmatrix reads rows that do not begin at a multiple of 16 bytes",
}


class CompileException(Exception):  # noqa: N818 - CuPy's name
    """What NVRTC says of a program, or would."""


def _flags(options):
    flags, standard = [], "c++17"
    for option in options:
        if re.match(r"-{1,2}std=", option):
            standard = option.partition("=")[2]
            if standard not in STANDARDS:
                raise CompileException(f"nvrtc: error: invalid value for --std: {standard}")
        elif re.match(r"-[DU]\w", option):
            flags.append(option)
        else:
            raise CompileException(f"nvrtc: error: unrecognized option {option} found")
    return [f"-std={standard}", *flags]


def _without_comments(code):
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), code, flags=re.DOTALL)


def _translate(code, kernels):
    """The user's code between what CUDA brings along and a launcher for each kernel."""
    bare = _without_comments(code)
    for pattern, reason in MISSING.items():
        if found := re.search(pattern, bare):
            line = bare.count("\n", 0, found.start()) + 1
            raise CompileException(f"kernel.cu({line}): error: {found[0]!r}: {reason}")
    try:
        bare = ptx.translate(bare)
    except ptx.UnknownInstructionError as unknown:
        line = bare.count("\n", 0, unknown.place) + 1
        raise CompileException(f"kernel.cu({line}): error: {unknown}: the emulated card does not know it") from None
    bare = DYNAMIC_SHARED.sub(r"static \1* const \2 = (\1*)emulated::dynamic_shared;", bare)
    launchers = "".join(
        f'extern "C" int emulated_launch_{i}(const unsigned* dims, unsigned shared, void** args) '
        f"{{ return emulated::launch(&{name}, dims, shared, args); }}\n"
        f'extern "C" const char* emulated_parameters_{i}() {{ return emulated::describe(&{name}); }}\n'
        for i, name in enumerate(kernels)
    )
    definitions = f"#define EMULATED_FLUSH {int('double' not in bare)}\n"
    if not re.search(r"\btemplate\b", bare):
        definitions += "#define EMULATED_POISON_SHARED\n"
    prelude = "".join(
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("prelude.hpp", "warp.hpp")
    )
    return f'{definitions}{prelude}\n#line 1 "kernel.cu"\n{bare}\n#line 1 "launchers"\n{launchers}'


@functools.cache
def _compiler():
    path = shutil.which("g++")
    if path is None:
        raise RuntimeError("the emulated card compiles kernels with g++, which is not installed here")
    return path, subprocess.run([path, "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True).stdout


def compile_source(source, flags):
    """A shared library of the source, from this machine's cache if it was compiled before."""
    compiler, version = _compiler()
    flags = ["-O2", "-fno-strict-aliasing", "-ffp-contract=on", "-U_FORTIFY_SOURCE", "-w", "-shared", "-fPIC", *flags]
    name = hashlib.sha256("\0".join([version, *flags, source]).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"emulated-card-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{name}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # several processes may be at it
            (Path(scratch) / "source.cpp").write_text(source, encoding="utf-8")
            made = Path(scratch) / "library.so"
            command = [compiler, *flags, "-o", str(made), str(Path(scratch) / "source.cpp")]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise CompileException(done.stderr)
            os.replace(made, library)
    return library


class RawModule:
    def __init__(self, *, code, options=()):
        if not isinstance(code, str) or not isinstance(options, tuple):
            raise TypeError("code must be str, and options a tuple")
        self.code, self.options = code, options
        self._functions = None

    def compile(self, log_stream=None):
        self._functions = {}
        bare = _without_comments(self.code)
        bounds = {name: bound for bound, name in KERNEL.findall(bare)}
        kernels = list(bounds)
        path = compile_source(_translate(self.code, kernels), _flags(self.options))
        standard = () if any("-std=" in option for option in self.options) else ("-std=c++17",)
        if log := nvrtc.complaint(self.code, self.options + standard):
            raise CompileException(log)
        library = ctypes.PyDLL(str(path))  # which keeps Python's lock: a launch uses static memory
        for i, name in enumerate(kernels):
            described = getattr(library, f"emulated_parameters_{i}")
            described.restype = ctypes.c_char_p
            bound = bounds.get(name, "").partition(",")[0].strip()
            limit = int(bound) if bound.isdigit() else LIMITS.threads
            launch = getattr(library, f"emulated_launch_{i}")
            self._functions[name] = Kernel._of(name, launch, described().decode().split(), limit)

    def get_function(self, name):
        if self._functions is None:
            self.compile()
        if name not in self._functions:
            raise RuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
        return self._functions[name]


class Kernel:
    """One kernel of a module. Arguments are packed as CuPy packs them; where they would not fit, it is an error."""

    max_dynamic_shared_size_bytes = LIMITS.shared

    @classmethod
    def _of(cls, name, launch, parameters, limit):
        kernel = cls.__new__(cls)
        kernel.name, kernel._launch, kernel._parameters, kernel.max_threads_per_block = name, launch, parameters, limit
        return kernel

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        grid, block = (tuple(max(1, int(n)) for n in (*sizes, 1, 1)[:3]) for sizes in (grid, block))
        self._check(grid, block, shared_mem)
        if len(args) != len(self._parameters):
            raise TypeError(f"{self.name}: {len(args)} arguments for {len(self._parameters)} parameters")
        packed = [self._pack(i, a, p) for i, (a, p) in enumerate(zip(args, self._parameters, strict=True))]
        addresses = (ctypes.c_void_p * len(packed))(*(p.ctypes.data for p in packed))
        dims = (ctypes.c_uint * 6)(*grid, *block)
        blocks = [a._memory for a in args if isinstance(a, ndarray)] + memory.pointed_to_by(args)
        kept = (packed, [block.bytes for block in blocks])  # a graph needs the bytes, though the arrays may be gone
        fence = memory.Fence(blocks)

        def launch(kept=kept):
            memory.last_launch, before = self.name, fence.look()
            fault = self._launch(dims, ctypes.c_uint(shared_mem), addresses)
            if fault:
                raise RuntimeError(f"{self.name}: {FAULTS[fault]}")
            fence.check(before)

        capture = streams.capture_of(stream)
        if capture is None:
            launch()
        else:
            capture.record(launch, blocks)

    def _check(self, grid, block, shared):
        if any(n > limit for n, limit in zip(grid, LIMITS.grid, strict=True)):
            raise CUDADriverError(f"{self.name}: grid {grid}")
        threads = block[0] * block[1] * block[2]
        if threads > self.max_threads_per_block or any(n > m for n, m in zip(block, LIMITS.block, strict=True)):
            raise CUDADriverError(f"{self.name}: block {block}")
        if shared > self.max_dynamic_shared_size_bytes or shared > SHARED_OPTIN:
            raise CUDADriverError(f"{self.name}: {shared} bytes of shared memory")

    def _pack(self, i, value, parameter):
        """One argument as a NumPy array of one element, whose bytes the kernel reads."""
        where = f"{self.name}: argument {i}"
        if isinstance(value, (ndarray, memory.MemoryPointer)) or value is None:
            if not parameter.startswith("p"):
                raise TypeError(f"{where} is an array, but the parameter is no pointer")
            if isinstance(value, ndarray):
                self._check_target(where, value.dtype, parameter[1], int(parameter[2:]))
                value = value.data
            return np.array([0 if value is None else value.ptr], np.uint64)
        if isinstance(value, np.ndarray):
            if value.size != 1:
                raise TypeError(
                    f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter. Only "
                    "numpy.ndarrays of size one can be passed by value."
                )
        elif not isinstance(value, SCALARS):
            raise TypeError(f"Unsupported type {type(value)}")
        value = np.array([value]).reshape(1).copy()
        kind, size = ("u", 8) if parameter.startswith("p") else (parameter[0], int(parameter[1:]))
        ours = "i" if value.dtype.kind == "u" else value.dtype.kind
        if value.itemsize != size or (kind != "v" and ours != ("i" if kind == "u" else kind)):
            raise TypeError(f"{where} is {value.dtype}, but the parameter is of kind {kind!r} and {size} bytes")
        return value

    @staticmethod
    def _check_target(where, dtype, kind, size):
        """An array of float64 for a float* would be read as nonsense. Vectors, void* and bytes fit anything."""
        if kind == "v" or size == 1:
            return
        ours = "i" if dtype.kind == "u" else dtype.kind
        same = ours == ("i" if kind == "u" else kind) or dtype == np.float16
        if dtype.itemsize != size or not same:
            raise TypeError(f"{where} is an array of {dtype}, but the parameter points to {kind}{size}")
