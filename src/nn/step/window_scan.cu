// The window recurrence of the GD-SSM: S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t with X_t the W rows of x from window_stride(W) t
// on (from 0), N windows. x (·, D), Λ (D, D), Q (W, W), D "pick" (W). kept: S_N (D, D), then R_N = ∂S_N/∂Λ (D, D), with
// R_t = Λ ⊙ R_{t−1} + S_{t−1}.

// Tokens from the start of one window to that of the next; windows of two or three share a token with the next.
SIZES constexpr int window_stride(int w) { return w == 3 ? 2 : 1; }

// Columns of a row of the state that a thread carries, and how many threads share a row.
SIZES constexpr int window_columns(int d) { return least(least(d, 16), up(d * d, WORKERS)); }
SIZES constexpr int window_parts(int d) { return up(d, window_columns(d)); }

template <int W, int N, int D>
DEVICE void window_states(Id id, const float *x, const float *decay, const float *mix, float *kept) {
    constexpr int J = window_columns(D), PARTS = window_parts(D), S = window_stride(W);
    EACH(item, D * PARTS) {
        const int i = item / PARTS, first = item % PARTS * J;
        float state[J], slope[J], factor[J], row[J], own[W];
#pragma unroll
        for (int j = 0; j < J; ++j) {
            state[j] = slope[j] = 0.0f;
            factor[j] = decay[i * D + least(first + j, D - 1)];
            row[j] = OF(x, least(first + j, D - 1));
        }
        own[0] = OF(x, i);
        for (int t = 0; t < N; ++t) {
            float mixed[W];
#pragma unroll
            for (int a = W == 1 ? 0 : 1; a < W; ++a) own[a] = OF(x, (S * t + a) * D + i);
#pragma unroll
            for (int b = 0; b < W; ++b) {
                mixed[b] = 0.0f;
#pragma unroll
                for (int a = 0; a < W; ++a) mixed[b] += own[a] * mix[a * W + b];
            }
            own[0] = own[W - 1];
#pragma unroll
            for (int j = 0; j < J; ++j) {
                const int column = least(first + j, D - 1);
                slope[j] = factor[j] * slope[j] + state[j];
                state[j] *= factor[j];
                if (W > 1) state[j] += mixed[0] * row[j];
#pragma unroll
                for (int b = W == 1 ? 0 : 1; b < W; ++b) {
                    row[j] = OF(x, (S * t + b) * D + column);
                    state[j] += mixed[b] * row[j];
                }
            }
        }
#pragma unroll
        for (int j = 0; j < J; ++j)
            if (first + j < D) {
                OF(kept, i * D + first + j) = state[j];
                OF(kept, (D + i) * D + first + j) = slope[j];
            }
    }
}

// Number j of X_Nᵀ pick; `last` is X_N.
template <int W, int D>
DEVICE float window_query(Id id, const float *last, const float *pick, int j) {
    float sum = 0.0f;
#pragma unroll
    for (int a = 0; a < W; ++a) sum += pick[a] * OF(last, a * D + j);
    return sum;
}

// y = S_N X_Nᵀ pick: (D).
template <int W, int D>
DEVICE void window_read(Id id, const float *last, const float *pick, const float *kept, float *y) {
    EACH(i, D) {
        float sum = 0.0f;
#pragma unroll 8
        for (int j = 0; j < D; ++j) sum += OF(kept, i * D + j) * window_query<W, D>(id, last, pick, j);
        OF(y, i) = sum;
    }
}

// ∂query_j = Σ_i ∂y_i S_ij.
template <int D>
DEVICE void window_grad_query(Id id, const float *kept, const float *grad_y, float *grad_query) {
    EACH(j, D) {
        float sum = 0.0f;
#pragma unroll 8
        for (int i = 0; i < D; ++i) sum += OF(grad_y, i) * OF(kept, i * D + j);
        OF(grad_query, j) = sum;
    }
}

// ∂S_N = ∂y queryᵀ.
template <int W, int D>
DEVICE void window_grad_state(Id id, const float *last, const float *pick, const float *grad_y, float *grad_state) {
    EACH(item, D * D) OF(grad_state, item) = OF(grad_y, item / D) * window_query<W, D>(id, last, pick, item % D);
}

// ∂Λ += Σ ∂S_N ⊙ R_N.
template <int D>
DEVICE void window_grad_decay(Id id, const float *kept, const float *grad_state, float *grad_decay) {
    EACH_WEIGHT(item, D * D) {
        grad_decay[item] += dot_of_lanes(grad_state + item * LANES, kept + (D * D + item) * LANES, item);
    }
}

