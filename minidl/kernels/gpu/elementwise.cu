// What goes number by number, in one pass over memory: ReLU, random numbers.
// What changes from step to step, the key of random numbers say, is read from the card's memory: a recorded step keeps
// the arguments that it was recorded with.

// dx = dy where sign is positive (or NaN, which stays), else 0. ReLU itself is this with dy = sign = x.
extern "C" __global__ void where_positive(
    const Activations* dy, const Activations* sign, Activations* dx, long long count)
{
    for (long long i = thread_number(); i < count; i += threads()) {
        Group value = dy[i], s = sign[i];
        for (int j = 0; j < WIDTH; j++)
            if (s.v[j] <= 0) value.v[j] = 0;
        dx[i] = value;
    }
}

extern "C" __global__ void add(const Activations* x, const Activations* y, Activations* sum, long long count)
{
    for (long long i = thread_number(); i < count; i += threads()) {
        Group value = x[i], other = y[i];
        for (int j = 0; j < WIDTH; j++) value.v[j] += other.v[j];
        sum[i] = value;
    }
}

// From bfloat16 to float, which has all of its numbers, and the other way, to the nearest.
extern "C" __global__ void widen(const Activations* x, Group* y, long long count)
{
    for (long long i = thread_number(); i < count; i += threads()) y[i] = x[i];
}

extern "C" __global__ void narrow(const Group* x, Activations* y, long long count)
{
    for (long long i = thread_number(); i < count; i += threads()) y[i] = x[i];
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
