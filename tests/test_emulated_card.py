"""The emulated card itself (tests/emulated): it must be as strict as CuPy, or what passes on it says nothing.

Each test is done by a process of its own, in which ``import cupy`` finds the emulated card.
"""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EMULATED = Path(__file__).parent / "emulated"
CODE = r"""
extern "C" __global__ void __launch_bounds__(256) sums(const float* x, float* y, int n) {
    __shared__ float part[256];
    int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    part[t] = i < n ? x[i] : 0.0f;
    __syncthreads();
    for (int s = 128; s > 0; s /= 2) {
        if (t < s) part[t] += part[t + s];
        __syncthreads();
    }
    if (t == 0) y[blockIdx.x] = part[0];
}
extern "C" __global__ void reversed(const float4* x, float* y, long long n, bool negative) {
    extern __shared__ float room[];
    room[threadIdx.x] = x[threadIdx.x].x;
    __syncthreads();
    float value = room[blockDim.x - 1 - threadIdx.x];
    y[threadIdx.x] = negative ? -value : value;
}
extern "C" __global__ void unsynchronised(float* y) {
    __shared__ float room[32];
    room[threadIdx.x] = threadIdx.x;
    y[threadIdx.x] = room[(threadIdx.x + 1) % 32];
}
extern "C" __global__ void overrun(float* y, int n) { if (threadIdx.x <= n) y[threadIdx.x] = 1; }
extern "C" __global__ void early(float* y) { if (threadIdx.x > 3) return; __syncthreads(); y[0] = 1; }
"""
WARP = r"""
extern "C" __global__ void product(const float* a, const unsigned* b, float* c, int offset, int apart) {
    __shared__ __align__(16) unsigned rows[2][16][12];
    int t = threadIdx.x;
    for (int i = t; i < 128; i += 32) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(rows[0][i / 8][i % 8]) : "f"(a[2 * i + 1]), "f"(a[2 * i]));
        rows[1][i / 8][i % 8] = b[i];
    }
    __syncthreads();
    unsigned f[2][4];
    if (t < apart) return;
    for (int m = 0; m < 2; m++) {
        unsigned place = (unsigned)__cvta_generic_to_shared(&rows[m][t % 16][t / 16 * 4]) + offset;
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(f[m][0]), "=r"(f[m][1]), "=r"(f[m][2]), "=r"(f[m][3]) : "r"(place) : "memory");
    }
    float d[4] = {1, 2, 3, 4};
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
        " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(f[0][0]), "r"(f[0][1]), "r"(f[0][2]), "r"(f[0][3]), "r"(f[1][0]), "r"(f[1][2]));
    for (int i = 0; i < 4; i++) c[(t / 4 + i / 2 * 8) * 8 + t % 4 * 2 + i % 2] = d[i];
}
"""
PREAMBLE = f"import numpy as np\nimport pytest\nimport cupy\n\nCODE = {CODE!r}\nWARP = {WARP!r}\n\n\n"


