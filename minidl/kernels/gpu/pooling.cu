// Pooling: a thread for each group of neighbouring channels of the result, which share their window's place and so the
// divisions that find it. The gradients gather, as col2im does.

struct alignas(WIDTH) Places {  // of the largest of each window, kh KW + kw
    unsigned char v[WIDTH];
};

// y = the largest of each window, where = its place, the first of equals. The first NaN wins, and stays.
extern "C" __global__ void max_pool(
    const Activations* x, Activations* y, Places* where, int count, int H, int W, int C, int KH, int KW, int SH, int SW,
    int PH, int PW, int OH, int OW)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, ow = i / C % OW, oh = i / (C * OW) % OH, b = i / (C * OW * OH);  // in groups, like C and count
        int top = oh * SH - PH, left = ow * SW - PW;
        Group best;
        Places place = {};
        for (int j = 0; j < WIDTH; j++) best.v[j] = (REAL)__int_as_float(0xff800000);  // minus infinity
        for (int kh = max(0, -top); kh < min(KH, H - top); kh++)
            for (int kw = max(0, -left); kw < min(KW, W - left); kw++) {
                Group values = x[((long long)(b * H + top + kh) * W + left + kw) * C + c];
                for (int j = 0; j < WIDTH; j++) {
                    REAL value = values.v[j];
                    if (value > best.v[j] || (value != value && best.v[j] == best.v[j])) {
                        best.v[j] = value;
                        place.v[j] = kh * KW + kw;
                    }
                }
            }
        y[i] = best;
        where[i] = place;
    }
}

extern "C" __global__ void max_pool_grad(
    const Activations* dy, const Places* where, Activations* dx, int count, int H, int W, int C, int KH, int KW,
    int SH, int SW, int PH, int PW, int OH, int OW)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, w = i / C % W + PW, h = i / (C * W) % H + PH, b = i / (C * W * H);
        Group sum = {};
        for (int oh = max(0, (h - KH + SH) / SH); oh < OH && oh * SH <= h; oh++)
            for (int ow = max(0, (w - KW + SW) / SW); ow < OW && ow * SW <= w; ow++) {
                long long window = ((long long)(b * OH + oh) * OW + ow) * C + c;
                int here = (h - oh * SH) * KW + w - ow * SW;
                Places place = where[window];
                bool any = false;
                for (int j = 0; j < WIDTH; j++) any = any || place.v[j] == here;
                if (!any) continue;  // most windows: their slopes are not read
                Group slope = dy[window];
                for (int j = 0; j < WIDTH; j++)
                    if (place.v[j] == here) sum.v[j] += slope.v[j];
            }
        dx[i] = sum;
    }
}

// y = the mean over the pixels rows[2 oh] <= h < rows[2 oh + 1] and likewise in columns. What lies outside the image
// counts as 0.
extern "C" __global__ void avg_pool(
    const Activations* x, Activations* y, int count, int H, int W, int C, int OH, int OW, const int* rows,
    const int* columns)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, ow = i / C % OW, oh = i / (C * OW) % OH, b = i / (C * OW * OH);
        int top = rows[2 * oh], bottom = rows[2 * oh + 1], left = columns[2 * ow], right = columns[2 * ow + 1];
        Group sum = {};
        for (int h = max(0, top); h < min(H, bottom); h++)
            for (int w = max(0, left); w < min(W, right); w++) {
                Group pixel = x[((long long)(b * H + h) * W + w) * C + c];
                for (int j = 0; j < WIDTH; j++) sum.v[j] += pixel.v[j];
            }
        for (int j = 0; j < WIDTH; j++) sum.v[j] /= (bottom - top) * (right - left);
        y[i] = sum;
    }
}

extern "C" __global__ void avg_pool_grad(
    const Activations* dy, Activations* dx, int count, int H, int W, int C, int OH, int OW, const int* rows,
    const int* columns)
{
    for (int i = thread_number(); i < count; i += threads()) {
        int c = i % C, w = i / C % W, h = i / (C * W) % H, b = i / (C * W * H);
        Group sum = {};
        for (int oh = 0; oh < OH; oh++) {
            int top = rows[2 * oh], bottom = rows[2 * oh + 1];
            if (h < top || h >= bottom) continue;
            for (int ow = 0; ow < OW; ow++) {
                int left = columns[2 * ow], right = columns[2 * ow + 1];
                if (w < left || w >= right) continue;
                Group slope = dy[((long long)(b * OH + oh) * OW + ow) * C + c];
                for (int j = 0; j < WIDTH; j++) sum.v[j] += slope.v[j] / ((bottom - top) * (right - left));
            }
        }
        dx[i] = sum;
    }
}
