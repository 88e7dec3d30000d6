// Convolution on the matrix units, without columns: the forward pass and the gradient by the input.
//
// Both are
//     result[pixel, n] = sum over taps (th, tw), channels c of  image[pixel's window; th, tw, c] kernel[n; th, tw, c].
// A's rows are the windows, read where they lie in the image; B's rows are the kernels. For the gradient by the input
// the image is dy, and the kernels are turned round. At stride 2, the pixels of dx with even and those with odd places
// are seen by different taps: so each such class of pixels, a phase, is a convolution of its own at stride 1, and
// nothing is multiplied with zeros. All phases are one launch, as are the parts of sums that are split.
//
// The sum goes over ``chunk`` channels, then over the taps, then over the next chunk. Windows overlap, and so what one
// tap has read lies in the multiprocessor's own cache for the next, where chunks are small. chunk is C, or 16 and C a
// multiple of it.

struct Images {  // B of H x W pixels of C channels, the channels that are summed
    const ACTIVATION* at;
    int H, W, C;
};

struct Windows {  // those of one phase: result (i, j) sees pixels (i * step_h + from_h + th, j * step_w + from_w + tw)
    int rows, columns;  // of results in an image
    int step_h, step_w, from_h, from_w, TH, TW;
};

struct Kernels {  // number [n; th, tw, c] is at[first + n * n_step + th * th_step + tw * tw_step + c * c_step]
    const float* at;
    int N, n_step, c_step, first, th_step, tw_step;
};

struct Window {  // of one row of A
    int at;         // where in memory it begins, which may be outside the image
    unsigned seen;  // its taps within the image: of row th bit th, of column tw bit 16 + tw
};

struct Place {  // within the sum
    int c0, th, tw, c;  // channel c0 + c, where c0 is the first of its chunk
};

__device__ __forceinline__ Place place_of(int k, const Windows& windows, int chunk)
{
    int tap = k / chunk % (windows.TH * windows.TW);
    return {k / chunk / (windows.TH * windows.TW) * chunk, tap / windows.TW, tap % windows.TW, k % chunk};
}

__device__ __forceinline__ void next_tap(Place& place, const Windows& windows, int chunk)
{
    place.c -= chunk;
    if (++place.tw < windows.TW) return;
    place.tw = 0;
    if (++place.th < windows.TH) return;
    place.th = 0, place.c0 += chunk;
}

__device__ __forceinline__ void advance(Place& place, const Windows& windows, int chunk)  // by DEPTH numbers
{
    for (place.c += DEPTH; place.c >= chunk;) next_tap(place, windows, chunk);
}

__device__ __forceinline__ void advance_one(Place& place, const Windows& windows, int chunk)
{
    if (++place.c >= chunk) next_tap(place, windows, chunk);
}

// A bit for each tap: does from + tap lie in the image?
__device__ __forceinline__ unsigned inside(int from, int taps, int size)
{
    int first = max(0, -from), last = min(taps, size - from);
    return first < last ? (1u << last) - (1u << first) : 0;
}

__device__ __forceinline__ Window window_of(int row, const Images& images, const Windows& windows)
{
    int j = row % windows.columns, i = row / windows.columns % windows.rows, b = row / windows.columns / windows.rows;
    int h = i * windows.step_h + windows.from_h, w = j * windows.step_w + windows.from_w;
    return {((b * images.H + h) * images.W + w) * images.C,
            inside(h, windows.TH, images.H) | inside(w, windows.TW, images.W) << 16};
}

__device__ __forceinline__ Patch fetch_windows(
    const Images& images, const Window* of, const Windows& windows, Place place, int chunk)
{
    Patch patch;
    #pragma unroll
    for (int k = 0; k < 4; k += WIDTH) {
        int offset = (place.th * images.W + place.tw) * images.C + place.c0 + place.c;
        unsigned wanted = 1u << place.th | 0x10000u << place.tw;
        if (place.c0 >= images.C) wanted = 0x8000;  // beyond the sum: a tap that no window sees
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            Group numbers = {};
            if ((wanted & ~of[i].seen) == 0) numbers = *(const Activations*)(images.at + (of[i].at + offset));
            #pragma unroll
            for (int l = 0; l < WIDTH; l++) patch.of[i][k + l] = numbers.v[l];
        }
        if (WIDTH < 4) advance_one(place, windows, chunk);
    }
    return patch;
}

