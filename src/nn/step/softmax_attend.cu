// Causal attention with softmax, in heads of width W: y_t = Σ_{s≤t} p_ts v_s with p_t = softmax_s(q_t · k_s / √W).
// q (M, H·W) of the last M of T tokens; k, v (T, H·W). kept: p (H, M, T); scratch: grad by the scores, (H, M, T).
//
// A thread takes VECTOR sequences at once.

// a_t · b_s of a head, times `factor`, for every token s that a query t sees: (H, M, T).
template <int M, int T, int H, int W>
DEVICE void attend_products(Id id, const float *a, const float *b, float factor, float *products) {
    EACH_TILE(item, l, H * M * T) {
        const int s = item % T, t = item / T % M, head = item / (M * T);
        if (s > t + T - M) continue;
        float sum[VECTOR] = {};
#pragma unroll 4
        for (int i = 0; i < W; ++i) {
            float x[VECTOR], y[VECTOR];
            load(a + ((t * H + head) * W + i) * LANES + l, x);
            load(b + ((s * H + head) * W + i) * LANES + l, y);
#pragma unroll
            for (int v = 0; v < VECTOR; ++v) sum[v] += x[v] * y[v];
        }
#pragma unroll
        for (int v = 0; v < VECTOR; ++v) sum[v] *= factor;
        put_all<SET>(products + item * LANES + l, sum);
    }
}

template <int M, int T, int H, int W>
DEVICE void attend_scores(Id id, const float *q, const float *k, float *kept) {
    attend_products<M, T, H, W>(id, q, k, 1.0f / sqrtf((float)W), kept);
}

// From scores to p, in place.
template <int M, int T, int H>
DEVICE void attend_softmax(Id id, float *kept) {
    EACH(item, H * M) {
        const int end = item % M + T - M + 1;
        float most = -INFINITY, sum = 0.0f;
        for (int s = 0; s < end; ++s) most = fmaxf(most, OF(kept, item * T + s));
        for (int s = 0; s < end; ++s) {
            const float p = expf(OF(kept, item * T + s) - most);
            OF(kept, item * T + s) = p;
            sum += p;
        }
        const float whole = 1.0f / sum;
        for (int s = 0; s < end; ++s) OF(kept, item * T + s) *= whole;
    }
}

// out_t = Σ_s rows[t, s] from_s, over the tokens s that a query t sees: the answers, from p and v; by the queries, from
// scratch and k.
template <int MODE, int M, int T, int H, int W>
DEVICE void attend_sums(Id id, const float *rows, const float *from, float *out) {
    if (MODE == NONE) return;
    EACH_TILE(item, l, M * H * W) {
        const int t = item / (H * W), i = item % (H * W), row = (i / W * M + t) * T;
        float sum[VECTOR] = {};
#pragma unroll 2
        for (int s = 0; s < t + T - M + 1; ++s) {
            float x[VECTOR], y[VECTOR];
            load(rows + (row + s) * LANES + l, x);
            load(from + (s * H * W + i) * LANES + l, y);
#pragma unroll
            for (int v = 0; v < VECTOR; ++v) sum[v] += x[v] * y[v];
        }
        put_all<MODE>(out + item * LANES + l, sum);
    }
}

// scratch: ∂p_s = grad_y · v_s.
template <int M, int T, int H, int W>
DEVICE void attend_grad_p(Id id, const float *v, const float *grad_y, float *scratch) {
    attend_products<M, T, H, W>(id, grad_y, v, 1.0f, scratch);
}

// From ∂p to the grad by score s = p_s (∂p_s − Σ p ∂p)/√W, in place.
template <int M, int T, int H, int W>
DEVICE void attend_grad_scores(Id id, const float *kept, float *scratch) {
    EACH(item, H * M) {
        const int end = item % M + T - M + 1;
        const float share = 1.0f / sqrtf((float)W);
        float mean = 0.0f;
        for (int s = 0; s < end; ++s) mean += OF(scratch, item * T + s) * OF(kept, item * T + s);
        for (int s = 0; s < end; ++s)
            OF(scratch, item * T + s) = share * OF(kept, item * T + s) * (OF(scratch, item * T + s) - mean);
    }
}

// out_s = Σ_t rows[t, s] from_t, over the queries that see s: by the values, from p and grad_y; by the keys, from
// scratch and q.
template <int MODE, int M, int T, int H, int W>
DEVICE void attend_grad_seen(Id id, const float *rows, const float *from, float *grad) {
    if (MODE == NONE) return;
    EACH_TILE(item, l, T * H * W) {
        const int s = item / (H * W), i = item % (H * W), head = i / W;
        float sum[VECTOR] = {};
#pragma unroll 2
        for (int t = s < T - M ? 0 : s - (T - M); t < M; ++t) {
            float x[VECTOR], y[VECTOR];
            load(rows + ((head * M + t) * T + s) * LANES + l, x);
            load(from + (t * H * W + i) * LANES + l, y);
#pragma unroll
            for (int v = 0; v < VECTOR; ++v) sum[v] += x[v] * y[v];
        }
        put_all<MODE>(grad + item * LANES + l, sum);
    }
}
