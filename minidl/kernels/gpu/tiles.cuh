// A tile of a matrix product, by one block on the matrix units:
//     result[row, column] = sum over k of  A[row, k] * B[column, k],    ROWS rows of A, COLUMNS rows of B.
// The sum is done DEPTH numbers at a time. While the units multiply what lies in one half of the shared memory, the
// next DEPTH numbers of each row are on their way from the card's memory into registers; then they are rounded, once,
// and put into the other half. Where A and B are found is the kernels' own affair: it is all that tells them apart.

constexpr int ROWS = 128;
constexpr int DEPTH = 16;
constexpr int THREADS = COLUMNS;         // 64 or 128: a warp has 64 x 64 of the tile's sums, its threads 128 each
constexpr int PATCHES = ROWS / THREADS;  // of A that a thread fetches at a time; of B it is one
constexpr int WORDS = DEPTH / PER_WORD;  // in a row

// Eight neighbouring rows are read at once, 16 bytes of each. Rows that are 16 bytes longer than they need be begin in
// eight different groups of the shared memory's banks, and nobody waits for another.
constexpr int PITCH = WORDS + 4;

struct Tile {  // one half of the shared memory
    unsigned a[ROWS][PITCH], b[COLUMNS][PITCH];
};

struct Sums {  // [16 rows][8 columns][as multiply_add says] of a warp's 64 x 64
    float of[4][8][4];
};

// What a thread fetches at a time: four rows of A or B by four numbers of the sum's. There are two ways to share a tile
// out in patches, each with loads of 16 bytes, and threads side by side that read what lies side by side:
//   along   where neighbours in memory are neighbours in the sum. The four rows of a patch are THREADS / 4 apart
//   across  where neighbours in memory are neighbouring rows: a patch is four such rows, turned round in registers
struct Patch {
    float of[4][4];  // [row][k]
};

__device__ __forceinline__ int along_k() { return threadIdx.x / 8 % 4 * 4; }
__device__ __forceinline__ int along_row(int i) { return threadIdx.x % 8 + threadIdx.x / 32 * 8 + i * (THREADS / 4); }
__device__ __forceinline__ int across_k() { return threadIdx.x % 4 * 4; }
__device__ __forceinline__ int across_row(int i) { return threadIdx.x / 4 * 4 + i; }

// Round a patch and put it where it belongs; the p-th patch of a thread lies p * THREADS rows further down.
__device__ __forceinline__ void put(const Patch& patch, unsigned (*rows)[PITCH], int p, const bool across)
{
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const float(&v)[4] = patch.of[i];
        int row = p * THREADS + (across ? across_row(i) : along_row(i)), k = across ? across_k() : along_k();
        unsigned* to = rows[row] + k / PER_WORD;
        if (PER_WORD == 1) *(uint4*)to = make_uint4(tf32(v[0]), tf32(v[1]), tf32(v[2]), tf32(v[3]));
        else *(uint2*)to = make_uint2(bfloat16s(v[0], v[1]), bfloat16s(v[2], v[3]));
    }
}

__device__ __forceinline__ int lane() { return threadIdx.x % 32; }
__device__ __forceinline__ int warp_row() { return threadIdx.x / 32 % 2 * 64; }     // where a warp's 64 x 64 begin
__device__ __forceinline__ int warp_column() { return threadIdx.x / 64 * 64; }

__device__ __forceinline__ void clear(Sums& sums)
{
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int j = 0; j < 8; j++)
            #pragma unroll
            for (int k = 0; k < 4; k++) sums.of[i][j][k] = 0;
}

// sums += A B' of what lies in a tile: of each number that a warp reads it makes 64 products.
__device__ __forceinline__ void multiply_tile(const Tile& tile, Sums& sums)
{
    #pragma unroll
    for (int word = 0; word < WORDS; word += 8) {
        const unsigned(*a_rows)[PITCH] = &tile.a[warp_row() + a_row(lane())];
        const unsigned(*b_rows)[PITCH] = &tile.b[warp_column() + b_row(lane())];
        Fragment a[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) a[i] = read_fragment(a_rows[16 * i] + word + a_word(lane()));
        #pragma unroll
        for (int j = 0; j < 4; j++) {
            Fragment b = read_fragment(b_rows[16 * j] + word + b_word(lane()));
            #pragma unroll
            for (int i = 0; i < 4; i++) {
                multiply_add(sums.of[i][2 * j], a[i], b, 0);
                multiply_add(sums.of[i][2 * j + 1], a[i], b, 1);
            }
        }
    }
}

// Where the sums of a thread belong within the tile: sums.of[i][j][2 * down] and the next one.
__device__ __forceinline__ int sum_row(int i, int down) { return warp_row() + 16 * i + 8 * down + lane() / 4; }
__device__ __forceinline__ int sum_column(int j) { return warp_column() + 8 * j + lane() % 4 * 2; }
