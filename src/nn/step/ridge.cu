// Ridge regression solved inside: ŷ = Σ_t (x_t · z) y_t with (Σ x xᵀ + λ I) z = x_q, λ = exp(l) + FLOOR; tokens (N + 1,
// D + O), the query last; l a weight. z is refined once, z = z₀ + M (x_q − A z₀) with M = A⁻¹ and z₀ = M x_q held
// fixed, as in solve.rs. kept: A (D, D), M (D, D), z₀ (D), z (D); scratch: ∂z (D), and ∂l of each sequence (1).

template <int N, int D, int O>
DEVICE void ridge_curvature(Id id, const float *x, const float *log, float *kept, float floor) {
    EACH(item, D * D) {
        float sum = item / D == item % D ? expf(log[0]) + floor : 0.0f;
        for (int t = 0; t < N; ++t) sum += OF(x, t * (D + O) + item / D) * OF(x, t * (D + O) + item % D);
        OF(kept, item) = sum;
        OF(kept, D * D + item) = sum;
    }
}

// Gauss and Jordan in place; a positive definite matrix needs no pivoting. One thread a sequence.
template <int D>
DEVICE void ridge_invert(Id id, float *matrix) {
    EACH(one, 1) {
        for (int k = 0; k < D; ++k) {
            const float pivot = 1.0f / OF(matrix, k * D + k);
            OF(matrix, k * D + k) = 1.0f;
            for (int j = 0; j < D; ++j) OF(matrix, k * D + j) *= pivot;
            for (int i = 0; i < D; ++i)
                if (i != k) {
                    const float factor = OF(matrix, i * D + k);
                    OF(matrix, i * D + k) = 0.0f;
                    for (int j = 0; j < D; ++j) OF(matrix, i * D + j) -= factor * OF(matrix, k * D + j);
                }
        }
    }
}

template <int D>
DEVICE void ridge_start(Id id, const float *query, float *kept) {
    EACH(i, D) {
        float sum = 0.0f;
        for (int j = 0; j < D; ++j) sum += OF(kept, (D + i) * D + j) * OF(query, j);
        OF(kept, 2 * D * D + i) = sum;
    }
}

template <int D>
DEVICE void ridge_refine(Id id, const float *query, float *kept) {
    EACH(i, D) {
        float sum = OF(kept, 2 * D * D + i);
        for (int j = 0; j < D; ++j) {
            float rest = OF(query, j);
            for (int k = 0; k < D; ++k) rest -= OF(kept, j * D + k) * OF(kept, 2 * D * D + k);
            sum += OF(kept, (D + i) * D + j) * rest;
        }
        OF(kept, 2 * D * D + D + i) = sum;
    }
}

template <int N, int D, int O>
DEVICE void ridge_answers(Id id, const float *x, const float *kept, float *y) {
    EACH(o, O) {
        float sum = 0.0f;
        for (int t = 0; t < N; ++t) {
            float along = 0.0f;
            for (int j = 0; j < D; ++j) along += OF(x, t * (D + O) + j) * OF(kept, 2 * D * D + D + j);
            sum += along * OF(x, t * (D + O) + D + o);
        }
        OF(y, o) = sum;
    }
}

template <int N, int D, int O>
DEVICE void ridge_grad_solution(Id id, const float *x, const float *grad_y, float *scratch) {
    EACH(j, D) {
        float sum = 0.0f;
        for (int t = 0; t < N; ++t) {
            float along = 0.0f;
            for (int o = 0; o < O; ++o) along += OF(grad_y, o) * OF(x, t * (D + O) + D + o);
            sum += along * OF(x, t * (D + O) + j);
        }
        OF(scratch, j) = sum;
    }
}

// ∂A = −(M ∂z) z₀ᵀ, of which λ is on the diagonal.
template <int D>
DEVICE void ridge_grad_log(Id id, const float *log, const float *kept, float *scratch) {
    EACH(one, 1) {
        float sum = 0.0f;
        for (int i = 0; i < D; ++i)
            for (int j = 0; j < D; ++j) sum -= OF(kept, (D + i) * D + j) * OF(scratch, j) * OF(kept, 2 * D * D + i);
        OF(scratch, D) = sum * expf(log[0]);
    }
}
