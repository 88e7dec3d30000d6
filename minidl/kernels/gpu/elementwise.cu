// What goes number by number: ReLU, random numbers and the optimisers' steps, each in one pass over memory.
// What changes from step to step, the learning rate say, is read from the card's memory: a recorded step keeps the
// arguments that it was recorded with.

// dx = dy where sign is positive (or NaN, which stays), else 0. ReLU itself is this with dy = sign = x.
extern "C" __global__ void where_positive(const Group* dy, const Group* sign, Group* dx, long long count)
{
    for (long long i = thread_number(); i < count; i += threads()) {
        Group value = dy[i], s = sign[i];
        for (int j = 0; j < WIDTH; j++)
            if (s.v[j] <= 0) value.v[j] = 0;
        dx[i] = value;
    }
}

// sums[p] = the values of place p, which order[ends[p - 1]] ... order[ends[p] - 1] number
extern "C" __global__ void add_up(
    const REAL* values, const long long* order, const long long* ends, REAL* sums, long long count)
{
    for (long long p = thread_number(); p < count; p += threads()) {
        REAL sum = 0;
        for (long long i = p > 0 ? ends[p - 1] : 0; i < ends[p]; i++) sum += values[order[i]];
        sums[p] = sum;
    }
}

// The i-th random number of a key, in [0, 1), of 53 bits: it depends on these two alone (splitmix64: Steele, Lea and
// Flood 2014).
__device__ inline double random_number(unsigned long long key, long long i)
{
    unsigned long long z = key + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return (z >> 11) * (1.0 / 9007199254740992.0);
}

// Dropout: 0 with probability p, else 1 / (1 - p)
extern "C" __global__ void dropout_scale(const unsigned long long* key, double p, REAL* scale, long long count)
{
    for (long long i = thread_number(); i < count; i += threads())
        scale[i] = random_number(key[0], i) < p ? (REAL)0 : (REAL)(1 / (1 - p));
}

// Between -1 and 1
extern "C" __global__ void uniform(const unsigned long long* key, REAL* drawn, long long count)
{
    for (long long i = thread_number(); i < count; i += threads())
        drawn[i] = (REAL)(2 * random_number(key[0], i) - 1);
}

// velocity and mask may be 0
extern "C" __global__ void sgd_step(
    REAL* weight, const REAL* grad, REAL* velocity, const unsigned char* mask, const double* rate, double momentum,
    double weight_decay, int nesterov, long long count)
{
    REAL lr = (REAL)rate[0], mu = (REAL)momentum, decay = (REAL)weight_decay;
    for (long long i = thread_number(); i < count; i += threads()) {
        bool keep = !mask || mask[i];
        REAL step = grad[i] + decay * weight[i];
        if (velocity) {
            REAL speed = mu * velocity[i] + step;
            velocity[i] = keep ? speed : (REAL)0;
            step = nesterov ? step + mu * speed : speed;
        }
        weight[i] = keep ? weight[i] - lr * step : (REAL)0;
    }
}

// step[0] counts from 1
extern "C" __global__ void adam_step(
    REAL* weight, const REAL* grad, REAL* mean, REAL* square, const unsigned char* mask, const double* rate,
    const double* step, double beta1, double beta2, double eps, double weight_decay, long long count)
{
    REAL lr = (REAL)(rate[0] / (1 - pow(beta1, step[0]))), correction = (REAL)(1 / (1 - pow(beta2, step[0])));
    REAL rest1 = (REAL)(1 - beta1), rest2 = (REAL)(1 - beta2);
    for (long long i = thread_number(); i < count; i += threads()) {
        bool keep = !mask || mask[i];
        REAL slope = grad[i] + (REAL)weight_decay * weight[i];
        mean[i] = keep ? mean[i] + rest1 * (slope - mean[i]) : (REAL)0;
        square[i] = keep ? square[i] + rest2 * (slope * slope - square[i]) : (REAL)0;
        REAL change = lr * mean[i] / (sqrt(square[i] * correction) + (REAL)eps);
        weight[i] = keep ? weight[i] - change : (REAL)0;
    }
}
