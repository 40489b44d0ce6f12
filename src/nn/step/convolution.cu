// A short causal convolution of every channel: y_t[e] = b[e] + Σ_back w[K−1−back, e] x_{t−back}[e]; x (T, E), w (K, E),
// b (E).

template <int T, int E, int K>
DEVICE void convolve_forward(Id id, const float *x, const float *taps, const float *bias, float *y) {
    EACH(item, T * E) {
        const int t = item / E, e = item % E;
        float sum = bias[e];
#pragma unroll
        for (int back = 0; back < K; ++back)
            if (back <= t) sum += taps[(K - 1 - back) * E + e] * OF(x, (t - back) * E + e);
        OF(y, item) = sum;
    }
}

template <int MODE, int T, int E, int K>
DEVICE void convolve_grad_x(Id id, const float *taps, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    EACH(item, T * E) {
        const int t = item / E, e = item % E;
        float sum = 0.0f;
#pragma unroll
        for (int back = 0; back < K; ++back)
            if (t + back < T) sum += taps[(K - 1 - back) * E + e] * OF(grad_y, (t + back) * E + e);
        put<MODE>(OF(grad_x, item), sum);
    }
}

template <int T, int E, int K>
DEVICE void convolve_grad_weights(Id id, const float *x, const float *grad_y, float *grad_taps, float *grad_bias) {
    EACH_WEIGHT(item, (K + 1) * E) {
        const int tap = item / E, e = item % E, back = K - 1 - tap;
        float sum = 0.0f;
        for (int t = tap < K ? back : 0; t < T; ++t) {
            const float *slope = grad_y + (t * E + e) * LANES;
            sum += tap < K ? dot_of_lanes(slope, x + (t - back) * E * LANES + e * LANES, e) : sum_of_lanes(slope, e);
        }
        if (tap < K) grad_taps[item] += sum;
        else grad_bias[e] += sum;
    }
}