// Of rows beyond the last kernel, whose sums nobody writes, it is the last one: ``at`` is where the rows begin.
__device__ __forceinline__ Patch fetch_kernels(
    const Kernels& kernels, const int* at, const Windows& windows, Place place, int C, int chunk, const bool turned)
{
    Patch patch;
    const int k_step = turned ? 1 : WIDTH, i_step = turned ? WIDTH : 1;
    #pragma unroll
    for (int k = 0; k < 4; k += k_step) {
        int offset = place.th * kernels.th_step + place.tw * kernels.tw_step + (place.c0 + place.c) * kernels.c_step;
        #pragma unroll
        for (int i = 0; i < 4; i += i_step) {
            Group numbers = {};
            if (place.c0 < C) numbers = *(const Group*)(kernels.at + (at[i] + offset));
            #pragma unroll
            for (int l = 0; l < WIDTH; l++) patch.of[turned ? i + l : i][turned ? k : k + l] = numbers.v[l];
        }
        if (WIDTH < 4) advance_one(place, windows, chunk);
        else place.c++;  // of the same chunk, where there is another
    }
    return patch;
}

struct Fetched {  // by a thread, of DEPTH numbers of the sum
    Patch a[PATCHES], b;
};

// The sums of the tile that begins at (row, n), over the share of the summed numbers that is this block's.
__device__ __forceinline__ void sum_windows(
    Sums& sums, Tile (&tiles)[2], const Images& images, const Windows& windows, const Kernels& kernels, int count,
    int row, int n, int chunk, const bool turned)
{
    int all = (windows.TH * windows.TW * images.C + DEPTH - 1) / DEPTH, share = (all + gridDim.y - 1) / gridDim.y;
    int first = blockIdx.y * share, steps = min(all - first, share);
    clear(sums);
    if (steps <= 0) return;
    Window of[4 * PATCHES];
    int at[4];
    #pragma unroll
    for (int i = 0; i < 4 * PATCHES; i++) of[i] = window_of(min(row + along_row(i), count - 1), images, windows);
    #pragma unroll
    for (int i = 0; i < 4; i++)
        at[i] = kernels.first + kernels.n_step * (turned ? min(n + across_row(i), kernels.N - WIDTH)
                                                         : min(n + along_row(i), kernels.N - 1));
    Place here = place_of(first * DEPTH + along_k(), windows, chunk);
    Place there = turned ? place_of(first * DEPTH + across_k(), windows, chunk) : here;
    auto fetch = [&] {
        Fetched next;
        #pragma unroll
        for (int p = 0; p < PATCHES; p++) next.a[p] = fetch_windows(images, of + 4 * p, windows, here, chunk);
        next.b = fetch_kernels(kernels, at, windows, turned ? there : here, images.C, chunk, turned);
        advance(here, windows, chunk);
        if (turned) advance(there, windows, chunk);
        return next;
    };
    auto put_into = [&](Tile& tile, const Fetched& next) {
        #pragma unroll
        for (int p = 0; p < PATCHES; p++) put(next.a[p], tile.a, p, false);
        put(next.b, tile.b, 0, turned);
        __syncthreads();
    };
    put_into(tiles[0], fetch());
    for (int step = 0; step < steps; step++) {
        Fetched next = fetch();  // is on its way meanwhile; of the last step nobody multiplies it
        multiply_tile(tiles[step % 2], sums);
        put_into(tiles[(step + 1) % 2], next);
    }
}

struct Results {  // N numbers a pixel: ACTIVATION, but floats where this is one of several parts of each sum
    void* at;
    int N;
};

// Of an image whose sums are complete: they are rounded now, and never before.
__device__ __forceinline__ bool is_rounded() { return sizeof(ACTIVATION) < sizeof(float) && gridDim.y == 1; }

__device__ __forceinline__ void write_one(const Results& results, long long place, float sum)
{
    if (is_rounded()) ((ACTIVATION*)results.at)[place] = ACTIVATION(sum);
    else ((float*)results.at)[place] = sum;
}

// Sums n and n + 1 of a pixel.
__device__ __forceinline__ void write_pair(
    const Results& results, long long pixel, const float* sum, const float* bias, int n)
{
    float shift[2] = {0, 0};
    int N = results.N;
    if (bias && n < N) shift[0] = bias[n];
    if (bias && n + 1 < N) shift[1] = bias[n + 1];
    float first = sum[0] + shift[0], second = sum[1] + shift[1];
    long long place = pixel * N + n;
    if (n + 1 < N && N % 2 == 0) {
        if (is_rounded()) *(unsigned*)((ACTIVATION*)results.at + place) = bfloat16s(first, second);
        else *(float2*)((float*)results.at + place) = make_float2(first, second);
    } else {
        if (n < N) write_one(results, place, first);
        if (n + 1 < N) write_one(results, place + 1, second);
    }
}

