// Steps between the tokens of one sequence: a token added to all, softmax over tokens, sums weighted by token, and the
// products of a matrix that a sequence has made with a vector.

// out_t = x_t + y for every token t; x (T, N), y (N).
template <int T, int N>
DEVICE void plus_token_forward(Id id, const float *x, const float *y, float *out) {
    EACH(item, T * N) OF(out, item) = OF(x, item) + OF(y, item % N);
}

template <int MODE, int T, int N>
DEVICE void plus_token_grad_y(Id id, const float *grad_out, float *grad_y) {
    if (MODE == NONE) return;
    EACH(i, N) {
        float sum = 0.0f;
        for (int t = 0; t < T; ++t) sum += OF(grad_out, t * N + i);
        put<MODE>(OF(grad_y, i), sum);
    }
}

// y_t = exp(x_t)/Σ_s exp(x_s) for each of the N numbers of a token.
template <int T, int N>
DEVICE void softmax_tokens_forward(Id id, const float *x, float *y) {
    EACH(i, N) {
        float most = -INFINITY, sum = 0.0f;
        for (int t = 0; t < T; ++t) most = fmaxf(most, OF(x, t * N + i));
        for (int t = 0; t < T; ++t) {
            const float p = expf(OF(x, t * N + i) - most);
            OF(y, t * N + i) = p;
            sum += p;
        }
        for (int t = 0; t < T; ++t) OF(y, t * N + i) /= sum;
    }
}

template <int MODE, int T, int N>
DEVICE void softmax_tokens_backward(Id id, const float *y, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    EACH(i, N) {
        float mean = 0.0f;
        for (int t = 0; t < T; ++t) mean += OF(y, t * N + i) * OF(grad_y, t * N + i);
        for (int t = 0; t < T; ++t) put<MODE>(OF(grad_x, t * N + i), OF(y, t * N + i) * (OF(grad_y, t * N + i) - mean));
    }
}

// out[a, b] = Σ_t x_t[a] y_t[b]: x (T, A), y (T, B), out (A, B).
template <int T, int A, int B>
DEVICE void contract_forward(Id id, const float *x, const float *y, float *out) {
    EACH(item, A * B) {
        float sum = 0.0f;
#pragma unroll 4
        for (int t = 0; t < T; ++t) sum += OF(x, t * A + item / B) * OF(y, t * B + item % B);
        OF(out, item) = sum;
    }
}

template <int MODE, int T, int A, int B>
DEVICE void contract_grad_x(Id id, const float *y, const float *grad_out, float *grad_x) {
    if (MODE == NONE) return;
    EACH(item, T * A) {
        float sum = 0.0f;
        for (int b = 0; b < B; ++b) sum += OF(y, item / A * B + b) * OF(grad_out, item % A * B + b);
        put<MODE>(OF(grad_x, item), sum);
    }
}

template <int MODE, int T, int A, int B>
DEVICE void contract_grad_y(Id id, const float *x, const float *grad_out, float *grad_y) {
    if (MODE == NONE) return;
    EACH(item, T * B) {
        float sum = 0.0f;
        for (int a = 0; a < A; ++a) sum += OF(x, item / B * A + a) * OF(grad_out, a * B + item % B);
        put<MODE>(OF(grad_y, item), sum);
    }
}

// out_a = Σ_b x[a, b] y_b: x (A, B), y (B).
template <int A, int B>
DEVICE void matrix_times_forward(Id id, const float *x, const float *y, float *out) {
    EACH(a, A) {
        float sum = 0.0f;
        for (int b = 0; b < B; ++b) sum += OF(x, a * B + b) * OF(y, b);
        OF(out, a) = sum;
    }
}

template <int MODE, int A, int B>
DEVICE void matrix_times_grad_x(Id id, const float *y, const float *grad_out, float *grad_x) {
    if (MODE != NONE) EACH(item, A * B) put<MODE>(OF(grad_x, item), OF(grad_out, item / B) * OF(y, item % B));
}

template <int MODE, int A, int B>
DEVICE void matrix_times_grad_y(Id id, const float *x, const float *grad_out, float *grad_y) {
    if (MODE == NONE) return;
    EACH(b, B) {
        float sum = 0.0f;
        for (int a = 0; a < A; ++a) sum += OF(x, a * B + b) * OF(grad_out, a);
        put<MODE>(OF(grad_y, b), sum);
    }
}

// The last state of s_t = Λ ⊙ s_{t−1} + x_t, with a real row Λ: x (T, N). kept: ∂s_T/∂Λ (N).
template <int T, int N>
DEVICE void decay_scan_forward(Id id, const float *x, const float *decay, float *kept, float *y) {
    EACH(n, N) {
        float state = 0.0f, slope = 0.0f;
        for (int t = 0; t < T; ++t) {
            slope = decay[n] * slope + state;
            state = decay[n] * state + OF(x, t * N + n);
        }
        OF(kept, n) = slope;
        OF(y, n) = state;
    }
}

template <int MODE, int T, int N>
DEVICE void decay_scan_grad_x(Id id, const float *decay, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    EACH(n, N) {
        float slope = OF(grad_y, n);
        for (int t = T - 1; t >= 0; --t) {
            put<MODE>(OF(grad_x, t * N + n), slope);
            slope *= decay[n];
        }
    }
}

template <int N>
DEVICE void decay_scan_grad_decay(Id id, const float *kept, const float *grad_y, float *grad_decay) {
    EACH_WEIGHT(n, N) {
        grad_decay[n] += dot_of_lanes(kept + n * LANES, grad_y + n * LANES, n);
    }
}

// The tokens in reverse order: x (T, N).
template <int T, int N>
DEVICE void reverse_forward(Id id, const float *x, float *y) {
    EACH(item, T * N) OF(y, item) = OF(x, (T - 1 - item / N) * N + item % N);
}

template <int MODE, int T, int N>
DEVICE void reverse_backward(Id id, const float *grad_y, float *grad_x) {
    if (MODE != NONE) EACH(item, T * N) put<MODE>(OF(grad_x, item), OF(grad_y, (T - 1 - item / N) * N + item % N));
}
