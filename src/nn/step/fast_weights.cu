// Fast weights read by one query: S_N q with S ← S (diag(a) − Σ e bᵀ) + Σ v kᵀ for each block of BLOCK pairs, from the
// last block to the first with q alone, as in fast_weights.rs. Keys k, e and b (T, D) and values v (T, M), of which the
// first N are read, a (T, A); with A = 0 a constant. b = k unless OWN_B; v = 1 unless VALUED. One thread a sequence: a
// pair costs some D + M operations. With MOMENTUM the change of the block before is added again, times mu (T, 1).
// kept: q before each block (BLOCKS, D), then g with MOMENTUM, else g = q.

struct FastWeights {
    const float *keys, *values, *e, *b, *decay, *momentum;
    float constant;
};

template <int A>
DEVICE float fast_weights_kept(Id id, FastWeights given, int t, int i) {
    return A == 0 ? given.constant : OF(given.decay, t * A + (A == 1 ? 0 : i));
}

template <int N, int D, int M, int A, int BLOCK, bool ERASES, bool OWN_B, bool VALUED, bool MOMENTUM>
DEVICE void fast_weights_forward(Id id, FastWeights given, const float *query, float *kept, float *y) {
    EACH(one, 1) {
        constexpr int BLOCKS = up(N, BLOCK);
        for (int o = 0; o < M; ++o) OF(y, o) = 0.0f;
        for (int i = 0; i < D; ++i) OF(kept, (BLOCKS - 1) * D + i) = OF(query, i);
        for (int block = BLOCKS - 1; block >= 0; --block) {
            const int first = block * BLOCK;
            const float *q = kept + block * D * LANES, *g = MOMENTUM ? q + BLOCKS * D * LANES : q;
            for (int i = 0; i < D && MOMENTUM; ++i) {
                const float later = block + 1 < BLOCKS ? OF(given.momentum, first + BLOCK) * OF(g, D + i) : 0.0f;
                OF(kept, (BLOCKS + block) * D + i) = OF(q, i) + later;
            }
            float before[D];
            for (int i = 0; i < D; ++i) before[i] = fast_weights_kept<A>(id, given, first, i) * OF(q, i);
            for (int t = first; t < least(N, first + BLOCK); ++t) {
                float key_g = 0.0f, b_g = 0.0f;
                for (int i = 0; i < D; ++i) key_g += OF(given.keys, t * D + i) * OF(g, i);
                for (int o = 0; o < M; ++o) OF(y, o) += key_g * (VALUED ? OF(given.values, t * M + o) : 1.0f);
                if (!ERASES) continue;
                if (OWN_B)
                    for (int i = 0; i < D; ++i) b_g += OF(given.b, t * D + i) * OF(g, i);
                else
                    b_g = key_g;
                for (int i = 0; i < D; ++i) before[i] -= b_g * OF(given.e, t * D + i);
            }
            if (block > 0)
                for (int i = 0; i < D; ++i) OF(kept, (block - 1) * D + i) = before[i];
        }
    }
}

struct FastWeightGrads {
    float *keys, *values, *query, *e, *b, *decay, *momentum;
};

// T tokens. Those that are not read, and decays and momenta that are not the first of a block, get gradients of zero.
template <int KEYS, int VALUES, int QUERY, int E, int B, int DECAY, int MU, int T, int N, int D, int M, int A,
          int BLOCK, bool ERASES, bool OWN_B, bool VALUED, bool MOMENTUM>
DEVICE void fast_weights_backward(Id id, FastWeights given, const float *kept, const float *grad_y,
                                  FastWeightGrads to) {
    EACH(one, 1) {
        float grad[D] = {0.0f}, after[D], grad_g[D] = {0.0f};
        for (int block = 0; block < up(N, BLOCK); ++block) {
            const float *q = kept + block * D * LANES, *g = MOMENTUM ? q + up(N, BLOCK) * D * LANES : q;
            const int first = block * BLOCK;
            float by_decay = 0.0f, by_momentum = 0.0f;
            for (int i = 0; i < D; ++i) {
                by_momentum += grad_g[i] * OF(g, i);
                grad_g[i] = MOMENTUM ? OF(given.momentum, first) * grad_g[i] : 0.0f;
            }
            if (MOMENTUM) put<MU>(OF(to.momentum, first), by_momentum);
            for (int i = 0; i < D; ++i) {
                after[i] = fast_weights_kept<A>(id, given, first, i) * grad[i];
                by_decay += grad[i] * OF(q, i);
                if (A > 1) put<DECAY>(OF(to.decay, first * A + i), grad[i] * OF(q, i));
            }
            if (A == 1) put<DECAY>(OF(to.decay, first), by_decay);
            for (int t = first; t < least(N, first + BLOCK); ++t) {
                const float *b = OWN_B ? given.b : given.keys;
                float key_g = 0.0f, b_g = 0.0f, by_key = 0.0f, by_b = 0.0f;
                for (int i = 0; i < D; ++i) {
                    key_g += OF(given.keys, t * D + i) * OF(g, i);
                    if (ERASES) b_g += OF(b, t * D + i) * OF(g, i);
                    if (ERASES) by_b -= OF(given.e, t * D + i) * grad[i];
                }
                for (int o = 0; o < M; ++o) {
                    by_key += (VALUED ? OF(given.values, t * M + o) : 1.0f) * OF(grad_y, o);
                    if (VALUED) put<VALUES>(OF(to.values, t * M + o), key_g * OF(grad_y, o));
                }
                for (int i = 0; i < D; ++i) {
                    grad_g[i] += by_key * OF(given.keys, t * D + i) + by_b * OF(b, t * D + i);
                    if (ERASES) put<E>(OF(to.e, t * D + i), -b_g * grad[i]);
                    if (OWN_B) put<B>(OF(to.b, t * D + i), by_b * OF(g, i));
                    put<KEYS>(OF(to.keys, t * D + i), (by_key + (OWN_B ? 0.0f : by_b)) * OF(g, i));
                }
                for (int i = 0; i < A && t > first; ++i) put<DECAY>(OF(to.decay, t * A + i), 0.0f);
                if (MOMENTUM && t > first) put<MU>(OF(to.momentum, t), 0.0f);
            }
            for (int i = 0; i < D; ++i) grad[i] = after[i] + grad_g[i];
        }
        for (int i = 0; i < D; ++i) put<QUERY>(OF(to.query, i), grad[i]);
        for (int t = N; t < T; ++t) {
            for (int i = 0; i < D; ++i) {
                put<KEYS>(OF(to.keys, t * D + i), 0.0f);
                if (ERASES) put<E>(OF(to.e, t * D + i), 0.0f);
                if (OWN_B) put<B>(OF(to.b, t * D + i), 0.0f);
            }
            for (int o = 0; o < M && VALUED; ++o) put<VALUES>(OF(to.values, t * M + o), 0.0f);
            for (int i = 0; i < A; ++i) put<DECAY>(OF(to.decay, t * A + i), 0.0f);
            if (MOMENTUM) put<MU>(OF(to.momentum, t), 0.0f);
        }
    }
}