// y[b, oh, ow, n]: blocks (tiles, parts). Of several parts each writes a y of its own; bias is for one part only.
extern "C" __global__ void __launch_bounds__(THREADS) conv_forward(
    const ACTIVATION* x, const float* weight, const float* bias, void* y, int B, int H, int W, int C, int N, int KH,
    int KW, int SH, int SW, int PH, int PW, int OH, int OW, int chunk)
{
    int across = (N + COLUMNS - 1) / COLUMNS, n = blockIdx.x % across * COLUMNS, row = blockIdx.x / across * ROWS;
    int count = B * OH * OW;
    Images images = {x, H, W, C};
    Windows windows = {OH, OW, SH, SW, -PH, -PW, KH, KW};
    Kernels kernels = {weight, N, KH * KW * C, 1, 0, KW * C, C};
    __shared__ __align__(16) Tile tiles[2];
    Sums sums;
    sum_windows(sums, tiles, images, windows, kernels, count, row, n, chunk, false);
    Results results = {y, N};
    long long part = (long long)blockIdx.y * count;
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int down = 0; down < 2; down++) {
            int pixel = row + sum_row(i, down);
            if (pixel < count)
                #pragma unroll
                for (int j = 0; j < 8; j++)
                    write_pair(results, part + pixel, sums.of[i][j] + 2 * down, bias, n + sum_column(j));
        }
}

// dx[b, h, w, c]: blocks (tiles, parts, phases). A phase is all pixels of equal (h + PH) % SH and (w + PW) % SW. Of an
// axis: tap i of the TAPS of phase r is kernel place k = r + i S, and pixel h = first + S j sees with it window
// (h + P - k) / S = j + (first + P) / S - i. They are counted backwards, so that windows are read forwards.
extern "C" __global__ void __launch_bounds__(THREADS) conv_by_input(
    const ACTIVATION* dy, const float* weight, void* dx, int B, int H, int W, int C, int N, int KH, int KW, int SH,
    int SW, int PH, int PW, int OH, int OW, int chunk)
{
    int rh = blockIdx.z / SW, rw = blockIdx.z % SW;
    int first_h = ((rh - PH) % SH + SH) % SH, first_w = ((rw - PW) % SW + SW) % SW;
    int TH = max(0, (KH - rh + SH - 1) / SH), TW = max(0, (KW - rw + SW - 1) / SW);
    Images images = {dy, OH, OW, N};
    Windows windows = {(H - first_h + SH - 1) / SH, (W - first_w + SW - 1) / SW, 1, 1,
                       (first_h + PH) / SH - TH + 1, (first_w + PW) / SW - TW + 1, TH, TW};
    int across = (C + COLUMNS - 1) / COLUMNS, c = blockIdx.x % across * COLUMNS, row = blockIdx.x / across * ROWS;
    int count = B * windows.rows * windows.columns;
    if (row >= count) return;  // the grid is that of the largest phase
    int turned = ((rh + (TH - 1) * SH) * KW + rw + (TW - 1) * SW) * C;  // the last tap comes first
    Kernels kernels = {weight, C, 1, KH * KW * C, turned, -SH * KW * C, -SW * C};
    __shared__ __align__(16) Tile tiles[2];
    Sums sums;
    sum_windows(sums, tiles, images, windows, kernels, count, row, c, chunk, true);
    Results results = {dx, C};
    long long part = (long long)blockIdx.y * B * H * W;
    #pragma unroll
    for (int i = 0; i < 4; i++)
        #pragma unroll
        for (int down = 0; down < 2; down++) {
            int k = row + sum_row(i, down), j = k % windows.columns, l = k / windows.columns % windows.rows;
            int b = k / windows.columns / windows.rows;
            long long pixel = part + ((long long)b * H + l * SH + first_h) * W + j * SW + first_w;
            if (k < count)
                #pragma unroll
                for (int m = 0; m < 8; m++)
                    write_pair(results, pixel, sums.of[i][m] + 2 * down, nullptr, c + sum_column(m));
        }
}
