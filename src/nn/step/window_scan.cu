// The window recurrence of the GD-SSM: S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t with X_t the rows 2t, 2t+1, 2t+2 of x (from 0), N windows.
// x (·, D), Λ (D, D), Q (3, 3), D "pick" (3). kept: S_N (D, D), then R_N = ∂S_N/∂Λ (D, D), with R_t = Λ ⊙ R_{t−1} + S_{t−1}.

// Columns of a row of the state that a thread carries, and how many threads share a row.
SIZES constexpr int window_columns(int d) { return least(least(d, 16), up(d * d, WORKERS)); }
SIZES constexpr int window_parts(int d) { return up(d, window_columns(d)); }

template <int N, int D>
DEVICE void window_states(Id id, const float *x, const float *decay, const float *mix, float *kept) {
    constexpr int J = window_columns(D), PARTS = window_parts(D);
    EACH(item, D * PARTS) {
        const int i = item / PARTS, first = item % PARTS * J;
        float state[J], slope[J], factor[J], row[J];
#pragma unroll
        for (int j = 0; j < J; ++j) {
            state[j] = slope[j] = 0.0f;
            factor[j] = decay[i * D + least(first + j, D - 1)];
            row[j] = OF(x, least(first + j, D - 1));
        }
        float a = OF(x, i);
        for (int t = 0; t < N; ++t) {
            const float b = OF(x, (2 * t + 1) * D + i), c = OF(x, (2 * t + 2) * D + i);
            float mixed[3];
#pragma unroll
            for (int k = 0; k < 3; ++k) mixed[k] = a * mix[k] + b * mix[3 + k] + c * mix[6 + k];
            a = c;
#pragma unroll
            for (int j = 0; j < J; ++j) {
                const int column = least(first + j, D - 1);
                const float next = OF(x, (2 * t + 2) * D + column);
                slope[j] = factor[j] * slope[j] + state[j];
                state[j] = factor[j] * state[j] + mixed[0] * row[j] + mixed[1] * OF(x, (2 * t + 1) * D + column) + mixed[2] * next;
                row[j] = next;
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
template <int D>
DEVICE float window_asked(Id id, const float *last, const float *pick, int j) {
    return pick[0] * OF(last, j) + pick[1] * OF(last, D + j) + pick[2] * OF(last, 2 * D + j);
}

// y = S_N X_Nᵀ pick: (D).
template <int D>
DEVICE void window_read(Id id, const float *last, const float *pick, const float *kept, float *y) {
    EACH(i, D) {
        float sum = 0.0f;
#pragma unroll 8
        for (int j = 0; j < D; ++j) sum += OF(kept, i * D + j) * window_asked<D>(id, last, pick, j);
        OF(y, i) = sum;
    }
}

// ∂asked_j = Σ_i ∂y_i S_ij.
template <int D>
DEVICE void window_grad_asked(Id id, const float *kept, const float *grad_y, float *grad_asked) {
    EACH(j, D) {
        float sum = 0.0f;
#pragma unroll 8
        for (int i = 0; i < D; ++i) sum += OF(grad_y, i) * OF(kept, i * D + j);
        OF(grad_asked, j) = sum;
    }
}

// ∂S_N = ∂y askedᵀ.
template <int D>
DEVICE void window_grad_state(Id id, const float *last, const float *pick, const float *grad_y, float *grad_state) {
    EACH(item, D * D) OF(grad_state, item) = OF(grad_y, item / D) * window_asked<D>(id, last, pick, item % D);
}

// ∂Λ += Σ ∂S_N ⊙ R_N.
template <int D>
DEVICE void window_grad_decay(Id id, const float *kept, const float *grad_state, float *grad_decay) {
    EACH_WEIGHT(item, D * D) {
        grad_decay[item] += dot_of_lanes(grad_state + item * LANES, kept + (D * D + item) * LANES, item);
    }
}

// ∂Q by row and part of a row: Σ_t X_t[a, i] (∂S_t X_tᵀ)[i, b], the last t first, into parts (9, D · PARTS).
template <int N, int D>
DEVICE void window_grad_mix(Id id, const float *x, const float *decay, const float *grad_state, float *parts) {
    constexpr int J = window_columns(D), PARTS = window_parts(D);
    EACH(item, D * PARTS) {
        const int i = item / PARTS, first = item % PARTS * J;
        float slope[J], factor[J], row[J], sums[9];
#pragma unroll
        for (int j = 0; j < J; ++j) {
            const int column = least(first + j, D - 1);
            slope[j] = first + j < D ? OF(grad_state, i * D + column) : 0.0f;
            factor[j] = decay[i * D + column];
            row[j] = OF(x, 2 * N * D + column);
        }
#pragma unroll
        for (int k = 0; k < 9; ++k) sums[k] = 0.0f;
        float c = OF(x, 2 * N * D + i);
        for (int t = N - 1; t >= 0; --t) {
            float right[3] = {0.0f, 0.0f, 0.0f};
#pragma unroll
            for (int j = 0; j < J; ++j) {
                const int column = least(first + j, D - 1);
                right[2] += slope[j] * row[j];
                right[1] += slope[j] * OF(x, (2 * t + 1) * D + column);
                row[j] = OF(x, 2 * t * D + column);
                right[0] += slope[j] * row[j];
                slope[j] *= factor[j];
            }
            const float a = OF(x, 2 * t * D + i), b = OF(x, (2 * t + 1) * D + i);
#pragma unroll
            for (int k = 0; k < 3; ++k) {
                sums[k] += a * right[k];
                sums[3 + k] += b * right[k];
                sums[6 + k] += c * right[k];
            }
            c = a;
        }
#pragma unroll
        for (int k = 0; k < 9; ++k) OF(parts, k * D * PARTS + item) = sums[k];
    }
}

// ∂Q of each sequence from its parts, and ∂pick: sums (12).
template <int D>
DEVICE void window_sum_parts(Id id, const float *last, const float *grad_asked, const float *parts, float *sums) {
    constexpr int COUNT = D * window_parts(D);
    EACH(item, 12) {
        float sum = 0.0f;
        if (item < 9)
            for (int i = 0; i < COUNT; ++i) sum += OF(parts, item * COUNT + i);
        else
            for (int j = 0; j < D; ++j) sum += OF(grad_asked, j) * OF(last, (item - 9) * D + j);
        OF(sums, item) = sum;
    }
}

// right[t, b, i] = (∂S_t X_tᵀ)[i, b] where the gradient by x is needed.
template <int N, int D>
DEVICE void window_grad_rows(Id id, const float *x, const float *decay, const float *grad_state, float *right) {
    EACH(i, D) {
        for (int j = 0; j < D; ++j) {
            float slope = OF(grad_state, i * D + j);
            for (int t = N - 1; t >= 0; --t) {
#pragma unroll
                for (int b = 0; b < 3; ++b) {
                    const float part = slope * OF(x, (2 * t + b) * D + j);
                    OF(right, (t * 3 + b) * D + i) = j > 0 ? OF(right, (t * 3 + b) * D + i) + part : part;
                }
                slope *= decay[i * D + j];
            }
        }
    }
}

// left[t, a, j] = (∂S_tᵀ X_tᵀ)[j, a].
template <int N, int D>
DEVICE void window_grad_columns(Id id, const float *x, const float *decay, const float *grad_state, float *left) {
    EACH(j, D) {
        for (int i = 0; i < D; ++i) {
            float slope = OF(grad_state, i * D + j);
            for (int t = N - 1; t >= 0; --t) {
#pragma unroll
                for (int a = 0; a < 3; ++a) {
                    const float part = slope * OF(x, (2 * t + a) * D + i);
                    OF(left, (t * 3 + a) * D + j) = i > 0 ? OF(left, (t * 3 + a) * D + j) + part : part;
                }
                slope *= decay[i * D + j];
            }
        }
    }
}

// ∂Q[a, b] = Σ_t Σ_i X_t[a, i] right[t, b, i] of each sequence: sums (9).
template <int N, int D>
DEVICE void window_sum_mix(Id id, const float *x, const float *right, float *sums) {
    EACH(item, 9) {
        float sum = 0.0f;
        for (int t = 0; t < N; ++t)
            for (int i = 0; i < D; ++i) sum += OF(x, (2 * t + item / 3) * D + i) * OF(right, (t * 3 + item % 3) * D + i);
        OF(sums, item) = sum;
    }
}

// ∂pick of each sequence: sums (3).
template <int D>
DEVICE void window_sum_pick(Id id, const float *last, const float *grad_asked, float *sums) {
    EACH(a, 3) {
        float sum = 0.0f;
        for (int j = 0; j < D; ++j) sum += OF(grad_asked, j) * OF(last, a * D + j);
        OF(sums, a) = sum;
    }
}

// Number i of ∂x at a token: from the windows that hold it.
template <int N, int D>
DEVICE float window_grad_token(Id id, const float *mix, const float *right, const float *left, int token, int i) {
    float sum = 0.0f;
    for (int t = token < 2 ? 0 : up(token - 2, 2); t < N && 2 * t <= token; ++t) {
        const int row = token - 2 * t;
#pragma unroll
        for (int k = 0; k < 3; ++k)
            sum += mix[row * 3 + k] * OF(right, (t * 3 + k) * D + i) + mix[k * 3 + row] * OF(left, (t * 3 + k) * D + i);
    }
    return sum;
}

template <int MODE, int N, int D>
DEVICE void window_grad_x(Id id, const float *mix, const float *pick, const float *right, const float *left, const float *grad_asked, float *grad_x) {
    if (MODE == NONE) return;
    EACH(item, (2 * N + 1) * D) {
        const int token = item / D, i = item % D;
        float sum = window_grad_token<N, D>(id, mix, right, left, token, i);
        if (token >= 2 * N - 2) sum += pick[token - 2 * N + 2] * OF(grad_asked, i);
        put<MODE>(OF(grad_x, item), sum);
    }
}

// The recurrence as a layer: its last state answers at every window, at the token y_{t+1}; x (2N+2, D), window 0 is (0, 0, x₁).

// Number j of X_tᵀ pick for t = 0 … N.
template <int D>
DEVICE float window_asked_at(Id id, const float *x, const float *pick, int t, int j) {
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
            for (int j = 0; j < D; ++j) sum += OF(kept, i * D + j) * window_asked_at<D>(id, x, pick, token / 2, j);
        OF(y, item) = sum;
    }
}

// ∂S_N = Σ_t ∂y_t asked_tᵀ.
template <int N, int D>
DEVICE void window_layer_grad_state(Id id, const float *x, const float *pick, const float *grad_y, float *grad_state) {
    EACH(item, D * D) {
        float sum = 0.0f;
        for (int t = 0; t <= N; ++t) sum += OF(grad_y, (2 * t + 1) * D + item / D) * window_asked_at<D>(id, x, pick, t, item % D);
        OF(grad_state, item) = sum;
    }
}

// ∂asked of every window: (N + 1, D).
template <int N, int D>
DEVICE void window_layer_grad_asked(Id id, const float *kept, const float *grad_y, float *grad_asked) {
    EACH(item, (N + 1) * D) {
        float sum = 0.0f;
        for (int i = 0; i < D; ++i) sum += OF(grad_y, (2 * (item / D) + 1) * D + i) * OF(kept, i * D + item % D);
        OF(grad_asked, item) = sum;
    }
}

// ∂pick of each sequence: sums (3).
template <int N, int D>
DEVICE void window_layer_sum_pick(Id id, const float *x, const float *grad_asked, float *sums) {
    EACH(a, 3) {
        float sum = 0.0f;
        for (int t = 0; t <= N; ++t)
            if (2 * t + a >= 2)
                for (int j = 0; j < D; ++j) sum += OF(grad_asked, t * D + j) * OF(x, (2 * t + a - 2) * D + j);
        OF(sums, a) = sum;
    }
}

template <int MODE, int N, int D>
DEVICE void window_layer_grad_x(Id id, const float *mix, const float *pick, const float *right, const float *left, const float *grad_asked, float *grad_x) {
    if (MODE == NONE) return;
    EACH(item, (2 * N + 2) * D) {
        const int token = item / D, i = item % D;
        float sum = token <= 2 * N ? window_grad_token<N, D>(id, mix, right, left, token, i) : 0.0f;
        for (int t = 0; t <= N; ++t) {
            const int a = token - 2 * t + 2;
            if (a >= 0 && a < 3) sum += pick[a] * OF(grad_asked, t * D + i);
        }
        put<MODE>(OF(grad_x, item), sum);
    }
}
