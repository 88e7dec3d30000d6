// The matrix units, which the 32 threads of a warp use together (sm_80 and later). They multiply numbers of fewer bits
// than a float has, and add the products up as floats. FACTOR says which numbers:
//   float     TF32: of a float 10 bits after the point count. One number is a word of 32 bits
//   bfloat16  7 bits after the point. Two numbers are a word

constexpr int PER_WORD = 4 / sizeof(FACTOR);  // numbers in a word

// A fragment is 16 rows of 8 words of a matrix, spread over a warp: four squares of 8 rows by 4 words, and of each
// square thread ``lane`` has one word, that of row lane / 4 and place lane % 4. Products want the squares of A in this
// order. Those of B have another, so that the two words which go into one product lie in neighbouring registers, where
// the unit takes them from: else each would be moved there first.
//
//                    of A: words 0..3   4..7           of B: words 0..3   4..7
//     rows 0 .. 7          word[0]      word[2]              word[0]      word[1]
//     rows 8 .. 15         word[1]      word[3]              word[2]      word[3]
struct Fragment {
    unsigned word[4];
};

// Where thread ``lane`` finds what it has to point to when a fragment is read: of square lane / 8 row lane % 8.
__device__ __forceinline__ int a_row(int lane) { return lane % 16; }
__device__ __forceinline__ int a_word(int lane) { return lane / 16 * 4; }
__device__ __forceinline__ int b_row(int lane) { return lane / 16 * 8 + lane % 8; }
__device__ __forceinline__ int b_word(int lane) { return lane / 8 % 2 * 4; }

// Read from shared memory; each thread points to the four words of one row of one square, 16 bytes at a multiple of 16.
__device__ __forceinline__ Fragment read_fragment(const unsigned* row)
{
    Fragment f;
    unsigned place = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(f.word[0]), "=r"(f.word[1]), "=r"(f.word[2]), "=r"(f.word[3])
                 : "r"(place) : "memory");
    return f;
}

// sum[16 rows of a, 8 rows of b] += a b', with rows 0 to 7 of fragment b, or 8 to 15 (upper). Of the sums thread lane
// has sum[0] and sum[1], row lane / 4, columns 2 (lane % 4) and the next; and sum[2] and sum[3], the same 8 rows
// further down.
__device__ __forceinline__ void multiply_add(float (&sum)[4], const Fragment& a, const Fragment& b, const int upper)
{
    if (PER_WORD == 1)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
            " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]),
              "r"(b.word[2 * upper]), "r"(b.word[2 * upper + 1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
            " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]),
              "r"(b.word[2 * upper]), "r"(b.word[2 * upper + 1]));
}

// The word of one float, rounded to the nearest TF32: the units themselves cut bits off. So half of the last bit that
// stays is added: the float's own power of two (its sign and exponent, with no bit after the point), times 2^-11. NaN
// and infinity remain what they are.
__device__ __forceinline__ unsigned tf32(float x)
{
    float power = __uint_as_float(__float_as_uint(x) & 0xff800000);
    return __float_as_uint(fmaf(power, 1.0f / 2048, x));
}

// The word of two floats, each rounded to the nearest bfloat16: the first in the lower half.
__device__ __forceinline__ unsigned bfloat16s(float first, float second)
{
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
    return word;
}
