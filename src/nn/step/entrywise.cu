// What is done to every number alike: sums and products of sequences or with a row, and functions.

template <int COUNT>
DEVICE void plus_forward(Id id, const float *x, const float *y, float *out) {
    EACH(i, COUNT) OF(out, i) = OF(x, i) + OF(y, i);
}

// out = factor * x, from the number FIRST of x on; zeros past the last of ALL.
template <int COUNT, int FIRST, int ALL>
DEVICE void scale_forward(Id id, const float *x, float factor, float *out) {
    EACH(i, COUNT) OF(out, i) = FIRST + i < ALL ? factor * OF(x, FIRST + i) : 0.0f;
}

template <int MODE, int COUNT, int FIRST, int ALL>
DEVICE void scale_backward(Id id, const float *grad_out, float factor, float *grad_x) {
    if (MODE == NONE) return;
    EACH(i, ALL) {
        const bool within = i >= FIRST && i < FIRST + COUNT;
        if (within) put<MODE>(OF(grad_x, i), factor * OF(grad_out, i - FIRST));
        else if (MODE == SET) OF(grad_x, i) = 0.0f;
    }
}

template <int COUNT>
DEVICE void times_forward(Id id, const float *x, const float *y, float *out) {
    EACH(i, COUNT) OF(out, i) = OF(x, i) * OF(y, i);
}

template <int MODE, int COUNT>
DEVICE void times_backward(Id id, const float *other, const float *grad_out, float *grad) {
    if (MODE != NONE) EACH(i, COUNT) put<MODE>(OF(grad, i), OF(other, i) * OF(grad_out, i));
}

template <int COUNT, int WIDTH>
DEVICE void plus_row_forward(Id id, const float *x, const float *row, float *out) {
    EACH(i, COUNT) OF(out, i) = OF(x, i) + row[i % WIDTH];
}

// grad_row += Σ grad_out over tokens and sequences.
template <int COUNT, int WIDTH>
DEVICE void plus_row_grad_row(Id id, const float *grad_out, float *grad_row) {
    EACH_WEIGHT(c, WIDTH) {
        float sum = 0.0f;
        for (int t = 0; t < COUNT / WIDTH; ++t) sum += sum_of_lanes(grad_out + (t * WIDTH + c) * LANES, c);
        grad_row[c] += sum;
    }
}

template <int COUNT, int WIDTH>
DEVICE void times_row_forward(Id id, const float *x, const float *row, float *out) {
    EACH(i, COUNT) OF(out, i) = OF(x, i) * row[i % WIDTH];
}

template <int MODE, int COUNT, int WIDTH>
DEVICE void times_row_grad_x(Id id, const float *row, const float *grad_out, float *grad_x) {
    if (MODE != NONE) EACH(i, COUNT) put<MODE>(OF(grad_x, i), row[i % WIDTH] * OF(grad_out, i));
}

template <int COUNT, int WIDTH>
DEVICE void times_row_grad_row(Id id, const float *x, const float *grad_out, float *grad_row) {
    EACH_WEIGHT(c, WIDTH) {
        float sum = 0.0f;
        for (int t = 0; t < COUNT / WIDTH; ++t)
            sum += dot_of_lanes(x + (t * WIDTH + c) * LANES, grad_out + (t * WIDTH + c) * LANES, c);
        grad_row[c] += sum;
    }
}

enum Function { RELU, TANH, SILU, SOFTPLUS, SIGMOID, GELU };

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// f(x).
template <int F>
DEVICE float value_of(float x) {
    if (F == RELU) return x < 0.0f ? 0.0f : x;
    if (F == TANH) return tanhf(x);
    if (F == SILU) return x * sigmoid(x);
    if (F == SOFTPLUS) return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
    if (F == SIGMOID) return sigmoid(x);
    // x Φ(x) by its tanh approximation, for ½ (1 + tanh u) = σ(2u).
    return x * sigmoid(1.5957691216f * (x + 0.044715f * x * x * x));
}

// f'(x).
template <int F>
DEVICE float slope_of(float x) {
    if (F == RELU) return x < 0.0f ? 0.0f : 1.0f;
    if (F == TANH) return 1.0f - tanhf(x) * tanhf(x);
    const float s = F == GELU ? 0.0f : sigmoid(x);
    if (F == SILU) return s * (1.0f + x * (1.0f - s));
    if (F == SOFTPLUS) return s;
    if (F == SIGMOID) return s * (1.0f - s);
    const float half = sigmoid(1.5957691216f * (x + 0.044715f * x * x * x));
    return half + x * half * (1.0f - half) * 1.5957691216f * (1.0f + 3.0f * 0.044715f * x * x);
}

template <int F, int COUNT>
DEVICE void apply_forward(Id id, const float *x, float *out) {
    EACH(i, COUNT) OF(out, i) = value_of<F>(OF(x, i));
}

template <int MODE, int F, int COUNT>
DEVICE void apply_backward(Id id, const float *x, const float *grad_out, float *grad_x) {
    if (MODE != NONE) EACH(i, COUNT) put<MODE>(OF(grad_x, i), slope_of<F>(OF(x, i)) * OF(grad_out, i));
}

// grad_weight += Σ of a number that each sequence has left for it.
template <int COUNT>
DEVICE void sum_lanes(Id id, const float *parts, float *grad_weight) {
    EACH_WEIGHT(i, COUNT) {
        grad_weight[i] += sum_of_lanes(parts + i * LANES, i);
    }
}