def on_card(test):
    """Run the function's source where the emulated card is CuPy."""
    source = inspect.getsource(test)
    source = source[source.index("def ") :]

    def run(tmp_path):
        program = tmp_path / "program.py"
        program.write_text(f"{PREAMBLE}{source}\n\n{test.__name__}(cupy)\n", encoding="utf-8")
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(EMULATED), os.environ.get("PYTHONPATH", "")]))
        done = subprocess.run([sys.executable, str(program)], env=env, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout + done.stderr

    run.__name__ = test.__name__
    return run


def compiled(test):
    return pytest.mark.skipif(not shutil.which("g++"), reason="the emulated card compiles kernels with g++")(test)


# arrays


@on_card
def test_numpy_arrays_do_not_mix(cupy):
    x, host = cupy.ones(3, np.float32), np.ones(3, np.float32)
    for mixed in (
        lambda: x + host, lambda: host + x, lambda: x == host, lambda: x @ host, lambda: cupy.add(x, host),
        lambda: cupy.maximum(host, 0), lambda: np.add(host, x), lambda: x + np.array(1.0), lambda: x.__add__([1, 1, 1]),
        lambda: cupy.where(x > 0, x, host), lambda: cupy.concatenate([x, host]), lambda: cupy.ascontiguousarray(host),
        lambda: x.__iadd__(host), lambda: np.asarray(x), lambda: np.array([x]),
        lambda: range(x[0]),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(ValueError, match="non-scalar"):
        x[:] = host
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)


@on_card
def test_numbers_and_uploads_do_mix(cupy):
    x = cupy.asarray(np.arange(3, dtype=np.float32))
    assert (x + np.float64(1)).dtype == np.float64
    assert (x + 1.0).dtype == np.float32
    assert (np.float32(2) * x).get().tolist() == [0, 2, 4]
    assert bool((x == np.array(1.0))[1])  # CuPy makes an exception for comparisons
    assert x[np.array([2, 0])].get().tolist() == [2, 0]  # indices are uploaded
    x[np.array([0])] = np.array([7.0])
    assert float(x[0]) == 7


@on_card
def test_results_are_arrays_of_the_card(cupy):
    x = cupy.asarray(np.arange(6.0).reshape(2, 3))
    for result in (
        x.sum(), x[0, 0], x.max(axis=0), cupy.exp(x), cupy.sqrt(4.0), cupy.count_nonzero(x), x.argmax(),
        cupy.allclose(x, x), x.mean(), -x, 2 - x, x.T @ x, cupy.linalg.norm(x),
    ):  # fmt: skip
        assert type(result) is cupy.ndarray
    assert type(x).__module__ == "cupy"
    assert not isinstance(x, np.ndarray)
    assert isinstance(x.shape[0], int)
    assert isinstance(cupy.may_share_memory(x, x[0]), bool)


@on_card
def test_views_share_memory_and_results_are_in_c_order(cupy):
    x = cupy.asarray(np.arange(6.0).reshape(2, 3))
    first = x[0, 0]  # a view, as in CuPy
    x[0, 0] = 9
    assert float(first) == 9
    assert x[:, 1].data.ptr == x.data.ptr + 8
    assert x.reshape(3, 2).data.ptr == x.data.ptr == x.T.data.ptr
    assert x.T.flags.f_contiguous
    assert (x.T + 1).flags.c_contiguous  # NumPy would keep the order of axes
    assert x.T.copy().flags.c_contiguous
    assert cupy.asarray(x) is x
    assert x.astype(float, copy=False) is x
    assert x.data.ptr % 512 == 0


@on_card
def test_index_arrays_wrap_around_and_numbers_do_not(cupy):
    x = cupy.arange(3)
    assert x[cupy.asarray([1, 3, -1])].get().tolist() == [1, 0, 2]
    assert x[[4]].get().tolist() == [1]
    y = cupy.zeros((2, 3))
    y[cupy.asarray([2]), cupy.asarray([4])] = 1
    assert y.get().tolist() == [[0, 1, 0], [0, 0, 0]]
    with pytest.raises(IndexError):
        x[3]


@on_card
def test_repeated_indices(cupy):
    x, places = cupy.zeros(2), cupy.asarray([0, 0, 1])
    x[places] = cupy.asarray([1.0, 2.0, 3.0])
    assert x.get().tolist() == [1, 3]  # undefined in CuPy; NumPy would leave 2
    cupy.add.at(x, places, 1.0)
    assert x.get().tolist() == [3, 4]
    tenths, sums = cupy.asarray(np.arange(1000) / 10), set()
    for _ in range(20):  # by atomic additions, in any order
        x = cupy.zeros(1)
        cupy.add.at(x, cupy.zeros(1000, np.int32), tenths)
        sums.add(float(x[0]))
    assert len(sums) > 1
    assert max(sums) - min(sums) < 1e-8
    with pytest.raises(TypeError):
        cupy.add.at(cupy.zeros(2, np.int64), places, 1)


@on_card
def test_only_what_cupy_has(cupy):
    x = cupy.ones((2, 2))
    for absent in (
        lambda: x.ctypes, lambda: x.setflags, lambda: cupy.nditer, lambda: cupy.random.Philox, lambda: cupy.errstate,
    ):  # fmt: skip
        with pytest.raises(AttributeError):
            absent()
    for refused in (lambda: x.sum(where=x > 0), lambda: x.max(initial=0), lambda: cupy.exp(x, where=x > 0)):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(ValueError, match="Out shape"):
        cupy.add(x, 1, out=cupy.ones((3, 2, 2)))


@on_card
def test_unwritten_memory_shows(cupy):
    assert np.isnan(cupy.empty(3, np.float32).get()).all()
    assert np.isnan(cupy.empty((), np.float64).get())
    assert abs(int(cupy.empty(1, np.int32)[0])) > 1e5


# memory


@on_card
def test_limits_are_kept(cupy):
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=1 << 20)
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.zeros(1 << 16, np.float64)  # half of it
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory"):
            cupy.zeros(1 << 17, np.float64)
        y = x[1:]
        del x
        assert pool.used_bytes() == 1 << 19  # the view keeps it
        del y
        assert (pool.used_bytes(), pool.free_bytes(), pool.total_bytes()) == (0, 1 << 19, 1 << 19)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):  # blocks count, and what is free is not given back
            cupy.zeros(3 << 15, np.float64)
        pool.free_all_blocks()
        assert pool.total_bytes() == 0
        cupy.zeros(3 << 15, np.float64)
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)


