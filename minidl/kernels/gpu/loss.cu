// The cross-entropy: a thread for each image, as there are few classes.

// each = the loss of an image, -sum y log p, and slope = T times its gradient by the logits, p - y. y is 1 at the place of
// the class where ``classes`` are given, else the probability of each class. Logits are measured from their largest,
// whose exponential is 1, and the slope of the likeliest class is minus the sum of the others: see ``portable``.
extern "C" __global__ void cross_entropy(
    const REAL* logits, const long long* classes, const REAL* probabilities, double temperature, REAL* each,
    REAL* slope, int images, int K)
{
    REAL T = (REAL)temperature;
    for (int b = thread_number(); b < images; b += threads()) {
        const REAL *g = logits + (long long)b * K, *y = probabilities ? probabilities + (long long)b * K : 0;
        int first = -1, likeliest = 0;
        REAL largest = g[0], others = 0, loss = 0, total = 0, rest = 0;
        for (int k = 1; k < K; k++)
            if (g[k] > largest || g[k] != g[k]) largest = g[k];  // NaN stays
        for (int k = 0; k < K; k++) {
            REAL z = (g[k] - largest) / T;
            if (first < 0 && !(z < 0)) first = k;
            else others += exp(z);
        }
        REAL log_sum = log1p(others);
        for (int k = 0; k < K; k++) {
            REAL part = y ? y[k] : (REAL)(classes[b] == k);
            if (part > 0) loss += part * (log_sum - (g[k] - largest) / T);
            if (part > (y ? y[likeliest] : (REAL)(classes[b] == likeliest))) likeliest = k;
            total += part;
        }
        for (int k = 0; k < K; k++) {
            REAL part = y ? y[k] : (REAL)(classes[b] == k), p = exp((g[k] - largest) / T) / (1 + others);
            if (k == likeliest) continue;
            slope[(long long)b * K + k] = p * total - part;
            rest += p * total - part;
        }
        slope[(long long)b * K + likeliest] = -rest;
        each[b] = loss;
    }
}
