// Attention without softmax, added to the tokens that query: y_m = e_m + Σ_{t<K} (e_m A · e_t) e_t V for the last M of
// T tokens e of width W; A and V (W, W). kept: e_m A (M, W), then scores (M, K), then Σ_t score e_t (M, W); scratch:
// the gradients by these.

// out[m, t] = rows_m · e_t.
template <int M, int K, int W>
DEVICE void linear_scores(Id id, const float *rows, const float *e, float *out) {
    EACH(item, M * K) {
        float sum = 0.0f;
#pragma unroll 8
        for (int k = 0; k < W; ++k) sum += OF(rows, item / K * W + k) * OF(e, item % K * W + k);
        OF(out, item) = sum;
    }
}

// out_m = Σ_t scores[m, t] e_t.
template <int M, int K, int W>
DEVICE void linear_sums(Id id, const float *scores, const float *e, float *out) {
    EACH(item, M * W) {
        float sum = 0.0f;
#pragma unroll 8
        for (int t = 0; t < K; ++t) sum += OF(scores, item / W * K + t) * OF(e, t * W + item % W);
        OF(out, item) = sum;
    }
}

template <int M, int W>
DEVICE void linear_answers(Id id, const float *asking, const float *sums, const float *value, float *y) {
    EACH(item, M * W) {
        float sum = OF(asking, item);
#pragma unroll 8
        for (int k = 0; k < W; ++k) sum += OF(sums, item / W * W + k) * value[k * W + item % W];
        OF(y, item) = sum;
    }
}

// ∂e_t = Σ_m ∂score[m, t] (e_m A) + score[m, t] ∂sum_m for t < K; where e_t is a query, also ∂y_t and ∂(e_t A) Aᵀ.
template <int MODE, int M, int T, int K, int W>
DEVICE void linear_grad_e(Id id, const float *ask, const float *kept, const float *scratch, const float *grad_y,
                          float *grad_e) {
    if (MODE == NONE) return;
    const float *queries = kept, *scores = kept + M * W * LANES;
    const float *grad_queries = scratch, *grad_scores = scratch + M * W * LANES;
    const float *grad_sums = scratch + (M * W + M * K) * LANES;
    EACH(item, T * W) {
        const int t = item / W, k = item % W, m = t - (T - M);
        float sum = 0.0f;
        if (t < K)
            for (int n = 0; n < M; ++n)
                sum += OF(grad_scores, n * K + t) * OF(queries, n * W + k)
                    + OF(scores, n * K + t) * OF(grad_sums, n * W + k);
        if (m >= 0) {
            sum += OF(grad_y, m * W + k);
            for (int c = 0; c < W; ++c) sum += OF(grad_queries, m * W + c) * ask[k * W + c];
        }
        put<MODE>(OF(grad_e, item), sum);
    }
}
