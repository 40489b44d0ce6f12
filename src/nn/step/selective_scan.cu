// A linear recurrence whose decay, input and readout depend on the token, in channels or in heads of channels:
// h_t[e, n] = exp(Δ_t A) h_{t−1}[e, n] + Δ_t B_t[n] x_t[e]; y_t[e] = Σ_n C_t[n] h_t[e, n] for the last M of T tokens.
//
// Channels (HEADS = 0): Δ (T, E), A (E, N). Heads: Δ (T, HEADS), A (HEADS), and the E channels belong to the heads in
// order. x (T, E), B (T, N), C (M, N). kept: all h, (T, E, N); the backward pass writes ∂h over them. scratch: ∂A of
// each channel, (E, N), or of each channel and all its states, (E); in heads also ∂Δ by channel, (T, E).

// States that a thread carries at a time.
constexpr int AT_ONCE = 8;

template <int T, int E, int HEADS>
DEVICE float delta_of(Id id, const float *delta, int t, int e) {
    return HEADS > 0 ? OF(delta, t * HEADS + e / (E / (HEADS > 0 ? HEADS : 1))) : OF(delta, t * E + e);
}

template <int E, int N, int HEADS>
DEVICE float rate_of(const float *rate, int e, int n) {
    return HEADS > 0 ? rate[e / (E / (HEADS > 0 ? HEADS : 1))] : rate[e * N + n];
}

template <int T, int E, int N, int HEADS>
DEVICE void selective_states(Id id, const float *delta, const float *x, const float *write, const float *rate,
                             float *kept) {
    EACH(item, E * N) {
        const int e = item / N, n = item % N;
        const float a = rate_of<E, N, HEADS>(rate, e, n);
        float h = 0.0f;
        for (int t = 0; t < T; ++t) {
            const float d = delta_of<T, E, HEADS>(id, delta, t, e);
            h = expf(d * a) * h + d * OF(x, t * E + e) * OF(write, t * N + n);
            OF(kept, (t * E + e) * N + n) = h;
        }
    }
}

template <int M, int T, int E, int N>
DEVICE void selective_read(Id id, const float *read, const float *kept, float *y) {
    EACH(item, M * E) {
        const int t = item / E, e = item % E;
        float sum = 0.0f;
#pragma unroll 8
        for (int n = 0; n < N; ++n) sum += OF(read, t * N + n) * OF(kept, ((t + T - M) * E + e) * N + n);
        OF(y, item) = sum;
    }
}

// ∂C_t[n] = Σ_e ∂y_t[e] h_t[e, n].
template <int MODE, int M, int T, int E, int N>
DEVICE void selective_grad_read(Id id, const float *kept, const float *grad_y, float *grad_read) {
    if (MODE == NONE) return;
    EACH(item, M * N) {
        const int t = item / N, n = item % N;
        float sum = 0.0f;
#pragma unroll 4
        for (int e = 0; e < E; ++e) sum += OF(grad_y, t * E + e) * OF(kept, ((t + T - M) * E + e) * N + n);
        put<MODE>(OF(grad_read, item), sum);
    }
}

// Backwards through time, a channel a thread: ∂x and ∂Δ, ∂A, and ∂h in place of h.
template <int MODE_DELTA, int MODE_X, int M, int T, int E, int N, int HEADS>
DEVICE void selective_grad_states(Id id, const float *delta, const float *x, const float *write, const float *read,
                                  const float *rate,
                                  float *kept, const float *grad_y, float *grad_delta, float *grad_x, float *scratch) {
    EACH(e, E) {
        float whole = 0.0f;  // ∂A over all states
        for (int first = 0; first < N; first += AT_ONCE) {
            float slope[AT_ONCE], by_rate[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) slope[i] = by_rate[i] = 0.0f;
            for (int t = T - 1; t >= 0; --t) {
                const float d = delta_of<T, E, HEADS>(id, delta, t, e), value = OF(x, t * E + e);
                const float answer = t >= T - M ? OF(grad_y, (t - T + M) * E + e) : 0.0f;
                float by_taken = 0.0f, by_delta = 0.0f;
#pragma unroll
                for (int i = 0; i < AT_ONCE; ++i) {
                    const int n = first + i;
                    if (n < N) {
                        const float a = rate_of<E, N, HEADS>(rate, e, n);
                        if (t >= T - M) slope[i] += answer * OF(read, (t - T + M) * N + n);
                        by_taken += slope[i] * OF(write, t * N + n);
                        OF(kept, (t * E + e) * N + n) = slope[i];
                        slope[i] *= expf(d * a);
                        const float by_exponent = t > 0 ? slope[i] * OF(kept, ((t - 1) * E + e) * N + n) : 0.0f;
                        by_rate[i] += by_exponent * d;
                        by_delta += by_exponent * a;
                    }
                }
                by_delta += by_taken * value;
                const bool begins = first == 0;
                if (MODE_X == ADD || (MODE_X == SET && !begins)) OF(grad_x, t * E + e) += by_taken * d;
                if (MODE_X == SET && begins) OF(grad_x, t * E + e) = by_taken * d;
                float *to = HEADS > 0 ? scratch + E * LANES : grad_delta;
                constexpr int MODE = HEADS > 0 ? SET : MODE_DELTA;
                if (MODE == ADD || (MODE == SET && !begins)) OF(to, t * E + e) += by_delta;
                if (MODE == SET && begins) OF(to, t * E + e) = by_delta;
            }
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) {
                whole += by_rate[i];
                if (HEADS == 0 && first + i < N) OF(scratch, e * N + first + i) = by_rate[i];
            }
        }
        if (HEADS > 0) OF(scratch, e) = whole;
    }
}

// ∂B_t[n] = Σ_e ∂h_t[e, n] Δ_t x_t[e].
template <int MODE, int T, int E, int N, int HEADS>
DEVICE void selective_grad_write(Id id, const float *delta, const float *x, const float *kept, float *grad_write) {
    if (MODE == NONE) return;
    EACH(item, T * N) {
        const int t = item / N, n = item % N;
        float sum = 0.0f;
#pragma unroll 4
        for (int e = 0; e < E; ++e)
            sum += OF(kept, (t * E + e) * N + n) * delta_of<T, E, HEADS>(id, delta, t, e) * OF(x, t * E + e);
        put<MODE>(OF(grad_write, item), sum);
    }
}

// ∂Δ of a head: the sum over its channels.
template <int MODE, int T, int E, int HEADS>
DEVICE void selective_grad_delta(Id id, const float *scratch, float *grad_delta) {
    if (MODE == NONE) return;
    constexpr int EACH_HEAD = E / (HEADS > 0 ? HEADS : 1);
    EACH(item, T * HEADS) {
        const int t = item / HEADS, head = item % HEADS;
        float sum = 0.0f;
        for (int e = head * EACH_HEAD; e < (head + 1) * EACH_HEAD; ++e) sum += OF(scratch, E + t * E + e);
        put<MODE>(OF(grad_delta, item), sum);
    }
}

template <int E, int HEADS>
DEVICE void selective_grad_rate(Id id, const float *scratch, float *grad_rate) {
    constexpr int EACH_HEAD = E / (HEADS > 0 ? HEADS : 1);
    EACH_WEIGHT(head, HEADS) {
        float sum = 0.0f;
        for (int e = head * EACH_HEAD; e < (head + 1) * EACH_HEAD; ++e) sum += sum_of_lanes(scratch + e * LANES, head);
        grad_rate[head] += sum;
    }
}
