// What every kernel here shares. NVRTC compiles each file once for each choice of these:
//   REAL    float or double: what is computed with
//   WIDTH   1 or 4: how many neighbouring channels a thread computes. Four floats are one load of 16 bytes, the widest;
//           it takes channels that are a multiple of four
//   FACTOR  what im2col writes: REAL, or bfloat16 for the multiplication
// An image is (B, H, W, C), channels last, so that the threads of a warp, 32 neighbours, read neighbouring numbers.

struct alignas(WIDTH * sizeof(REAL) > 16 ? 16 : WIDTH * sizeof(REAL)) Group {
    REAL v[WIDTH];
};

struct bfloat16 {  // the upper half of a float, rounded to nearest, ties to even
    unsigned short bits;
    bfloat16() = default;
    __device__ bfloat16(float x) {
        unsigned int u = __float_as_uint(x);
        bits = x != x ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;  // rounding could turn NaN into infinity
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
