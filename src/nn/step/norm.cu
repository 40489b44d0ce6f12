// Layer normalisation of every token: y = g ⊙ x̂ + c with x̂ = (x − μ)/√(σ² + ε); x (T, N), g and c (N).
// kept: μ of every token, then 1/√(σ² + ε) of every token.

// Threads that share a token: each computes what the token has in common, and its part of the results.
SIZES constexpr int norm_parts(int tokens, int width) {
    int parts = 1;
    while (width % (2 * parts) == 0 && 2 * parts * tokens <= WORKERS) parts *= 2;
    return parts;
}

// Numbers of a token that are read before one is written.
SIZES constexpr int norm_together(int width) {
    int together = 1;
    while (together < 8 && width % (2 * together) == 0) together *= 2;
    return together;
}

template <int T, int N>
DEVICE void norm_forward(Id id, const float *x, const float *gain, const float *bias, float *kept, float *y) {
    constexpr int PARTS = norm_parts(T, N), WIDTH = N / PARTS, TOGETHER = norm_together(WIDTH);
    EACH(item, T * PARTS) {
        const int t = item / PARTS, first = item % PARTS * WIDTH;
        float mean = 0.0f, square = 0.0f;
#pragma unroll 16
        for (int i = 0; i < N; ++i) mean += OF(x, t * N + i);
        mean *= 1.0f / N;
#pragma unroll 16
        for (int i = 0; i < N; ++i) square += (OF(x, t * N + i) - mean) * (OF(x, t * N + i) - mean);
        const float scale = 1.0f / sqrtf(square * (1.0f / N) + 1e-5f);
        if (first == 0) {
            OF(kept, t) = mean;
            OF(kept, T + t) = scale;
        }
        for (int from = first; from < first + WIDTH; from += TOGETHER) {
            float results[TOGETHER];
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i)
                results[i] = gain[from + i] * ((OF(x, t * N + from + i) - mean) * scale) + bias[from + i];
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) OF(y, t * N + from + i) = results[i];
        }
    }
}

// grad_x = (u − mean(u) − x̂ mean(u ⊙ x̂))/√(σ² + ε) with u = g ⊙ grad_y.
template <int MODE, int T, int N>
DEVICE void norm_grad_x(Id id, const float *x, const float *gain, const float *kept, const float *grad_y,
                        float *grad_x) {
    if (MODE == NONE) return;
    constexpr int PARTS = norm_parts(T, N), WIDTH = N / PARTS, TOGETHER = norm_together(WIDTH);
    EACH(item, T * PARTS) {
        const int t = item / PARTS, first = item % PARTS * WIDTH;
        const float mean = OF(kept, t), scale = OF(kept, T + t);
        float level = 0.0f, along = 0.0f;
#pragma unroll 8
        for (int i = 0; i < N; ++i) {
            const float u = gain[i] * OF(grad_y, t * N + i);
            level += u;
            along += u * (OF(x, t * N + i) - mean) * scale;
        }
        level *= 1.0f / N;
        along *= 1.0f / N;
        for (int from = first; from < first + WIDTH; from += TOGETHER) {
            float results[TOGETHER];
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) {
                const float unit = (OF(x, t * N + from + i) - mean) * scale;
                results[i] = scale * (gain[from + i] * OF(grad_y, t * N + from + i) - level - along * unit);
            }
#pragma unroll
            for (int i = 0; i < TOGETHER; ++i) put<MODE>(OF(grad_x, t * N + from + i), results[i]);
        }
    }
}

// ∂g and ∂c of each sequence: parts (2, N).
template <int T, int N>
DEVICE void norm_grad_parts(Id id, const float *x, const float *kept, const float *grad_y, float *parts) {
    EACH(i, N) {
        float of_gain = 0.0f, of_bias = 0.0f;
#pragma unroll 4
        for (int t = 0; t < T; ++t) {
            const float slope = OF(grad_y, t * N + i);
            of_gain += slope * (OF(x, t * N + i) - OF(kept, t)) * OF(kept, T + t);
            of_bias += slope;
        }
        OF(parts, i) = of_gain;
        OF(parts, N + i) = of_bias;
    }
}