@on_card
def test_blocks_are_split_and_joined(cupy):
    pool = cupy.cuda.MemoryPool()

    def block(units):
        return pool.malloc(512 * units)

    large, small = block(8), block(3)
    start = large.ptr
    del large, small
    assert pool.n_free_blocks() == 2
    a = block(2)  # of the smallest that is large enough
    assert pool.free_bytes() == 512 * 9
    b, c = block(5), block(3)
    assert (b.ptr, c.ptr) == (start, start + 512 * 5)
    assert pool.total_bytes() == 512 * 11
    del b
    pool.free_all_blocks()  # none is whole
    assert pool.total_bytes() == 512 * 11
    del c
    assert block(8).ptr == start  # joined again
    pool.free_all_blocks()
    assert pool.total_bytes() == 512 * 3
    with cupy.cuda.Stream(non_blocking=True):  # which has blocks of its own
        assert block(1).ptr != a.ptr + 512 * 2
        assert pool.total_bytes() == 512 * 4
    assert block(1).ptr == a.ptr + 512 * 2


@on_card
def test_a_pool_that_dies_takes_its_memory_along(cupy):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.zeros(3)
    del pool
    assert np.isnan(x.get()).all()


@on_card
def test_a_pool_within_a_pool(cupy):
    whole = cupy.cuda.MemoryPool()
    whole.set_limit(size=4096)
    part = cupy.cuda.MemoryPool(whole.malloc)
    with cupy.cuda.using_allocator(part.malloc):
        x = cupy.zeros(512, np.float32)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.zeros(1024, np.float32)
        assert (whole.used_bytes(), part.total_bytes()) == (2048, 2048)
        del x
        assert (whole.used_bytes(), part.used_bytes()) == (2048, 0)
        part.free_all_blocks()
    assert (whole.used_bytes(), whole.total_bytes(), part.total_bytes()) == (0, 2048, 0)


@on_card
def test_only_pools_run_out_of_memory(cupy):
    cupy.cuda.memory.TOTAL_BYTES = 1 << 20
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorMemoryAllocation") as error:
        cupy.cuda.Memory(2 << 20)
    assert error.value.status == cupy.cuda.runtime.errorMemoryAllocation
    assert not isinstance(error.value, MemoryError)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError), cupy.cuda.using_allocator():
        cupy.empty(2 << 20, np.uint8)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(2 << 20, np.uint8)
    assert cupy.cuda.runtime.memGetInfo() == (1 << 20, 1 << 20)
    del error
    cupy.empty(1 << 19, np.uint8)
    cupy.empty(3 << 18, np.uint8)  # a pool gives back what is free, and asks again
    assert cupy.get_default_memory_pool().total_bytes() == 3 << 18


# graphs


