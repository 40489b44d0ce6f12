// Causal attention with softmax, in heads of width W: y_t = Σ_{s≤t} p_ts v_s with p_t = softmax_s(q_t · k_s / √W).
// q (M, H·W) of the last M of T tokens; k, v (T, H·W). kept: p (H, M, T); scratch: grad by the scores, (H, M, T).

template <int M, int T, int H, int W>
DEVICE void attend_scores(Id id, const float *q, const float *k, float *kept) {
    EACH(item, H * M) {
        const int head = item / M, t = item % M, end = t + T - M + 1;
        const float share = 1.0f / sqrtf((float)W);
        float most = -INFINITY, sum = 0.0f;
        for (int s = 0; s < end; ++s) {
            float score = 0.0f;
#pragma unroll 8
            for (int i = 0; i < W; ++i) score += OF(q, (t * H + head) * W + i) * OF(k, (s * H + head) * W + i);
            score *= share;
            OF(kept, item * T + s) = score;
            most = fmaxf(most, score);
        }
        for (int s = 0; s < end; ++s) {
            const float p = expf(OF(kept, item * T + s) - most);
            OF(kept, item * T + s) = p;
            sum += p;
        }
        const float whole = 1.0f / sum;
        for (int s = 0; s < end; ++s) OF(kept, item * T + s) *= whole;
    }
}

template <int M, int T, int H, int W>
DEVICE void attend_values(Id id, const float *v, const float *kept, float *y) {
    EACH(item, M * H * W) {
        const int t = item / (H * W), i = item % (H * W), row = (i / W * M + t) * T;
        float sum = 0.0f;
#pragma unroll 4
        for (int s = 0; s < t + T - M + 1; ++s) sum += OF(kept, row + s) * OF(v, s * H * W + i);
        OF(y, item) = sum;
    }
}

// grad by score s = p_s (∂p_s − Σ p ∂p)/√W with ∂p_s = grad_y · v_s.
template <int M, int T, int H, int W>
DEVICE void attend_grad_scores(Id id, const float *v, const float *kept, const float *grad_y, float *scratch) {
    EACH(item, H * M) {
        const int head = item / M, t = item % M, end = t + T - M + 1;
        const float share = 1.0f / sqrtf((float)W);
        float mean = 0.0f;
        for (int s = 0; s < end; ++s) {
            float slope = 0.0f;
#pragma unroll 8
            for (int i = 0; i < W; ++i) slope += OF(grad_y, (t * H + head) * W + i) * OF(v, (s * H + head) * W + i);
            OF(scratch, item * T + s) = slope;
            mean += slope * OF(kept, item * T + s);
        }
        for (int s = 0; s < end; ++s)
            OF(scratch, item * T + s) = share * OF(kept, item * T + s) * (OF(scratch, item * T + s) - mean);
    }
}

// out_s = Σ_t rows[t, s] from_t, over the queries that see s: by the values, from p and grad_y; by the keys, from scratch and q.
template <int MODE, int M, int T, int H, int W>
DEVICE void attend_grad_seen(Id id, const float *rows, const float *from, float *grad) {
    if (MODE == NONE) return;
    EACH(item, T * H * W) {
        const int s = item / (H * W), i = item % (H * W), head = i / W;
        float sum = 0.0f;
#pragma unroll 4
        for (int t = s < T - M ? 0 : s - (T - M); t < M; ++t) sum += OF(rows, (head * M + t) * T + s) * OF(from, t * H * W + i);
        put<MODE>(OF(grad, item), sum);
    }
}

template <int MODE, int M, int T, int H, int W>
DEVICE void attend_grad_q(Id id, const float *k, const float *scratch, float *grad_q) {
    if (MODE == NONE) return;
    EACH(item, M * H * W) {
        const int t = item / (H * W), i = item % (H * W), row = (i / W * M + t) * T;
        float sum = 0.0f;
#pragma unroll 4
        for (int s = 0; s < t + T - M + 1; ++s) sum += OF(scratch, row + s) * OF(k, s * H * W + i);
        put<MODE>(OF(grad_q, item), sum);
    }
}
