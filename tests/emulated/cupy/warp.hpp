// What the 32 threads of a warp do together: fragments of the matrix units, as plain loops. Each thread lays down what
// it has and waits for its warp; then the first that goes on does the work of all 32, from what they have laid down.
namespace emulated {

struct Laid {
    unsigned in[16], out[4];
};
static Laid laid[2][max_threads];  // in turn: a thread may already be at the next instruction while others still read
static unsigned laid_count[max_threads], done_count[max_threads / 32];

static void forget_warps() {
    memset(laid_count, 0, sizeof laid_count);
    memset(done_count, 0, sizeof done_count);
}

template <class Work>
static unsigned* together(int line, std::initializer_list<unsigned> in, Work work) {
    unsigned number = laid_count[current]++;
    unsigned* to = laid[number % 2][current].in;
    for (unsigned word : in) *to++ = word;
    synchronize_warp(line);
    if (done_count[current / 32] == number) {
        done_count[current / 32]++;
        work(&laid[number % 2][current / 32 * 32]);
    }
    return laid[number % 2][current].out;
}

// A shared address is a card's own: here, how far it is from the dynamic shared memory.
static inline size_t shared_address(const void* p) { return (size_t)(unsigned)(int)((const char*)p - dynamic_shared); }
static inline const char* from_shared(unsigned address) { return dynamic_shared + (int)address; }

// Four squares of 8 rows by 16 bytes; the address of row r of square q is thread 8 q + r's.
static inline void ptx_ldmatrix_sync_aligned_m8n8_x4_shared_b16(
    unsigned& r0, unsigned& r1, unsigned& r2, unsigned& r3, unsigned address) {
    unsigned* out = together(__LINE__, {address}, [](Laid* warp) {
        for (int lane = 0; lane < 32; lane++)
            for (int square = 0; square < 4; square++) {
                unsigned row = warp[8 * square + lane / 4].in[0];
                if ((size_t)from_shared(row) % 16) misaligned = true;
                memcpy(&warp[lane].out[square], from_shared(row) + 4 * (lane % 4), 4);
            }
    });
    r0 = out[0], r1 = out[1], r2 = out[2], r3 = out[3];
}

static inline float as_float(unsigned word) {
    float x;
    memcpy(&x, &word, 4);
    return x;
}
static inline unsigned as_word(float x) {
    unsigned word;
    memcpy(&word, &x, 4);
    return word;
}
static inline float tf32_in(unsigned word, int) { return as_float(word & 0xffffe000); }  // the other bits are not there
static inline float bfloat16_in(unsigned word, int half) { return as_float(half ? word & 0xffff0000 : word << 16); }

// d (16 x 8) = a (16 x K) b (K x 8) + c, K = 8 words of ``per`` numbers each. Of a thread, g = lane / 4 and t = lane %
// 4: a: words (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); b: words (t, g), (t + 4, g); c, d: (g, 2t), (g, 2t + 1),
// and 8 down.
static inline void multiply_fragments(Laid* warp, float (*number)(unsigned, int), int per) {
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            Laid& target = warp[row % 8 * 4 + column / 2];
            int place = row / 8 * 2 + column % 2;
            float sum = as_float(target.in[6 + place]);
            for (int word = 0; word < 8; word++)
                for (int half = 0; half < per; half++) {
                    float a = number(warp[row % 8 * 4 + word % 4].in[row / 8 + word / 4 * 2], half);
                    float b = number(warp[column * 4 + word % 4].in[4 + word / 4], half);
                    sum += a * b;
                }
            target.out[place] = as_word(sum);
        }
}

#define EMULATED_MMA(name, number, per)                                                                              \
    static inline void name(float& d0, float& d1, float& d2, float& d3, unsigned a0, unsigned a1, unsigned a2,       \
                            unsigned a3, unsigned b0, unsigned b1, float c0, float c1, float c2, float c3) {         \
        unsigned* out = together(                                                                                    \
            __LINE__, {a0, a1, a2, a3, b0, b1, as_word(c0), as_word(c1), as_word(c2), as_word(c3)},                  \
            [](Laid* warp) { multiply_fragments(warp, number, per); });                                              \
        d0 = as_float(out[0]), d1 = as_float(out[1]), d2 = as_float(out[2]), d3 = as_float(out[3]);                  \
    }
EMULATED_MMA(ptx_mma_sync_aligned_m16n8k8_row_col_f32_tf32_tf32_f32, tf32_in, 1)
EMULATED_MMA(ptx_mma_sync_aligned_m16n8k16_row_col_f32_bf16_bf16_f32, bfloat16_in, 2)

static inline unsigned bfloat16_of(float x) {
    unsigned word = as_word(x);
    return x != x ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
}
static inline void ptx_cvt_rn_bf16_f32(unsigned short& to, float x) { to = bfloat16_of(x); }
static inline void ptx_cvt_rn_bf16x2_f32(unsigned& to, float upper, float lower) {
    to = bfloat16_of(upper) << 16 | bfloat16_of(lower);
}

}  // namespace emulated

#define __cvta_generic_to_shared(p) emulated::shared_address(p)