@on_card
def test_a_graph_computes_when_it_is_launched(cupy):
    x, total, stream = cupy.ones(3), cupy.zeros(3), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        y = cupy.sqrt(x) * 2
        view = y[1:]
        total += y
        total[0] = 5
        s = view.sum()
        graph = stream.end_capture()
    assert np.isnan(y.get()).all()  # nothing has been computed
    assert np.isnan(float(s))
    assert total.get().tolist() == [0, 0, 0]
    graph.launch()
    assert (y.get().tolist(), float(s), total.get().tolist()) == ([2, 2, 2], 4, [5, 2, 2])
    x[...] = 4
    graph.launch(stream)
    assert (view.get().tolist(), float(s), total.get().tolist()) == ([4, 4], 8, [5, 6, 6])
    del x
    with pytest.raises(RuntimeError, match="freed"):
        graph.launch()


@on_card
def test_a_capture_hands_memory_out_again(cupy):
    x, stream, pool = cupy.ones(64), cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        first = x + 1
        address = first.data.ptr
        total = first.sum()
        del first
        number = cupy.empty(64)
        assert number.data.ptr == address
        result = total * number
        graph = stream.end_capture()
        number.fill(3)
        graph.launch()
        assert (number.get() == 2).all()  # written over, by what had been there before
        assert (result.get() == 256).all()
        del number
        graph.launch()
        later = cupy.full(64, 7.0)
        assert later.data.ptr == address
        graph.launch()
        assert (later.get() == 2).all()


@on_card
def test_what_is_given_back_in_a_capture_is_nothing_before_a_launch(cupy):
    x, stream = cupy.ones(64), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        cupy.empty(64)  # and nothing writes there
        y = cupy.empty(64)
        z = y * x
        graph = stream.end_capture()
        y.fill(2)
        graph.launch()
        assert np.isnan(z.get()).all()


@on_card
def test_a_graph_needs_the_pool_that_lent_it_memory(cupy):
    x, stream, pool = cupy.ones(64), cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        (x + 1).sum()
        graph = stream.end_capture()
    graph.launch()
    pool.free_all_blocks()
    with pytest.raises(RuntimeError, match="freed"):
        graph.launch()


@on_card
def test_nothing_may_wait_in_a_capture(cupy):
    x, stream, event = cupy.ones(3), cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
    for waits in (
        lambda: x.get(), lambda: float(x[0]), lambda: bool(x[0]), x.sum().item,
        lambda: cupy.asarray(np.ones(2)), lambda: x.set(np.ones(3)), stream.synchronize,
        cupy.cuda.Device().synchronize, lambda: x[x > 0], lambda: x.__setitem__(x > 0, 1), lambda: cupy.nonzero(x),
        lambda: print(x), lambda: x[[0, 1]],
    ):  # fmt: skip
        with stream:
            stream.begin_capture()
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorStreamCaptureUnsupported"):
                waits()
            with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated"):
                stream.end_capture()
    with stream:
        stream.begin_capture()
        event.record()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorCapturedEvent"):
            event.synchronize()
        with pytest.raises(NotImplementedError, match="cuBLAS"):  # CuPy's own rule
            x @ x
        x[0] = 3  # a number, and a fill, may be captured
        cupy.full(3, 2.0)
        stream.end_capture()
    with pytest.raises(RuntimeError, match="default"):
        cupy.cuda.Stream.null.begin_capture()


# kernels


@compiled
@on_card
def test_kernels_share_memory_and_wait_for_each_other(cupy):
    module = cupy.RawModule(code=CODE, options=("-std=c++17", "-DUNUSED=1"))
    host = np.random.default_rng(0).random(1000, np.float32)
    x, y = cupy.asarray(host), cupy.empty(4, np.float32)
    module.get_function("sums")((4,), (256,), (x, y, np.int32(1000)))
    np.testing.assert_allclose(y.get(), [host[i : i + 256].sum() for i in range(0, 1000, 256)], rtol=1e-5)
    z = cupy.empty(8, np.float32)
    module.get_function("reversed")((1,), (8,), (x, z, 8, True), shared_mem=32)
    assert (z.get() == -host[:32:4][::-1]).all()
    module.get_function("unsynchronised")((1,), (32,), (cupy.empty(32, np.float32),))


