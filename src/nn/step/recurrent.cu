// A recurrent layer of U units: a cell reads one token after the other. Each gate reads x_t W + c + h_{t−1} U, or what
// the cell reads in place of h. kept: the gates (GATES, T, U), which the backward pass turns into the gradients by what
// they were made of; then h_t (T, U); then, of a GRU r ⊙ h_{t−1}, of an LSTM c_t (T, U). scratch: what goes back to the
// token before (U).

enum Cell { RNN, GRU, LSTM };

SIZES constexpr int gates_of(int cell) { return cell == RNN ? 1 : cell == GRU ? 3 : 4; }

struct Recurrent {
    const float *past[4], *transposed[4];  // U and Uᵀ of each gate
};

// Σ_k row_k weight[k, i]: what gate i reads of a row.
template <int U>
DEVICE float row_times(Id id, const float *row, const float *weight, int i) {
    float sum = 0.0f;
#pragma unroll 16
    for (int k = 0; k < U; ++k) sum += OF(row, k) * weight[k * U + i];
    return sum;
}

// The first phase of token t; the only one of an RNN and of an LSTM.
template <int CELL, int T, int U>
DEVICE void recurrent_forward(Id id, Recurrent weights, float *kept, int t) {
    constexpr int GATES = gates_of(CELL);
    float *h = kept + GATES * T * U * LANES, *extra = h + T * U * LANES;
    const float *before = h + (t - 1) * U * LANES;
    EACH(i, U) {
        float sum[GATES];
#pragma unroll
        for (int g = 0; g < GATES; ++g)
            sum[g] = OF(kept, (g * T + t) * U + i)
                + (t > 0 && !(CELL == GRU && g == 2) ? row_times<U>(id, before, weights.past[g], i) : 0.0f);
        if (CELL == RNN) OF(h, t * U + i) = tanhf(sum[0]);
        if (CELL == GRU) {
            const float update = sigmoid(sum[0]), reset = sigmoid(sum[1 % GATES]);
            OF(kept, t * U + i) = update;
            OF(kept, (T + t) * U + i) = reset;
            OF(extra, t * U + i) = t > 0 ? reset * OF(before, i) : 0.0f;
        }
        if (CELL == LSTM) {
            const float input = sigmoid(sum[0]), forget = sigmoid(sum[1 % GATES]);
            const float output = sigmoid(sum[2 % GATES]), candidate = tanhf(sum[3 % GATES]);
            const float c = input * candidate + (t > 0 ? forget * OF(extra, (t - 1) * U + i) : 0.0f);
            OF(kept, t * U + i) = input;
            OF(kept, (T + t) * U + i) = forget;
            OF(kept, (2 * T + t) * U + i) = output;
            OF(kept, (3 * T + t) * U + i) = candidate;
            OF(extra, t * U + i) = c;
            OF(h, t * U + i) = output * tanhf(c);
        }
    }
}

// The second phase of a GRU's token: the candidate reads r ⊙ h.
template <int T, int U>
DEVICE void recurrent_candidate(Id id, Recurrent weights, float *kept, int t) {
    float *h = kept + 3 * T * U * LANES, *extra = h + T * U * LANES;
    EACH(i, U) {
        const float past = t > 0 ? row_times<U>(id, extra + t * U * LANES, weights.past[2], i) : 0.0f;
        const float candidate = tanhf(OF(kept, (2 * T + t) * U + i) + past), update = OF(kept, t * U + i);
        OF(kept, (2 * T + t) * U + i) = candidate;
        OF(h, t * U + i) = candidate + update * ((t > 0 ? OF(h, (t - 1) * U + i) : 0.0f) - candidate);
    }
}

// From ∂h_t, which the gates of token t + 1 and the answers make, to the gradients by what the gates of token t were
// made of.
template <int CELL, int M, int T, int U>
DEVICE void recurrent_backward(Id id, Recurrent weights, float *kept, const float *grad_y, float *scratch, int t) {
    constexpr int GATES = gates_of(CELL);
    float *h = kept + GATES * T * U * LANES, *extra = h + T * U * LANES;
    const bool is_last = t == T - 1;
    EACH(i, U) {
        float slope = t >= T - M ? OF(grad_y, (t - T + M) * U + i) : 0.0f;
        if (!is_last) {
#pragma unroll
            for (int g = 0; g < GATES; ++g) {
                if (CELL == GRU && g == 2) continue;
                slope += row_times<U>(id, kept + (g * T + t + 1) * U * LANES, weights.transposed[g], i);
            }
            if (CELL == GRU) slope += OF(scratch, i);
        }
        if (CELL == RNN) OF(kept, t * U + i) = slope * (1.0f - OF(h, t * U + i) * OF(h, t * U + i));
        if (CELL == GRU) {
            const float update = OF(kept, t * U + i), candidate = OF(kept, (2 * T + t) * U + i);
            const float before = t > 0 ? OF(h, (t - 1) * U + i) : 0.0f;
            OF(kept, t * U + i) = slope * (before - candidate) * update * (1.0f - update);
            OF(kept, (2 * T + t) * U + i) = slope * (1.0f - update) * (1.0f - candidate * candidate);
            OF(scratch, i) = slope * update;
        }
        if (CELL == LSTM) {
            const float input = OF(kept, t * U + i), forget = OF(kept, (T + t) * U + i);
            const float output = OF(kept, (2 * T + t) * U + i), candidate = OF(kept, (3 * T + t) * U + i);
            const float tanh_c = tanhf(OF(extra, t * U + i)), before = t > 0 ? OF(extra, (t - 1) * U + i) : 0.0f;
            const float by_c = (is_last ? 0.0f : OF(scratch, i)) + slope * output * (1.0f - tanh_c * tanh_c);
            OF(kept, (2 * T + t) * U + i) = slope * tanh_c * output * (1.0f - output);
            OF(kept, (T + t) * U + i) = by_c * before * forget * (1.0f - forget);
            OF(kept, t * U + i) = by_c * candidate * input * (1.0f - input);
            OF(kept, (3 * T + t) * U + i) = by_c * input * (1.0f - candidate * candidate);
            OF(scratch, i) = by_c * forget;
        }
    }
}

template <int T, int U>
DEVICE void recurrent_grad_candidate(Id id, Recurrent weights, float *kept, float *scratch, int t) {
    float *h = kept + 3 * T * U * LANES;
    EACH(i, U) {
        const float slope = row_times<U>(id, kept + (2 * T + t) * U * LANES, weights.transposed[2], i);
        const float reset = OF(kept, (T + t) * U + i), before = t > 0 ? OF(h, (t - 1) * U + i) : 0.0f;
        OF(kept, (T + t) * U + i) = slope * before * reset * (1.0f - reset);
        OF(scratch, i) += slope * reset;
    }
}
