// Steps that change many arrays in place, of a few numbers or of millions, in one launch: an optimiser's, of all its
// parameters, and the one of all running statistics.
// A table says where each array lies. It is an argument like others, by value: a recorded step keeps it, and nothing has
// to be sent. What changes from step to step, the learning rate say, is read from the card's memory.

#define ENTRIES 63  // of a table; all arguments together may have 4 KB
#define PART 2048   // numbers that a block does

struct Moved {
    REAL* weight;
    const REAL* grad;
    REAL *first, *second;       // what the method remembers, or 0
    const unsigned char* mask;  // or 0: all count
    double weight_decay;
    int count, start;  // numbers; the first of the blocks that do them
};

struct Weights {
    Moved entries[ENTRIES];
    int count;
};

// Which weights a block does: those of entry of, from i on, up to end.
struct Share {
    int of, i, end;
};

__device__ inline Share share_of_block(const Weights& weights)
{
    int of = 0, block = blockIdx.x;
    while (of + 1 < weights.count && weights.entries[of + 1].start <= block) of++;
    int first = (block - weights.entries[of].start) * PART;
    return {of, first + (int)threadIdx.x, min(weights.entries[of].count, first + PART)};
}

extern "C" __global__ void sgd_steps(const Weights weights, const double* rate, double momentum, int nesterov)
{
    Share share = share_of_block(weights);
    const Moved& of = weights.entries[share.of];
    REAL *weight = of.weight, *velocity = of.first;
    const REAL* grad = of.grad;
    const unsigned char* mask = of.mask;
    REAL lr = (REAL)rate[0], mu = (REAL)momentum, decay = (REAL)of.weight_decay;
    for (int i = share.i; i < share.end; i += blockDim.x) {
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
extern "C" __global__ void adam_steps(
    const Weights weights, const double* rate, const double* step, double beta1, double beta2, double eps)
{
    Share share = share_of_block(weights);
    const Moved& of = weights.entries[share.of];
    REAL *weight = of.weight, *mean = of.first, *square = of.second;
    const REAL* grad = of.grad;
    const unsigned char* mask = of.mask;
    REAL lr = (REAL)(rate[0] / (1 - pow(beta1, step[0]))), correction = (REAL)(1 / (1 - pow(beta2, step[0])));
    REAL rest1 = (REAL)(1 - beta1), rest2 = (REAL)(1 - beta2), decay = (REAL)of.weight_decay;
    for (int i = share.i; i < share.end; i += blockDim.x) {
        bool keep = !mask || mask[i];
        REAL slope = grad[i] + decay * weight[i];
        mean[i] = keep ? mean[i] + rest1 * (slope - mean[i]) : (REAL)0;
        square[i] = keep ? square[i] + rest2 * (slope * slope - square[i]) : (REAL)0;
        REAL change = lr * mean[i] / (sqrt(square[i] * correction) + (REAL)eps);
        weight[i] = keep ? weight[i] - change : (REAL)0;
    }
}

struct Tracked {
    REAL *running_mean, *running_var;
    const REAL *mean, *var;
    long long* batches;
    double momentum, unbiased;  // unbiased: n / (n - 1)
    long long channels;
};

struct Statistics {
    Tracked entries[ENTRIES];
};

// running = (1 - momentum) running + momentum batch; a block for each batch normalisation
extern "C" __global__ void track(const Statistics statistics)
{
    const Tracked& of = statistics.entries[blockIdx.x];
    REAL keep = (REAL)(1 - of.momentum), part = (REAL)of.momentum, unbiased = (REAL)of.unbiased;
    for (int c = threadIdx.x; c < of.channels; c += blockDim.x) {
        of.running_mean[c] = of.running_mean[c] * keep + part * of.mean[c];
        of.running_var[c] = of.running_var[c] * keep + part * (of.var[c] * unbiased);
    }
    if (threadIdx.x == 0) of.batches[0]++;
}