@compiled
@on_card
def test_arguments_must_fit(cupy):
    sums = cupy.RawModule(code=CODE).get_function("sums")
    x, y, n = cupy.ones(256, np.float32), cupy.empty(1, np.float32), np.int32(256)
    for wrong in (
        (x, y, 256),  # a long long
        (x, y, np.float32(256)),
        (x, y),
        (x.astype(float), y, n),
        (np.ones(256, np.float32), y, n),
        (x, np.int32(0), n),
        (n, y, x),
    ):
        with pytest.raises(TypeError):
            sums((1,), (256,), wrong)
    for grid, block, shared in (((1,), (512,), 0), ((1, 70000), (256,), 0), ((1,), (256,), 50000)):
        with pytest.raises(cupy.cuda.runtime.CUDADriverError):
            sums(grid, block, (x, y, n), shared_mem=shared)


@compiled
@on_card
def test_what_kernels_do_wrong_is_found(cupy):
    module = cupy.RawModule(code=CODE)
    with pytest.raises(RuntimeError, match="overrun"):
        module.get_function("overrun")((1,), (64,), (cupy.empty(40, np.float32), np.int32(40)))
    with pytest.raises(RuntimeError, match="returned while others wait"):
        module.get_function("early")((1,), (8,), (cupy.empty(1, np.float32),))
    for bad, complaint in (
        ("int y = ;", "expected"), ("x[0] = INFINITY;", "NVRTC"), ("uint32_t i;", "NVRTC"), ("__syncwarp();", "warps"),
    ):  # fmt: skip
        with pytest.raises(cupy.cuda.compiler.CompileException, match=complaint):
            cupy.RawModule(code='extern "C" __global__ void f(float* x) {' + bad + "}").compile()
    with pytest.raises(cupy.cuda.compiler.CompileException, match="unrecognized option"):
        cupy.RawModule(code=CODE, options=("-O3",)).compile()
    with pytest.raises(RuntimeError, match="NOT_FOUND"):
        module.get_function("absent")


@compiled
@on_card
def test_kernels_are_captured(cupy):
    sums, stream = cupy.RawModule(code=CODE).get_function("sums"), cupy.cuda.Stream(non_blocking=True)
    x = cupy.ones(256, np.float32)
    with stream:
        stream.begin_capture()
        y = cupy.empty(1, np.float32)
        sums((1,), (256,), (x, y, np.int32(256)))
        graph = stream.end_capture()
    assert np.isnan(float(y[0]))
    x[...] = 2
    graph.launch()
    assert float(y[0]) == 512


@compiled
@on_card
def test_a_warp_multiplies_fragments(cupy):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (16, 16)), rng.integers(-9, 9, (16, 16))
    words = (b.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint32)  # two bfloat16 each
    product, c = cupy.RawModule(code=WARP).get_function("product"), cupy.empty((16, 8), np.float32)
    there = (cupy.asarray(a.astype(np.float32)), cupy.asarray(words), c)
    product((1,), (32,), (*there, np.int32(0), np.int32(0)))
    start = np.tile([[1, 2]], (16, 4)) + np.repeat([[0], [2]], 8, axis=0)
    np.testing.assert_array_equal(c.get(), a @ b[:8].T + start)
    with pytest.raises(RuntimeError, match="some wait for the others"):
        product((1,), (32,), (*there, np.int32(0), np.int32(1)))
    with pytest.raises(RuntimeError, match="multiple of 16 bytes"):
        product((1,), (32,), (*there, np.int32(4), np.int32(0)))
    with pytest.raises(cupy.cuda.compiler.CompileException, match="mma.sync.aligned.m8n8k4.*does not know it"):
        cupy.RawModule(code=WARP.replace("m16n8k16", "m8n8k4")).compile()


