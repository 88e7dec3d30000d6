// Batch normalisation with the residual and the ReLU that follow it. Images are rows of C numbers, one row a pixel.
//
// Sums over rows are taken in float64, in a fixed number of blocks that are then added in order: exact enough for
// channels whose mean is large beside their deviation, and the same from run to run.

#define LANES 32  // neighbouring channels that a block sums
#define DOWN 8    // threads that share out its rows

// The sum of total over the threads of one lane, in the first of them.
__device__ double sum_down(double total, double (*room)[LANES])
{
    room[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    for (int half = DOWN / 2; half > 0; half /= 2) {
        if (threadIdx.y < half) room[threadIdx.y][threadIdx.x] += room[threadIdx.y + half][threadIdx.x];
        __syncthreads();
    }
    double sum = room[0][threadIdx.x];
    __syncthreads();  // the room is used again
    return sum;
}

// partials[block, 0, c] = sum of a - a_shift, partials[block, 1, c] = sum of (a - a_shift)(b - b_shift) over the
// block's rows; without shifts, pointers of 0, nothing is taken off. With y, a counts only where y is positive (the
// ReLU's gradient), and dz keeps what counts.
extern "C" __global__ void channel_sums(
    const REAL* a, const REAL* a_shift, const REAL* b, const REAL* b_shift, const REAL* y, REAL* dz, long long rows,
    int C, double* partials)
{
    __shared__ double room[DOWN][LANES];
    int c = blockIdx.x * LANES + threadIdx.x;
    double total = 0, product = 0;
    if (c < C) {
        double shift_a = a_shift ? (double)a_shift[c] : 0.0, shift_b = b_shift ? (double)b_shift[c] : 0.0;
        long long first = (long long)blockIdx.y * DOWN + threadIdx.y, down = (long long)gridDim.y * DOWN;
        for (long long row = first; row < rows; row += down) {
            long long i = row * C + c;
            REAL value = a[i];
            if (y) {
                if (!(y[i] > 0)) value = 0;
                dz[i] = value;
            }
            double shifted = (double)value - shift_a;
            total += shifted;
            product += shifted * ((double)b[i] - shift_b);
        }
    }
    total = sum_down(total, room);
    product = sum_down(product, room);
    if (c < C && threadIdx.y == 0) {
        partials[(long long)blockIdx.y * 2 * C + c] = total;
        partials[(long long)blockIdx.y * 2 * C + C + c] = product;
    }
}

// The partial sums of a channel, added up in the first thread of its lane.
__device__ double add_partials(const double* partials, int blocks, int C, int c, double (*room)[LANES])
{
    double total = 0;
    for (int block = threadIdx.y; c < C && block < blocks; block += DOWN)
        total += partials[(long long)block * 2 * C + c];
    return sum_down(total, room);
}

// mean and variance of each channel, from the sums of x - pivot and of its square
extern "C" __global__ void finish_moments(
    const double* partials, int blocks, long long rows, int C, const REAL* pivot, REAL* mean, REAL* var)
{
    __shared__ double room[DOWN][LANES];
    int c = blockIdx.x * LANES + threadIdx.x;
    double first = add_partials(partials, blocks, C, c, room) / rows;
    double second = add_partials(partials + C, blocks, C, c, room) / rows;
    if (c < C && threadIdx.y == 0) {
        double variance = second - first * first;
        mean[c] = (REAL)((double)pivot[c] + first);
        var[c] = (REAL)(variance < 0 ? 0 : variance);  // so written, NaN stays NaN
    }
}

// dbeta = sum of dz, dgamma = sum of dz (x - mean) / std
extern "C" __global__ void finish_gradients(
    const double* partials, int blocks, int C, const REAL* var, double eps, REAL* dgamma, REAL* dbeta)
{
    __shared__ double room[DOWN][LANES];
    int c = blockIdx.x * LANES + threadIdx.x;
    double total = add_partials(partials, blocks, C, c, room);
    double product = add_partials(partials + C, blocks, C, c, room);
    if (c < C && threadIdx.y == 0) {
        dbeta[c] = (REAL)total;
        dgamma[c] = (REAL)(product / sqrt((double)var[c] + eps));
    }
}

// y = gamma (x - mean) / std + beta, + residual and ReLU where asked for
extern "C" __global__ void batch_norm(
    const Group* x, const Group* mean, const Group* var, const Group* gamma, const Group* beta, REAL eps,
    const Group* residual, int relu, long long count, int C, Group* y)
{
    if (thread_number() >= channel_step(C)) return;
    int c = thread_number() % C;
    Group m = mean[c], s = var[c], scale = gamma[c], shift = beta[c];
    for (int j = 0; j < WIDTH; j++) scale.v[j] /= sqrt(s.v[j] + eps);
    for (long long i = thread_number(); i < count; i += channel_step(C)) {
        Group in = x[i], rest = {}, out;
        if (residual) rest = residual[i];
        for (int j = 0; j < WIDTH; j++) {
            REAL value = (in.v[j] - m.v[j]) * scale.v[j] + shift.v[j] + rest.v[j];
            out.v[j] = relu && value <= 0 ? (REAL)0 : value;  // NaN is not: it must not turn into 0
        }
        y[i] = out;
    }
}

// dx = gamma / std (dz - part (dbeta + (x - mean) / std dgamma)), where part is 1 / rows: the last two go through the
// batch's own mean and variance. With fixed ones part is 0.
extern "C" __global__ void batch_norm_grad(
    const Group* dz, const Group* x, const Group* mean, const Group* var, const Group* gamma, const Group* dgamma,
    const Group* dbeta, REAL eps, REAL part, long long count, int C, Group* dx)
{
    if (thread_number() >= channel_step(C)) return;
    int c = thread_number() % C;
    Group m = mean[c], s = var[c], scale = gamma[c], slope = dgamma[c], shift = dbeta[c];
    for (int j = 0; j < WIDTH; j++) {
        REAL inv_std = 1 / sqrt(s.v[j] + eps);
        scale.v[j] *= inv_std;
        slope.v[j] *= part * inv_std;
        shift.v[j] *= part;
    }
    for (long long i = thread_number(); i < count; i += channel_step(C)) {
        Group d = dz[i], in = x[i], out;
        for (int j = 0; j < WIDTH; j++)
            out.v[j] = scale.v[j] * (d.v[j] - shift.v[j] - (in.v[j] - m.v[j]) * slope.v[j]);
        dx[i] = out;
    }
}

// With fixed mean and variance: dz = dy where y is positive, if there is a ReLU, and dx = gamma / std dz. dz may be 0.
extern "C" __global__ void batch_norm_grad_fixed(
    const Group* dy, const Group* y, const Group* var, const Group* gamma, REAL eps, int relu, long long count, int C,
    Group* dz, Group* dx)
{
    if (thread_number() >= channel_step(C)) return;
    int c = thread_number() % C;
    Group s = var[c], scale = gamma[c];
    for (int j = 0; j < WIDTH; j++) scale.v[j] /= sqrt(s.v[j] + eps);
    for (long long i = thread_number(); i < count; i += channel_step(C)) {
        Group d = dy[i], out;
        if (relu) {
            Group seen = y[i];
            for (int j = 0; j < WIDTH; j++)
                if (!(seen.v[j] > 0)) d.v[j] = 0;
        }
        if (dz) dz[i] = d;
        for (int j = 0; j < WIDTH; j++) out.v[j] = scale.v[j] * d.v[j];
        dx[i] = out;
    }
}
