// CUDA C for g++: a block's threads are fibers of one processor thread, which change places at __syncthreads().
#include <cfloat>
#include <climits>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <math.h>
#include <sys/mman.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#if defined(__SSE__) && EMULATED_FLUSH
#include <xmmintrin.h>
#endif
#undef INFINITY  // as in NVRTC, which has no host headers
#undef NAN

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#ifdef EMULATED_POISON_SHARED
#define __shared__ static __attribute__((section("emulated_shared")))
#else
#define __shared__ static
#endif
#define __CUDA_ARCH__ 900
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
#define EMULATED_VECTORS(type, name)                                                           \
    struct __align__(2 * sizeof(type)) name##2 { type x, y; };                                 \
    struct name##3 { type x, y, z; };                                                          \
    struct __align__(sizeof(type) < 8 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; };   \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                    \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }         \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
#define uint3 emulated_uint3  // the vector of the same name and members
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(double, double)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(unsigned, uint)
EMULATED_VECTORS(short, short)
EMULATED_VECTORS(unsigned short, ushort)
EMULATED_VECTORS(signed char, char)
EMULATED_VECTORS(unsigned char, uchar)
EMULATED_VECTORS(long long, longlong)
#undef uint3

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace emulated {

constexpr unsigned max_threads = 1024, max_shared = 232448, guard = 1024, stack_size = 1 << 18;
alignas(1024) static char dynamic_shared[max_shared + guard];
enum State : char { fresh, waiting, with_warp, finished };
static State state[max_threads];
static int line_of[max_threads];
static jmp_buf scheduler, place_of[max_threads], idle_stack[max_threads];
static unsigned current, next_thread, threads, stacks, idle[max_threads], idle_count;
static bool starting, misaligned;
static char* stack_memory;
static void (*kernel)();
static void (*call)(void**);
static void** arguments;

static inline void become(unsigned t) {
    current = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

// One stack runs thread after thread until one of them waits; that thread then keeps it until it has finished.
static void work(unsigned own) {
    for (;;) {
        call(arguments);
        state[current] = finished;
        if (starting && next_thread < threads) {
            become(next_thread++);
            continue;
        }
        idle[idle_count++] = own;
        if (!_setjmp(idle_stack[own])) _longjmp(scheduler, 1);
    }
}

static __attribute__((noinline)) void start_or_wake() {
    if (_setjmp(scheduler)) return;
    if (idle_count) _longjmp(idle_stack[idle[--idle_count]], 1);
    if (!stack_memory)
        stack_memory = (char*)mmap(nullptr, (size_t)max_threads * stack_size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    static ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack_memory + (size_t)stacks * stack_size;
    context.uc_stack.ss_size = stack_size;
    makecontext(&context, (void (*)())work, 1, stacks++);
    setcontext(&context);
}

static __attribute__((noinline)) void go_on(unsigned t) {
    become(t);
    if (!_setjmp(scheduler)) _longjmp(place_of[t], 1);
}

static __attribute__((noinline)) void wait_here(int line, State how) {
    state[current] = how;
    line_of[current] = line;
    if (!_setjmp(place_of[current])) _longjmp(scheduler, 1);
}

static inline __attribute__((always_inline)) void synchronize(int line, State how = waiting) {
    asm volatile("" ::: "memory");
    wait_here(line, how);
    asm volatile("" ::: "memory");
}
static inline void synchronize_warp(int line) { synchronize(line, with_warp); }
static void forget_warps();

enum Fault { none, left_early, different_barriers, beyond_shared, warp_apart, not_aligned };

// Until no warp is at an instruction that its threads do together: one warp as far as it comes, then the next.
static Fault run_warps(bool backwards) {
    for (unsigned first = 0; first < threads; first += 32)
        for (;;) {
            unsigned there = 0, alike = 0;
            for (unsigned t = first; t < first + 32 && t < threads; t++) {
                there += state[t] == with_warp;
                alike += state[t] == with_warp && line_of[t] == line_of[first];
            }
            if (!there) break;
            if (alike < 32) return warp_apart;
            for (unsigned i = 0; i < 32; i++) go_on(first + (backwards ? 31 - i : i));
            if (misaligned) return not_aligned;
        }
    return none;
}

static Fault run_block() {
    memset(state, fresh, threads);
    forget_warps();
    misaligned = false;
    for (starting = true, next_thread = 0; next_thread < threads;) {
        become(next_thread++);
        start_or_wake();
    }
    starting = false;
    for (bool backwards = true;; backwards = !backwards) {  // orders that differ show where a barrier is missing
        if (Fault fault = run_warps(backwards)) {
            stacks = idle_count = 0;
            return fault;
        }
        unsigned left = 0;
        for (unsigned t = 0; t < threads; t++) left += state[t] == waiting;
        if (left == 0) return none;
        for (unsigned t = 0; t < threads; t++) {
            Fault fault = left < threads ? left_early : line_of[t] != line_of[0] ? different_barriers : none;
            if (fault) {
                stacks = idle_count = 0;
                return fault;
            }
        }
        for (unsigned i = 0; i < threads; i++) go_on(backwards ? threads - 1 - i : i);
    }
}

static void poison(char* from, char* to) {
    for (; from + 1 < to; from += 2) memcpy(from, "\xfd\xff", 2);
}

#ifdef EMULATED_POISON_SHARED
extern "C" char __start_emulated_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_emulated_shared[] __attribute__((weak, visibility("hidden")));
#endif

template <class... P, size_t... I>
static void call_kernel(void** args, std::index_sequence<I...>) {
    ((void (*)(P...))kernel)(*(typename std::remove_reference<P>::type*)args[I]...);
}
template <class... P>
static void call_with(void** args) { call_kernel<P...>(args, std::index_sequence_for<P...>{}); }

template <class... P>
static int launch(void (*f)(P...), const unsigned* dims, unsigned shared, void** args) {
    kernel = (void (*)())f, call = call_with<P...>, arguments = args;
    gridDim = {dims[0], dims[1], dims[2]}, blockDim = {dims[3], dims[4], dims[5]};
    threads = blockDim.x * blockDim.y * blockDim.z;
#if defined(__SSE__) && EMULATED_FLUSH
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);  // CuPy compiles with -ftz=true
#endif
    Fault fault = none;
    unsigned long long blocks = (unsigned long long)gridDim.x * gridDim.y * gridDim.z;
    while (blocks-- && !fault) {  // from last to first: nothing may depend on it
        blockIdx = {(unsigned)(blocks % gridDim.x), (unsigned)(blocks / gridDim.x % gridDim.y),
                    (unsigned)(blocks / gridDim.x / gridDim.y)};
        if (shared) poison(dynamic_shared, dynamic_shared + shared + guard);
#ifdef EMULATED_POISON_SHARED
        if (__start_emulated_shared) poison(__start_emulated_shared, __stop_emulated_shared);
#endif
        fault = run_block();
        if (shared && !fault)
            for (unsigned i = shared + shared % 2; i < shared + guard; i += 2)
                if (memcmp(dynamic_shared + i, "\xfd\xff", 2)) fault = beyond_shared;
    }
#if defined(__SSE__) && EMULATED_FLUSH
    _mm_setcsr(mode);
#endif
    return fault;
}

template <class T>
static char kind() {
    return std::is_same<T, bool>::value ? 'b' : std::is_floating_point<T>::value ? 'f'
         : std::is_integral<T>::value ? (std::is_signed<T>::value ? 'i' : 'u') : 'v';
}
template <class T>
struct Size { static constexpr int value = sizeof(T); };
template <>
struct Size<void> { static constexpr int value = 0; };

template <class T>
static int describe_one(char* to) {  // a pointer: p, what it points to; anything else: its kind and size
    using Target = typename std::remove_cv<typename std::remove_pointer<T>::type>::type;
    return sprintf(to, "%s%c%d ", std::is_pointer<T>::value ? "p" : "", kind<Target>(), Size<Target>::value);
}
template <class... P>
static const char* describe(void (*)(P...)) {
    static char text[4096];
    char* to = text;
    int unused[] = {0, (to += describe_one<P>(to), 0)...};
    (void)unused;
    *to = 0;
    return text;
}

}  // namespace emulated

#define __syncthreads() emulated::synchronize(__LINE__)

// just these: as in CUDA, int with long long is ambiguous
#define EMULATED_MIN_MAX(result, first, second)                                                            \
    static inline result min(first a, second b) { return (result)b < (result)a ? (result)b : (result)a; } \
    static inline result max(first a, second b) { return (result)a < (result)b ? (result)b : (result)a; }
EMULATED_MIN_MAX(int, int, int)
EMULATED_MIN_MAX(unsigned, unsigned, unsigned)
EMULATED_MIN_MAX(unsigned, int, unsigned)
EMULATED_MIN_MAX(unsigned, unsigned, int)
EMULATED_MIN_MAX(long, long, long)
EMULATED_MIN_MAX(unsigned long, unsigned long, unsigned long)
EMULATED_MIN_MAX(unsigned long, long, unsigned long)
EMULATED_MIN_MAX(unsigned long, unsigned long, long)
EMULATED_MIN_MAX(long long, long long, long long)
EMULATED_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
EMULATED_MIN_MAX(unsigned long long, long long, unsigned long long)
EMULATED_MIN_MAX(unsigned long long, unsigned long long, long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline double min(float a, double b) { return fmin(a, b); }
static inline double max(float a, double b) { return fmax(a, b); }
static inline double min(double a, float b) { return fmin(a, b); }
static inline double max(double a, float b) { return fmax(a, b); }

template <class To, class From>
static inline To emulated_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return emulated_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
