// Convolution on the matrix units, without columns: the gradient by the weight.
//
//     dw[n; kh, kw, c] = sum over pixels (b, oh, ow) of  x[b, oh SH - PH + kh, ow SW - PW + kw, c] * dy[b, oh, ow, n]
//
// A's rows are the places (kh, kw, c) of a window, B's the n, and both of them lie side by side in memory while the
// summed pixels do not: all patches are ``across``. A gradient has few numbers and each is a long sum. So the pixels
// are shared out among many blocks, each of which writes a gradient of its own; add_parts then adds these up, in their
// order.

struct Pixel {  // (b, oh, ow) of y, number m in all
    int m, b, oh, ow;
};

struct Tap {  // a place in the window: x[.., h + kh, w + kw, ..], so much further on in memory
    int kh, kw, at;
};

__device__ __forceinline__ void advance_one(Pixel& pixel, int OH, int OW)
{
    pixel.m++;
    if (++pixel.ow < OW) return;
    pixel.ow = 0;
    if (++pixel.oh < OH) return;
    pixel.oh = 0, pixel.b++;
}

__device__ __forceinline__ void advance(Pixel& pixel, int OH, int OW)  // by DEPTH
{
    pixel.m += DEPTH;
    for (pixel.ow += DEPTH; pixel.ow >= OW;) {
        pixel.ow -= OW;
        if (++pixel.oh == OH) pixel.oh = 0, pixel.b++;
    }
}

// Blocks (tiles, parts): each part sums ``share`` pixels, a multiple of DEPTH.
extern "C" __global__ void __launch_bounds__(THREADS) conv_by_weight(
    const ACTIVATION* dy, const ACTIVATION* x, float* dw, int M, int share, int H, int W, int C, int N, int KH, int KW,
    int SH, int SW, int PH, int PW, int OH, int OW)
{
    __shared__ __align__(16) Tile tiles[2];
    int across = (N + COLUMNS - 1) / COLUMNS, n = blockIdx.x % across * COLUMNS, row = blockIdx.x / across * ROWS;
    int places = KH * KW * C, first = blockIdx.y * share, last = min(M, first + share);
    Tap taps[PATCHES][4 / WIDTH];
    #pragma unroll
    for (int p = 0; p < PATCHES; p++)
        #pragma unroll
        for (int i = 0; i < 4; i += WIDTH) {
            int place = min(row + p * THREADS + across_row(i), places - WIDTH);  // beyond the last one nobody writes
            int kh = place / C / KW, kw = place / C % KW;
            taps[p][i / WIDTH] = {kh, kw, (kh * W + kw) * C + place % C};
        }
    int column = min(n + across_row(0), N - WIDTH), m = first + across_k();
    Pixel here = {m, m / (OH * OW), m / OW % OH, m % OW};
    Sums sums;
    clear(sums);
    Patch a[PATCHES], b;
    auto fetch = [&] {
        Pixel pixel = here;
        #pragma unroll
        for (int k = 0; k < 4; k++) {
            bool within = pixel.m < last;
            int h = pixel.oh * SH - PH, w = pixel.ow * SW - PW, at = ((pixel.b * H + h) * W + w) * C;
            #pragma unroll
            for (int p = 0; p < PATCHES; p++)
                #pragma unroll
                for (int i = 0; i < 4; i += WIDTH) {
                    Tap tap = taps[p][i / WIDTH];
                    Group numbers = {};
                    if (within && (unsigned)(h + tap.kh) < (unsigned)H && (unsigned)(w + tap.kw) < (unsigned)W)
                        numbers = *(const Activations*)(x + (at + tap.at));
                    #pragma unroll
                    for (int l = 0; l < WIDTH; l++) a[p].of[i + l][k] = numbers.v[l];
                }
            #pragma unroll
            for (int i = 0; i < 4; i += WIDTH) {
                Group numbers = {};
                if (within) numbers = *(const Activations*)(dy + (pixel.m * N + min(column + i, N - WIDTH)));
                #pragma unroll
                for (int l = 0; l < WIDTH; l++) b.of[i + l][k] = numbers.v[l];
            }
            advance_one(pixel, OH, OW);
        }
        advance(here, OH, OW);
    };
    auto put_into = [&](Tile& tile) {
        #pragma unroll
        for (int p = 0; p < PATCHES; p++) put(a[p], tile.a, p, true);
        put(b, tile.b, 0, true);
        __syncthreads();
    };
    fetch();
    put_into(tiles[0]);
    int steps = (last - first + DEPTH - 1) / DEPTH;
    for (int step = 0; step < steps; step++) {
        fetch();  // is on its way meanwhile; of the last step nobody multiplies it
        multiply_tile(tiles[step % 2], sums);
        put_into(tiles[(step + 1) % 2]);
    }
    float* out = dw + (long long)blockIdx.y * N * places;
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int j = 0; j < 8; j++)
            #pragma unroll
            for (int k = 0; k < 4; k++) {
                int place = row + sum_row(i, k / 2), to = n + sum_column(j) + k % 2;
                if (place < places && to < N) out[(long long)to * places + place] = sums.of[i][j][k];
            }
}
