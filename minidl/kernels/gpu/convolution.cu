// Convolution as a matrix product: im2col writes each window as a row, cuBLAS multiplies, and col2im, the opposite,
// gives each pixel of an image the sum of what the windows over it got.

// columns[row, (kh, kw, c)] = x[b, oh SH - PH + kh, ow SW - PW + kw, c], or 0 outside the image, where row is
// (b, oh, ow). Rows are ``step`` apart; what is left between them is 0. A thread stays at its place in the window and
// goes from row to row: it divides once, not for every number.
extern "C" __global__ void im2col(
    const Activations* x, Factors* columns, int rows, int rows_per_block, int step, int H, int W, int C, int KH, int KW,
    int SH, int SW, int PH, int PW, int OH, int OW)
{
    int k = blockIdx.y * blockDim.x + threadIdx.x;
    if (k >= step) return;
    int c = k % C, kw = k / C % KW - PW, kh = k / (C * KW) - PH;  // in groups, like step
    bool within = k < KH * KW * C;
    int row = blockIdx.x * rows_per_block, last = min(rows, row + rows_per_block);
    int ow = row % OW, oh = row / OW % OH, b = row / (OW * OH);
    for (; row < last; row++) {
        int h = oh * SH + kh, w = ow * SW + kw;
        Group pixel = {};
        if (within && 0 <= h && h < H && 0 <= w && w < W) pixel = x[((long long)(b * H + h) * W + w) * C + c];
        Factors factors;
        for (int i = 0; i < WIDTH; i++) factors.v[i] = FACTOR(pixel.v[i]);
        columns[(long long)row * step + k] = factors;
        if (++ow == OW) {
            ow = 0;
            if (++oh == OH) oh = 0, b++;
        }
    }
}

// dx[b, h, w, c] = sum over the windows (oh, ow) that see the pixel, at their place (kh, kw), of
// columns[(b, oh, ow), (kh, kw, c)]. Each pixel gathers its own sum: no two threads write to one place, and the order
// of summation is always the same.
extern "C" __global__ void col2im(
    const Group* columns, Activations* dx, int count, int step, int H, int W, int C, int KH, int KW, int SH, int SW,
    int PH, int PW, int OH, int OW)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, w = i / C % W + PW, h = i / (C * W) % H + PH, b = i / (C * W * H);
        Group sum = {};
        for (int oh = max(0, (h - KH + SH) / SH); oh < OH && oh * SH <= h; oh++)
            for (int ow = max(0, (w - KW + SW) / SW); ow < OW && ow * SW <= w; ow++) {
                int place = (h - oh * SH) * KW + w - ow * SW;
                Group part = columns[(long long)((b * OH + oh) * OW + ow) * step + place * C + c];
                for (int j = 0; j < WIDTH; j++) sum.v[j] += part.v[j];
            }
        dx[i] = sum;
    }
}

// out[row, n] = bias[n] + the parts of its sum, in their order, count apart; bias may be nothing, and out the only
// part.
extern "C" __global__ void add_parts(
    const Group* parts, const Group* bias, Activations* out, long long count, int N, int P)
{
    if (thread_number() >= channel_step(N)) return;
    Group shift = {};
    if (bias) shift = bias[thread_number() % N];
    for (long long i = thread_number(); i < count; i += channel_step(N)) {
        Group sum = shift;
        for (int p = 0; p < P; p++) {
            Group part = parts[p * count + i];
            for (int j = 0; j < WIDTH; j++) sum.v[j] += part.v[j];
        }
        out[i] = sum;
    }
}
