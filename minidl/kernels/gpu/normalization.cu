// Batch normalisation with the residual and the ReLU that follow it. Images are rows of C numbers, one row a pixel.
//
// Sums over rows are taken in float64, in a fixed number of blocks that are then added in order: exact enough for
// channels whose mean is large beside their deviation, and the same from run to run.
//
// A block of channel_sums is ``lanes`` neighbouring groups of channels wide, and THREADS / lanes rows deep: its threads
// read what lies side by side. Each loads AT_ONCE rows before it adds up the first: memory answers late, and has to be
// asked for much at a time.

#define THREADS 256
#define AT_ONCE 4
#define LANES 8  // channels of a block that finishes sums

// The sum of total over the threads of one lane, which are every lanes-th; lanes is a power of two.
__device__ double sum_down(double total, double* room, int lanes)
{
    int t = threadIdx.x;
    room[t] = total;
    __syncthreads();
    for (int half = THREADS / 2; half >= lanes; half /= 2) {
        if (t < half) room[t] += room[t + half];
        __syncthreads();
    }
    double sum = room[t % lanes];
    __syncthreads();  // the room is used again
    return sum;
}

// partials[block, 0, c] = sum of a - pivot, partials[block, 1, c] = sum of (a - pivot)(b - b_shift) over the block's
// rows; a pivot or b of 0 is none, and if b is a, the pivot is its shift too. With y, a counts only where y is positive
// (the ReLU's gradient), and dz keeps what counts.
extern "C" __global__ void channel_sums(
    const Activations* a, const Activations* pivot, const Activations* b, const Group* b_shift, const Activations* y,
    Activations* dz, long long rows, int C, int lanes, double* partials)
{
    __shared__ double room[THREADS];
    int c = blockIdx.x * lanes + threadIdx.x % lanes, deep = THREADS / lanes;  // in groups, like C
    double total[WIDTH] = {}, product[WIDTH] = {};
    if (c < C) {
        Group shift_a = {}, shift_b = {};
        if (pivot) shift_a = pivot[c];
        shift_b = shift_a;
        if (b_shift) shift_b = b_shift[c];
        long long step = (long long)gridDim.y * deep, first = (long long)blockIdx.y * deep + threadIdx.x / lanes;
        for (long long row = first; row < rows; row += AT_ONCE * step) {
            Group as[AT_ONCE], bs[AT_ONCE], ys[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++)
                if (row + k * step < rows) {
                    long long i = (row + k * step) * C + c;
                    as[k] = a[i];
                    bs[k] = as[k];
                    if (b && b != a) bs[k] = b[i];
                    if (y) ys[k] = y[i];
                }
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++)
                if (row + k * step < rows) {
                    for (int j = 0; j < WIDTH; j++) {
                        if (y && !(ys[k].v[j] > 0)) as[k].v[j] = 0;
                        double shifted = (double)as[k].v[j] - (double)shift_a.v[j];
                        total[j] += shifted;
                        product[j] += shifted * ((double)bs[k].v[j] - (double)shift_b.v[j]);
                    }
                    if (y) dz[(row + k * step) * C + c] = as[k];
                }
        }
    }
    for (int j = 0; j < WIDTH; j++) {
        double sums = sum_down(total[j], room, lanes), products = b ? sum_down(product[j], room, lanes) : 0.0;
        if (c < C && threadIdx.x < lanes) {
            double* to = partials + (long long)blockIdx.y * 2 * C * WIDTH + c * WIDTH + j;
            to[0] = sums;
            to[C * WIDTH] = products;
        }
    }
}

// The partial sums of a channel, added up.
__device__ double add_partials(const double* partials, int blocks, int C, int c, double* room)
{
    double total = 0;
    for (int block = threadIdx.x / LANES; c < C && block < blocks; block += THREADS / LANES)
        total += partials[(long long)block * 2 * C + c];
    return sum_down(total, room, LANES);
}

// mean and variance of each channel, from the sums of x - pivot and of its square
extern "C" __global__ void finish_moments(
    const double* partials, int blocks, long long rows, int C, const ACTIVATION* pivot, REAL* mean, REAL* var)
{
    __shared__ double room[THREADS];
    int c = blockIdx.x * LANES + threadIdx.x % LANES;
    double first = add_partials(partials, blocks, C, c, room) / rows;
    double second = add_partials(partials + C, blocks, C, c, room) / rows;
    if (c < C && threadIdx.x < LANES) {
        double variance = second - first * first;
        mean[c] = (REAL)((double)(REAL)pivot[c] + first);
        var[c] = (REAL)(variance < 0 ? 0 : variance);  // so written, NaN stays NaN
    }
}

// dbeta = sum of dz, dgamma = sum of dz (x - mean) / std
extern "C" __global__ void finish_gradients(
    const double* partials, int blocks, int C, const REAL* var, double eps, REAL* dgamma, REAL* dbeta)
{
    __shared__ double room[THREADS];
    int c = blockIdx.x * LANES + threadIdx.x % LANES;
    double total = add_partials(partials, blocks, C, c, room);
    double product = add_partials(partials + C, blocks, C, c, room);
    if (c < C && threadIdx.x < LANES) {
        dbeta[c] = (REAL)total;
        dgamma[c] = (REAL)(product / sqrt((double)var[c] + eps));
    }
}

// the first of the two sums alone
extern "C" __global__ void finish_sums(const double* partials, int blocks, int C, REAL* sums)
{
    __shared__ double room[THREADS];
    int c = blockIdx.x * LANES + threadIdx.x % LANES;
    double total = add_partials(partials, blocks, C, c, room);
    if (c < C && threadIdx.x < LANES) sums[c] = (REAL)total;
}

// y = gamma (x - mean) / std + beta, + residual and ReLU where asked for
extern "C" __global__ void batch_norm(
    const Activations* x, const Group* mean, const Group* var, const Group* gamma, const Group* beta, REAL eps,
    const Activations* residual, int relu, long long count, int C, Activations* y)
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
    const Activations* dz, const Activations* x, const Group* mean, const Group* var, const Group* gamma,
    const Group* dgamma, const Group* dbeta, REAL eps, REAL part, long long count, int C, Activations* dx)
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
    const Activations* dy, const Activations* y, const Group* var, const Group* gamma, REAL eps, int relu,
    long long count, int C, Activations* dz, Activations* dx)
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