// ∂Q by row and part of a row: Σ_t X_t[a, i] (∂S_t X_tᵀ)[i, b], the last t first, into parts (W · W, D · PARTS).
template <int W, int N, int D>
DEVICE void window_grad_mix(Id id, const float *x, const float *decay, const float *grad_state, float *parts) {
    constexpr int J = window_columns(D), PARTS = window_parts(D), S = window_stride(W), LAST = S * (N - 1) + W - 1;
    EACH(item, D * PARTS) {
        const int i = item / PARTS, first = item % PARTS * J;
        float slope[J], factor[J], row[J], own[W], sums[W * W];
#pragma unroll
        for (int j = 0; j < J; ++j) {
            const int column = least(first + j, D - 1);
            slope[j] = first + j < D ? OF(grad_state, i * D + column) : 0.0f;
            factor[j] = decay[i * D + column];
            row[j] = OF(x, LAST * D + column);
        }
#pragma unroll
        for (int k = 0; k < W * W; ++k) sums[k] = 0.0f;
        own[W - 1] = OF(x, LAST * D + i);
        for (int t = N - 1; t >= 0; --t) {
            float right[W];
#pragma unroll
            for (int b = 0; b < W; ++b) right[b] = 0.0f;
#pragma unroll
            for (int j = 0; j < J; ++j) {
                const int column = least(first + j, D - 1);
                if (W > 1) right[W - 1] += slope[j] * row[j];
#pragma unroll
                for (int b = W == 1 ? 0 : W - 2; b >= 0; --b) {
                    row[j] = OF(x, (S * t + b) * D + column);
                    right[b] += slope[j] * row[j];
                }
                slope[j] *= factor[j];
            }
#pragma unroll
            for (int a = 0; a < (W == 1 ? 1 : W - 1); ++a) own[a] = OF(x, (S * t + a) * D + i);
#pragma unroll
            for (int k = 0; k < W * W; ++k) sums[k] += own[k / W] * right[k % W];
            own[W - 1] = own[0];
        }
#pragma unroll
        for (int k = 0; k < W * W; ++k) OF(parts, k * D * PARTS + item) = sums[k];
    }
}

// ∂Q of each sequence from its parts, and ∂pick: sums (W · W + W).
template <int W, int D>
DEVICE void window_sum_parts(Id id, const float *last, const float *grad_query, const float *parts, float *sums) {
    constexpr int COUNT = D * window_parts(D);
    EACH(item, W * W + W) {
        float sum = 0.0f;
        if (item < W * W)
            for (int i = 0; i < COUNT; ++i) sum += OF(parts, item * COUNT + i);
        else
            for (int j = 0; j < D; ++j) sum += OF(grad_query, j) * OF(last, (item - W * W) * D + j);
        OF(sums, item) = sum;
    }
}

// right[t, b, i] = (∂S_t X_tᵀ)[i, b] where the gradient by x is needed.
template <int W, int N, int D>
DEVICE void window_grad_rows(Id id, const float *x, const float *decay, const float *grad_state, float *right) {
    EACH(i, D) {
        for (int j = 0; j < D; ++j) {
            float slope = OF(grad_state, i * D + j);
            for (int t = N - 1; t >= 0; --t) {
#pragma unroll
                for (int b = 0; b < W; ++b) {
                    const float part = slope * OF(x, (window_stride(W) * t + b) * D + j);
                    OF(right, (t * W + b) * D + i) = j > 0 ? OF(right, (t * W + b) * D + i) + part : part;
                }
                slope *= decay[i * D + j];
            }
        }
    }
}

// left[t, a, j] = (∂S_tᵀ X_tᵀ)[j, a].
template <int W, int N, int D>
DEVICE void window_grad_columns(Id id, const float *x, const float *decay, const float *grad_state, float *left) {
    EACH(j, D) {
        for (int i = 0; i < D; ++i) {
            float slope = OF(grad_state, i * D + j);
            for (int t = N - 1; t >= 0; --t) {
#pragma unroll
                for (int a = 0; a < W; ++a) {
                    const float part = slope * OF(x, (window_stride(W) * t + a) * D + i);
                    OF(left, (t * W + a) * D + j) = i > 0 ? OF(left, (t * W + a) * D + j) + part : part;
                }
                slope *= decay[i * D + j];
            }
        }
    }
}

// ∂Q[a, b] = Σ_t Σ_i X_t[a, i] right[t, b, i] of each sequence: sums (W · W).
template <int W, int N, int D>
DEVICE void window_sum_mix(Id id, const float *x, const float *right, float *sums) {
    EACH(item, W * W) {
        float sum = 0.0f;
        for (int t = 0; t < N; ++t)
            for (int i = 0; i < D; ++i)
                sum += OF(x, (window_stride(W) * t + item / W) * D + i) * OF(right, (t * W + item % W) * D + i);
        OF(sums, item) = sum;
    }
}

