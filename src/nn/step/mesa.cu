// The mesa layer: ŷ = Σ v (k · z) with z from STEPS iterations of conjugate gradients for (Σ k kᵀ + diag(λ)) z = q, λ =
// exp(l) + floor; keys k (T, D), values v (T, M), of which the first N are read. One thread a sequence, in double
// precision, as mesa.rs. scratch: ∂l of each sequence (D).

constexpr double MESA_TINY = 1e-30;

// u = Σ k (k · p) + λ ⊙ p.
template <int N, int D>
DEVICE void mesa_image(Id id, const float *keys, const double *penalty, const double *p, double *u) {
    for (int i = 0; i < D; ++i) u[i] = penalty[i] * p[i];
    for (int t = 0; t < N; ++t) {
        double along = 0.0;
        for (int i = 0; i < D; ++i) along += OF(keys, t * D + i) * p[i];
        for (int i = 0; i < D; ++i) u[i] += along * OF(keys, t * D + i);
    }
}

// Of every iteration p, the image of p, and r after it, (STEPS, 3, D), and r·r before it, p·u, α and β, (STEPS, 4).
template <int N, int D, int STEPS>
DEVICE void mesa_solve(Id id, const float *keys, const double *penalty, const float *query, double *z,
                       double *vectors, double *numbers) {
    double square = 0.0, p[D], rest[D];
    for (int i = 0; i < D; ++i) {
        z[i] = 0.0;
        p[i] = rest[i] = OF(query, i);
        square += rest[i] * rest[i];
    }
    for (int step = 0; step < STEPS; ++step) {
        double *kept = vectors + step * 3 * D, *number = numbers + step * 4;
        mesa_image<N, D>(id, keys, penalty, p, kept + D);
        double along = 0.0, next = 0.0;
        for (int i = 0; i < D; ++i) along += p[i] * kept[D + i];
        const double alpha = square / (along + MESA_TINY);
        for (int i = 0; i < D; ++i) {
            kept[i] = p[i];
            z[i] += alpha * p[i];
            rest[i] -= alpha * kept[D + i];
            kept[2 * D + i] = rest[i];
            next += rest[i] * rest[i];
        }
        const double beta = next / (square + MESA_TINY);
        for (int i = 0; i < D; ++i) p[i] = rest[i] + beta * p[i];
        number[0] = square, number[1] = along, number[2] = alpha, number[3] = beta;
        square = next;
    }
}

template <int N, int D, int M, int STEPS>
DEVICE void mesa_forward(Id id, const float *keys, const float *values, const float *query, const float *log,
                         float floor, float *y) {
    EACH(one, 1) {
        double penalty[D], z[D], vectors[STEPS * 3 * D], numbers[STEPS * 4], sums[M] = {0.0};
        for (int i = 0; i < D; ++i) penalty[i] = expf(log[i]) + floor;
        mesa_solve<N, D, STEPS>(id, keys, penalty, query, z, vectors, numbers);
        for (int t = 0; t < N; ++t) {
            double along = 0.0;
            for (int i = 0; i < D; ++i) along += OF(keys, t * D + i) * z[i];
            for (int o = 0; o < M; ++o) sums[o] += along * OF(values, t * M + o);
        }
        for (int o = 0; o < M; ++o) OF(y, o) = (float)sums[o];
    }
}

template <int KEYS, int VALUES, int QUERY, int T, int N, int D, int M, int STEPS>
DEVICE void mesa_backward(Id id, const float *keys, const float *values, const float *query, const float *log,
                          float floor, const float *grad_y, float *grad_keys, float *grad_values, float *grad_query,
                          float *scratch) {
    EACH(one, 1) {
        double penalty[D], z[D], vectors[STEPS * 3 * D], numbers[STEPS * 4];
        double by_keys[T * D] = {0.0}, by_solution[D] = {0.0};
        double by_penalty[D] = {0.0};
        for (int i = 0; i < D; ++i) penalty[i] = expf(log[i]) + floor;
        mesa_solve<N, D, STEPS>(id, keys, penalty, query, z, vectors, numbers);
        for (int t = 0; t < N; ++t) {
            double along = 0.0, weight = 0.0;
            for (int i = 0; i < D; ++i) along += OF(keys, t * D + i) * z[i];
            for (int o = 0; o < M; ++o) {
                weight += (double)OF(values, t * M + o) * OF(grad_y, o);
                put<VALUES>(OF(grad_values, t * M + o), (float)(along * OF(grad_y, o)));
            }
            for (int i = 0; i < D; ++i) {
                by_solution[i] += weight * OF(keys, t * D + i);
                by_keys[t * D + i] += weight * z[i];
            }
        }
        double by_rest[D] = {0.0}, by_direction[D] = {0.0}, by_square = 0.0;
        for (int step = STEPS - 1; step >= 0; --step) {
            const double *p = vectors + step * 3 * D, *image = p + D, *rest = p + 2 * D;
            const double square = numbers[step * 4], along = numbers[step * 4 + 1];
            const double alpha = numbers[step * 4 + 2], beta = numbers[step * 4 + 3];
            double by_beta = 0.0, by_alpha = 0.0, before[D], by_image[D], by_p[D];
            for (int i = 0; i < D; ++i) by_beta += by_direction[i] * p[i];
            by_square += by_beta / (square + MESA_TINY);
            double square_before = -by_beta * beta / (square + MESA_TINY);
            for (int i = 0; i < D; ++i) {
                by_rest[i] += by_direction[i] + 2.0 * by_square * rest[i];
                by_alpha += by_solution[i] * p[i] - by_rest[i] * image[i];
            }
            square_before += by_alpha / (along + MESA_TINY);
            const double by_along = -by_alpha * alpha / (along + MESA_TINY);
            for (int i = 0; i < D; ++i) {
                before[i] = beta * by_direction[i] + alpha * by_solution[i] + by_along * image[i];
                by_image[i] = -alpha * by_rest[i] + by_along * p[i];
                by_penalty[i] += p[i] * by_image[i];
            }
            mesa_image<N, D>(id, keys, penalty, by_image, by_p);
            for (int t = 0; t < N; ++t) {
                double with_p = 0.0, with_image = 0.0;
                for (int i = 0; i < D; ++i) {
                    with_p += OF(keys, t * D + i) * p[i];
                    with_image += OF(keys, t * D + i) * by_image[i];
                }
                for (int i = 0; i < D; ++i) by_keys[t * D + i] += with_p * by_image[i] + with_image * p[i];
            }
            for (int i = 0; i < D; ++i) by_direction[i] = before[i] + by_p[i];
            by_square = square_before;
        }
        for (int i = 0; i < D; ++i) {
            put<QUERY>(OF(grad_query, i), (float)(by_rest[i] + by_direction[i] + 2.0 * by_square * OF(query, i)));
            OF(scratch, i) = (float)(by_penalty[i] * expf(log[i]));
        }
        for (int i = 0; i < T * D; ++i) put<KEYS>(OF(grad_keys, i), (float)by_keys[i]);
        for (int o = N * M; o < T * M; ++o) put<VALUES>(OF(grad_values, o), 0.0f);
    }
}
