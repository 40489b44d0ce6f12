// Layer normalisation of every token: y = g ⊙ x̂ + c with x̂ = (x − μ)/√(σ² + ε); x (T, N), g and c (N).
// kept: μ of every token, then 1/√(σ² + ε) of every token.

template <int T, int N>
DEVICE void norm_forward(Id id, const float *x, const float *gain, const float *bias, float *kept, float *y) {
    EACH(t, T) {
        float mean = 0.0f, square = 0.0f;
        for (int i = 0; i < N; ++i) mean += OF(x, t * N + i);
        mean *= 1.0f / N;
        for (int i = 0; i < N; ++i) square += (OF(x, t * N + i) - mean) * (OF(x, t * N + i) - mean);
        const float scale = 1.0f / sqrtf(square * (1.0f / N) + 1e-5f);
        OF(kept, t) = mean;
        OF(kept, T + t) = scale;
        for (int i = 0; i < N; ++i) OF(y, t * N + i) = gain[i] * ((OF(x, t * N + i) - mean) * scale) + bias[i];
    }
}

// grad_x = (u − mean(u) − x̂ mean(u ⊙ x̂))/√(σ² + ε) with u = g ⊙ grad_y.
template <int MODE, int T, int N>
DEVICE void norm_grad_x(Id id, const float *x, const float *gain, const float *kept, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    EACH(t, T) {
        const float mean = OF(kept, t), scale = OF(kept, T + t);
        float level = 0.0f, along = 0.0f;
        for (int i = 0; i < N; ++i) {
            const float u = gain[i] * OF(grad_y, t * N + i);
            level += u;
            along += u * (OF(x, t * N + i) - mean) * scale;
        }
        level *= 1.0f / N;
        along *= 1.0f / N;
        for (int i = 0; i < N; ++i) {
            const float unit = (OF(x, t * N + i) - mean) * scale;
            put<MODE>(OF(grad_x, t * N + i), scale * (gain[i] * OF(grad_y, t * N + i) - level - along * unit));
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
