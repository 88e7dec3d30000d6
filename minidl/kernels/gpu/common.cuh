// What every kernel here shares. NVRTC compiles each file once for each choice of these:
//   REAL        float or double: what is computed with
//   ACTIVATION  what images are in memory: REAL, or bfloat16, which is a float once it is read, and rounded as it is
//               written. All else, weights, statistics and sums, is REAL in memory too
//   WIDTH       1 or 4: how many neighbouring channels a thread computes. Four floats are one load of 16 bytes, the
//               widest; it takes channels that are a multiple of four
//   FACTOR      what products multiply, and im2col writes: REAL or bfloat16
// An image is (B, H, W, C), channels last, so that the threads of a warp, 32 neighbours, read neighbouring numbers.

struct alignas(WIDTH * sizeof(REAL) > 16 ? 16 : WIDTH * sizeof(REAL)) Group {
    REAL v[WIDTH];
};

struct bfloat16 {  // the upper half of a float, rounded to nearest, ties to even
    unsigned short bits;
    bfloat16() = default;
    __device__ bfloat16(float x) {
#if __CUDA_ARCH__ >= 800
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
        unsigned int u = __float_as_uint(x);
        bits = x != x ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;  // rounding could turn NaN into infinity
#endif
    }
    __device__ operator float() const { return __uint_as_float((unsigned int)bits << 16); }
};

struct alignas(WIDTH * sizeof(ACTIVATION) > 16 ? 16 : WIDTH * sizeof(ACTIVATION)) Activations {  // a Group in memory
    ACTIVATION v[WIDTH];
    Activations() = default;
    __device__ Activations(const Group& group) {
        for (int j = 0; j < WIDTH; j++) v[j] = ACTIVATION(group.v[j]);
    }
    __device__ operator Group() const {
        Group group;
        for (int j = 0; j < WIDTH; j++) group.v[j] = REAL(v[j]);
        return group;
    }
};

struct alignas(WIDTH * sizeof(FACTOR) > 16 ? 16 : WIDTH * sizeof(FACTOR)) Factors {
    FACTOR v[WIDTH];
};

__device__ inline long long thread_number() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long threads() { return (long long)gridDim.x * blockDim.x; }

// The step with which as many threads as possible go through rows of C numbers, each staying with one channel: what
// belongs to the channel it computes once. A thread whose number is not below the step has nothing to do.
__device__ inline long long channel_step(int C) { return threads() / C * C; }