// ∂pick of each sequence: sums (W).
template <int W, int D>
DEVICE void window_sum_pick(Id id, const float *last, const float *grad_query, float *sums) {
    EACH(a, W) {
        float sum = 0.0f;
        for (int j = 0; j < D; ++j) sum += OF(grad_query, j) * OF(last, a * D + j);
        OF(sums, a) = sum;
    }
}

// Number i of ∂x at a token: from the windows that hold it.
template <int W, int N, int D>
DEVICE float window_grad_token(Id id, const float *mix, const float *right, const float *left, int token, int i) {
    constexpr int S = window_stride(W);
    float sum = 0.0f;
    for (int t = token < W - 1 ? 0 : up(token - W + 1, S); t < N && S * t <= token; ++t) {
        const int row = token - S * t;
#pragma unroll
        for (int k = 0; k < W; ++k)
            sum += mix[row * W + k] * OF(right, (t * W + k) * D + i) + mix[k * W + row] * OF(left, (t * W + k) * D + i);
    }
    return sum;
}

template <int MODE, int W, int N, int D>
DEVICE void window_grad_x(Id id, const float *mix, const float *pick, const float *right, const float *left,
                          const float *grad_query, float *grad_x) {
    if (MODE == NONE) return;
    constexpr int LAST = window_stride(W) * (N - 1);
    EACH(item, (LAST + W) * D) {
        const int token = item / D, i = item % D;
        float sum = window_grad_token<W, N, D>(id, mix, right, left, token, i);
        if (token >= LAST) sum += pick[token - LAST] * OF(grad_query, i);
        put<MODE>(OF(grad_x, item), sum);
    }
}

// The recurrence as a layer, with windows of three: its last state answers at every window, at the token y_{t+1}; x
// (2N+2, D), window 0 is (0, 0, x₁).

// Number j of X_tᵀ pick for t = 0 … N.
template <int D>
DEVICE float window_query_at(Id id, const float *x, const float *pick, int t, int j) {
    float sum = 0.0f;
#pragma unroll
    for (int a = 0; a < 3; ++a)
        if (2 * t + a >= 2) sum += pick[a] * OF(x, (2 * t + a - 2) * D + j);
    return sum;
}

template <int N, int D>
DEVICE void window_answers(Id id, const float *x, const float *pick, const float *kept, float *y) {
    EACH(item, (2 * N + 2) * D) {
        const int token = item / D, i = item % D;
        float sum = 0.0f;
        if (token % 2 == 1)
            for (int j = 0; j < D; ++j) sum += OF(kept, i * D + j) * window_query_at<D>(id, x, pick, token / 2, j);
        OF(y, item) = sum;
    }
}

// ∂S_N = Σ_t ∂y_t query_tᵀ.
template <int N, int D>
DEVICE void window_layer_grad_state(Id id, const float *x, const float *pick, const float *grad_y, float *grad_state) {
    EACH(item, D * D) {
        float sum = 0.0f;
        for (int t = 0; t <= N; ++t) {
            sum += OF(grad_y, (2 * t + 1) * D + item / D) * window_query_at<D>(id, x, pick, t, item % D);
        }
        OF(grad_state, item) = sum;
    }
}

// ∂query of every window: (N + 1, D).
template <int N, int D>
DEVICE void window_layer_grad_query(Id id, const float *kept, const float *grad_y, float *grad_query) {
    EACH(item, (N + 1) * D) {
        float sum = 0.0f;
        for (int i = 0; i < D; ++i) sum += OF(grad_y, (2 * (item / D) + 1) * D + i) * OF(kept, i * D + item % D);
        OF(grad_query, item) = sum;
    }
}

// ∂pick of each sequence: sums (3).
template <int N, int D>
DEVICE void window_layer_sum_pick(Id id, const float *x, const float *grad_query, float *sums) {
    EACH(a, 3) {
        float sum = 0.0f;
        for (int t = 0; t <= N; ++t)
            if (2 * t + a >= 2)
                for (int j = 0; j < D; ++j) sum += OF(grad_query, t * D + j) * OF(x, (2 * t + a - 2) * D + j);
        OF(sums, a) = sum;
    }
}

template <int MODE, int N, int D>
DEVICE void window_layer_grad_x(Id id, const float *mix, const float *pick, const float *right, const float *left,
                                const float *grad_query, float *grad_x) {
    if (MODE == NONE) return;
    EACH(item, (2 * N + 2) * D) {
        const int token = item / D, i = item % D;
        float sum = token <= 2 * N ? window_grad_token<3, N, D>(id, mix, right, left, token, i) : 0.0f;
        for (int t = 0; t <= N; ++t) {
            const int a = token - 2 * t + 2;
            if (a >= 0 && a < 3) sum += pick[a] * OF(grad_query, t * D + i);
        }
        put<MODE>(OF(grad_x, item), sum);
    }
}