@compiled
@on_card
def test_nvrtc_has_the_last_word(cupy):
    from cupy import nvrtc

    if nvrtc.available():  # which g++ takes, and NVRTC finds ambiguous
        with pytest.raises(cupy.cuda.compiler.CompileException, match="sqrt"):
            cupy.RawModule(code='extern "C" __global__ void f(float* x) { x[0] = sqrt(2); }').compile()
    with pytest.raises(cupy.cuda.compiler.CompileException, match="min"):
        cupy.RawModule(code='extern "C" __global__ void f(float* x) { x[0] = min(1, 2ll); }').compile()


# cuBLAS


@on_card
def test_gemm_of_all_transposes_and_types(cupy):
    from itertools import product

    from cupy.cuda import cublas

    def gemm(transposed, sizes, a, b, c, compute, beta=0.0):
        """The matrices as (array, data type, leading dimension)."""
        scalar = np.float64 if compute == 70 else np.float32
        one, factor = np.array(1, scalar), np.array(beta, scalar)
        (a, *of_a), (b, *of_b), (c, *of_c) = a, b, c
        arguments = (*transposed, *sizes, one.ctypes.data, a.data.ptr, *of_a, b.data.ptr, *of_b, factor.ctypes.data)
        cublas.gemm(None, *arguments, c.data.ptr, *of_c, compute, -1)

    rng, (m, n, k) = np.random.default_rng(0), (5, 3, 4)
    for kind, compute, dtype, error in (
        (0, 68, np.float32, 1e-6), (0, 77, np.float32, 2e-3), (1, 70, np.float64, 1e-14),
    ):  # fmt: skip
        for ta, tb in product((0, 1), repeat=2):
            a, b, c = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
            stored_a, stored_b = (x.T if t else x for x, t in ((a, ta), (b, tb)))
            ga, gb, gc = (cupy.asarray(np.ascontiguousarray(x.T)) for x in (stored_a, stored_b, c))  # by columns
            of_a, of_b = (ga, kind, len(stored_a)), (gb, kind, len(stored_b))
            gemm((ta, tb), (m, n, k), of_a, of_b, (gc, kind, m), compute, beta=0.5)
            expected = a.astype(float) @ b.astype(float) + 0.5 * c
            np.testing.assert_allclose(gc.get().T, expected, rtol=error, atol=error * np.abs(expected).max())
    bits = (np.float32([[1.5, 2]]).view(np.uint32) >> 16).astype(np.uint16)  # bfloat16
    c, ga = cupy.empty((1, 1), np.float32), cupy.asarray(bits)
    gemm((0, 0), (1, 1, 2), (ga, 14, 1), (ga, 14, 2), (c, 0, 1), 68)
    assert float(c[0, 0]) == 6.25  # and C's NaN was not read, since beta is 0
    with pytest.raises(cublas.CUBLASError, match="NOT_SUPPORTED"):
        gemm((0, 0), (1, 1, 2), (ga, 14, 1), (ga, 14, 2), (c, 1, 1), 68)
    with pytest.raises(RuntimeError, match="beyond"):
        gemm((0, 0), (1, 1, 9), (ga, 14, 1), (ga, 14, 9), (c, 0, 1), 68)


@compiled
@on_card
def test_the_c_library_is_captured(cupy):
    import ctypes

    from cuda import pathfinder

    library, handle = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path), ctypes.c_void_p()
    x, y, stream = cupy.ones((4, 4), np.float32), cupy.empty((4, 4), np.float32), cupy.cuda.Stream(non_blocking=True)
    assert library.cublasCreate_v2(ctypes.byref(handle)) == 0
    one, zero, px, py = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_void_p(x.data.ptr), ctypes.c_void_p(y.data.ptr)
    arguments = (0, 0, 4, 4, 4, ctypes.byref(one), px, 0, 4, px, 0, 4, ctypes.byref(zero), py, 0, 4, 68, -1)
    with stream:
        stream.begin_capture()
        assert library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr)) == 0
        assert library.cublasGemmEx(handle, *arguments) == 0
        graph = stream.end_capture()
    assert np.isnan(y.get()).all()
    graph.launch()
    assert (y.get() == 4).all()
    assert library.cublasSetWorkspace_v2(handle, ctypes.c_void_p(12345), ctypes.c_size_t(64)) == 7
