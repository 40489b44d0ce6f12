// Every vector x_t (T, D) times a factor of its squared length s and its rate β_t: β, β/s, β/(1 + β s), 1/√s or
// 1/max(|β|, 1), with SCALE_EPSILON added to an s that divides. One thread a token.

enum VectorScale { RATE, NORMALISED, IMPLICIT, UNIT_LENGTH, NORMALISER };
constexpr float SCALE_EPSILON = 1e-6f;

// A factor, and its derivatives by s and β.
struct ScaleFactor {
    float value, by_square, by_rate;
};

template <int SCALE>
DEVICE ScaleFactor scale_factor(float s, float rate) {
    if (SCALE == RATE) return {rate, 0.0f, 1.0f};
    if (SCALE == NORMALISER) {
        const float inverse = 1.0f / fmaxf(fabsf(rate), 1.0f);
        return {inverse, 0.0f, fabsf(rate) > 1.0f ? -rate * inverse * inverse * inverse : 0.0f};
    }
    const float inverse = 1.0f / (SCALE == IMPLICIT ? 1.0f + rate * s : s + SCALE_EPSILON);
    if (SCALE == NORMALISED) return {rate * inverse, -rate * inverse * inverse, inverse};
    if (SCALE == IMPLICIT) return {rate * inverse, -rate * inverse * rate * inverse, inverse * inverse};
    return {sqrtf(inverse), -0.5f * sqrtf(inverse) * inverse, 0.0f};
}

template <int SCALE, int T, int D>
DEVICE void scale_vectors_forward(Id id, const float *x, const float *rates, float *y) {
    EACH(t, T) {
        float square = 0.0f;
        for (int i = 0; i < D; ++i) square += OF(x, t * D + i) * OF(x, t * D + i);
        const float factor = scale_factor<SCALE>(square, SCALE == UNIT_LENGTH ? 0.0f : OF(rates, t)).value;
        for (int i = 0; i < D; ++i) OF(y, t * D + i) = factor * OF(x, t * D + i);
    }
}

template <int X, int RATES, int SCALE, int T, int D>
DEVICE void scale_vectors_backward(Id id, const float *x, const float *rates, const float *grad_y, float *grad_x,
                                   float *grad_rates) {
    EACH(t, T) {
        float square = 0.0f, along = 0.0f;
        for (int i = 0; i < D; ++i) {
            square += OF(x, t * D + i) * OF(x, t * D + i);
            along += OF(x, t * D + i) * OF(grad_y, t * D + i);
        }
        const ScaleFactor factor = scale_factor<SCALE>(square, SCALE == UNIT_LENGTH ? 0.0f : OF(rates, t));
        for (int i = 0; i < D; ++i) {
            const float part = factor.value * OF(grad_y, t * D + i)
                + 2.0f * factor.by_square * along * OF(x, t * D + i);
            put<X>(OF(grad_x, t * D + i), part);
        }
        if (SCALE != UNIT_LENGTH) put<RATES>(OF(grad_rates, t), factor.by_rate * along);
    }
}
