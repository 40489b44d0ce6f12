// Fast weights read by one query: S_N q with S ← S diag(a) (I − Σ e bᵀ) + Σ v kᵀ for each block of BLOCK pairs, from the last block
// to the first with q alone, as in fast_weights.rs. Keys k, e and b (T, D) and values v (T, M), of which the first N are read, a
// (T, A) with A = 0, 1 or D; b = k unless APART. One thread a sequence: a pair costs some D + M operations.
// kept: q before each block (BLOCKS, D).

struct FastWeights {
    const float *keys, *values, *e, *b, *decay;
};

template <int N, int D, int M, int A, int BLOCK, bool ERASES, bool APART>
DEVICE void fast_weights_forward(Id id, FastWeights given, const float *query, float *kept, float *y) {
    EACH(one, 1) {
        constexpr int BLOCKS = up(N, BLOCK);
        for (int o = 0; o < M; ++o) OF(y, o) = 0.0f;
        for (int i = 0; i < D; ++i) OF(kept, (BLOCKS - 1) * D + i) = OF(query, i);
        for (int block = BLOCKS - 1; block >= 0; --block) {
            const float *q = kept + block * D * LANES;
            float removed[D] = {0.0f};
            for (int t = block * BLOCK; t < least(N, (block + 1) * BLOCK); ++t) {
                float along = 0.0f, beside = 0.0f;
                for (int i = 0; i < D; ++i) along += OF(given.keys, t * D + i) * OF(q, i);
                for (int o = 0; o < M; ++o) OF(y, o) += along * OF(given.values, t * M + o);
                if (!ERASES || block == 0) continue;
                if (APART)
                    for (int i = 0; i < D; ++i) beside += OF(given.b, t * D + i) * OF(q, i);
                else
                    beside = along;
                for (int i = 0; i < D; ++i) removed[i] += beside * OF(given.e, t * D + i);
            }
            if (block == 0) continue;
            float *before = kept + (block - 1) * D * LANES;
            for (int i = 0; i < D; ++i) {
                const float a = A == 0 ? 1.0f : OF(given.decay, block * BLOCK * A + i % (A == 0 ? 1 : A));
                OF(before, i) = a * (OF(q, i) - removed[i]);
            }
        }
    }
}

struct FastWeightGrads {
    float *keys, *values, *query, *e, *b, *decay;
};

// T tokens, of which those after the first N get gradients of zero.
template <int KEYS, int VALUES, int QUERY, int E, int B, int DECAY, int T, int N, int D, int M, int A, int BLOCK, bool ERASES, bool APART>
DEVICE void fast_weights_backward(Id id, FastWeights given, const float *kept, const float *grad_y, FastWeightGrads to) {
    EACH(one, 1) {
        float grad[D] = {0.0f}, after[D], key[D], e[D], b[D], removed[D];
        for (int block = 0; block < up(N, BLOCK); ++block) {
            const float *q = kept + block * D * LANES;
            const int first = block * BLOCK, end = least(N, first + BLOCK);
            if (A > 0) {
                for (int i = 0; i < D; ++i) removed[i] = 0.0f;
                for (int t = first; ERASES && t < end; ++t) {
                    const float *b = APART ? given.b : given.keys;
                    float beside = 0.0f;
                    for (int i = 0; i < D; ++i) beside += OF(b, t * D + i) * OF(q, i);
                    for (int i = 0; i < D; ++i) removed[i] += beside * OF(given.e, t * D + i);
                }
                float sum = 0.0f;
                for (int i = 0; i < D; ++i) {
                    const float a = OF(given.decay, first * A + (A == 1 ? 0 : i));
                    const float part = grad[i] * (OF(q, i) - removed[i]);
                    grad[i] *= a;
                    sum += part;
                    if (A > 1) put<DECAY>(OF(to.decay, first * A + i), part);
                }
                if (A == 1) put<DECAY>(OF(to.decay, first), sum);
            }
            for (int i = 0; i < D; ++i) after[i] = grad[i];
            for (int t = first; t < end; ++t) {
                float along = 0.0f, asked = 0.0f, by_key = 0.0f, by_beside = 0.0f;
                for (int i = 0; i < D; ++i) {
                    key[i] = OF(given.keys, t * D + i);
                    e[i] = ERASES ? OF(given.e, t * D + i) : 0.0f;
                    b[i] = APART ? OF(given.b, t * D + i) : key[i];
                    along += key[i] * OF(q, i);
                    asked += b[i] * OF(q, i);
                    by_beside -= e[i] * grad[i];
                }
                for (int o = 0; o < M; ++o) {
                    by_key += OF(given.values, t * M + o) * OF(grad_y, o);
                    put<VALUES>(OF(to.values, t * M + o), along * OF(grad_y, o));
                }
                for (int i = 0; i < D; ++i) {
                    after[i] += by_key * key[i] + by_beside * b[i];
                    if (ERASES) put<E>(OF(to.e, t * D + i), -asked * grad[i]);
                    if (APART) put<B>(OF(to.b, t * D + i), by_beside * OF(q, i));
                    put<KEYS>(OF(to.keys, t * D + i), (by_key + (APART ? 0.0f : by_beside)) * OF(q, i));
                }
            }
            for (int i = 0; i < D; ++i) grad[i] = after[i];
        }
        for (int i = 0; i < D; ++i) put<QUERY>(OF(to.query, i), grad[i]);
        for (int t = N; t < T; ++t) {
            for (int i = 0; i < D; ++i) {
                put<KEYS>(OF(to.keys, t * D + i), 0.0f);
                if (ERASES) put<E>(OF(to.e, t * D + i), 0.0f);
                if (APART) put<B>(OF(to.b, t * D + i), 0.0f);
            }
            for (int o = 0; o < M; ++o) put<VALUES>(OF(to.values, t * M + o), 0.0f);
            for (int i = 0; i < A; ++i) put<DECAY>(OF(to.decay, t * A + i), 0.0f);
        }
    }
}
