// Pooling: a thread for each number of the result. The gradients gather, as col2im does.

// y = the largest of each window, where = its place kh KW + kw, the first of equals. The first NaN wins, and stays.
extern "C" __global__ void max_pool(
    const REAL* x, REAL* y, unsigned char* where, int count, int H, int W, int C, int KH, int KW, int SH, int SW,
    int PH, int PW, int OH, int OW)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, ow = i / C % OW, oh = i / (C * OW) % OH, b = i / (C * OW * OH);
        int top = oh * SH - PH, left = ow * SW - PW, place = 0;
        REAL best = (REAL)__int_as_float(0xff800000);  // minus infinity
        for (int kh = max(0, -top); kh < min(KH, H - top); kh++)
            for (int kw = max(0, -left); kw < min(KW, W - left); kw++) {
                REAL value = x[((long long)(b * H + top + kh) * W + left + kw) * C + c];
                if (value > best || (value != value && best == best)) best = value, place = kh * KW + kw;
            }
        y[i] = best;
        where[i] = place;
    }
}

extern "C" __global__ void max_pool_grad(
    const REAL* dy, const unsigned char* where, REAL* dx, int count, int H, int W, int C, int KH, int KW, int SH,
    int SW, int PH, int PW, int OH, int OW)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, w = i / C % W + PW, h = i / (C * W) % H + PH, b = i / (C * W * H);
        REAL sum = 0;
        for (int oh = max(0, (h - KH + SH) / SH); oh < OH && oh * SH <= h; oh++)
            for (int ow = max(0, (w - KW + SW) / SW); ow < OW && ow * SW <= w; ow++) {
                long long window = ((long long)(b * OH + oh) * OW + ow) * C + c;
                if (where[window] == (h - oh * SH) * KW + w - ow * SW) sum += dy[window];
            }
        dx[i] = sum;
    }
}

// y = the mean over the pixels rows[2 oh] <= h < rows[2 oh + 1] and likewise in columns. What lies outside the image
// counts as 0.
extern "C" __global__ void avg_pool(
    const REAL* x, REAL* y, int count, int H, int W, int C, int OH, int OW, const int* rows, const int* columns)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, ow = i / C % OW, oh = i / (C * OW) % OH, b = i / (C * OW * OH);
        int top = rows[2 * oh], bottom = rows[2 * oh + 1], left = columns[2 * ow], right = columns[2 * ow + 1];
        REAL sum = 0;
        for (int h = max(0, top); h < min(H, bottom); h++)
            for (int w = max(0, left); w < min(W, right); w++) sum += x[((long long)(b * H + h) * W + w) * C + c];
        y[i] = sum / ((bottom - top) * (right - left));
    }
}

extern "C" __global__ void avg_pool_grad(
    const REAL* dy, REAL* dx, int count, int H, int W, int C, int OH, int OW, const int* rows, const int* columns)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, w = i / C % W, h = i / (C * W) % H, b = i / (C * W * H);
        REAL sum = 0;
        for (int oh = 0; oh < OH; oh++) {
            int top = rows[2 * oh], bottom = rows[2 * oh + 1];
            if (h < top || h >= bottom) continue;
            for (int ow = 0; ow < OW; ow++) {
                int left = columns[2 * ow], right = columns[2 * ow + 1];
                if (left <= w && w < right)
                    sum += dy[((long long)(b * OH + oh) * OW + ow) * C + c] / ((bottom - top) * (right - left));
            }
        }
        dx[i] = sum;
    }
}
