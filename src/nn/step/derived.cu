// Weights that are made of others, and how their gradients lead back. A block makes them for itself before it trains,
// and turns its own sums of gradients back before blocks are summed: so no block waits for another.

// c = a b, or a bᵀ: a (M, K), c (M, N).
template <int M, int K, int N, bool TRANSPOSED>
DEVICE void product_forward(Id id, const float *a, const float *b, float *c) {
    EACH_WEIGHT(item, M * N) {
        float sum = 0.0f;
#pragma unroll 8
        for (int k = 0; k < K; ++k) {
            sum += a[item / N * K + k] * (TRANSPOSED ? b[item % N * K + k] : b[k * N + item % N]);
        }
        c[item] = sum;
    }
}

template <int M, int K, int N, bool TRANSPOSED>
DEVICE void product_backward(Id id, const float *a, const float *b, const float *grad_c, float *grad_a, float *grad_b) {
    EACH_WEIGHT(item, M * K + K * N) {
        float sum = 0.0f;
        if (item < M * K) {
            const int m = item / K, k = item % K;
#pragma unroll 8
            for (int n = 0; n < N; ++n) sum += grad_c[m * N + n] * (TRANSPOSED ? b[n * K + k] : b[k * N + n]);
            grad_a[item] += sum;
        } else {
            const int at = item - M * K, k = TRANSPOSED ? at % K : at / N, n = TRANSPOSED ? at / K : at % N;
#pragma unroll 8
            for (int m = 0; m < M; ++m) sum += a[m * K + k] * grad_c[m * N + n];
            grad_b[at] += sum;
        }
    }
}

// b = −exp(a).
template <int COUNT>
DEVICE void negative_exp_forward(Id id, const float *a, float *b) {
    EACH_WEIGHT(i, COUNT) b[i] = -expf(a[i]);
}

template <int COUNT>
DEVICE void negative_exp_backward(Id id, const float *b, const float *grad_b, float *grad_a) {
    EACH_WEIGHT(i, COUNT) grad_a[i] += b[i] * grad_b[i];
}

// Each number of a row, EACH_ONE times: b[i] = a[i / EACH_ONE].
template <int COUNT, int EACH_ONE>
DEVICE void repeat_forward(Id id, const float *a, float *b) {
    EACH_WEIGHT(i, COUNT * EACH_ONE) b[i] = a[i / EACH_ONE];
}

template <int COUNT, int EACH_ONE>
DEVICE void repeat_backward(Id id, const float *grad_b, float *grad_a) {
    EACH_WEIGHT(i, COUNT) {
        float sum = 0.0f;
        for (int k = 0; k < EACH_ONE; ++k) sum += grad_b[i * EACH_ONE + k];
        grad_a[i] += sum;
    }
}

// A column a (PARTS · GROUPS · EACH_ONE) as a matrix with GROUPS columns: a number stands in the column of its group,
// zeros elsewhere.
template <int PARTS, int GROUPS, int EACH_ONE>
DEVICE void grouped_forward(Id id, const float *a, float *b) {
    EACH_WEIGHT(item, PARTS * GROUPS * EACH_ONE * GROUPS) {
        const int row = item / GROUPS;
        b[item] = row / EACH_ONE % GROUPS == item % GROUPS ? a[row] : 0.0f;
    }
}

template <int PARTS, int GROUPS, int EACH_ONE>
DEVICE void grouped_backward(Id id, const float *grad_b, float *grad_a) {
    EACH_WEIGHT(row, PARTS * GROUPS * EACH_ONE) grad_a[row] += grad_b[row * GROUPS + row / EACH_ONE % GROUPS];
}

// A constant matrix of zeros and ones (GROUPS, COLUMNS): number c of the first GROUPS · EACH_ONE columns belongs to
// group c / EACH_ONE.
template <int GROUPS, int EACH_ONE, int COLUMNS>
DEVICE void spread_forward(Id id, float *b) {
    EACH_WEIGHT(item, GROUPS * COLUMNS) {
        const int column = item % COLUMNS;
        b[item] = column < GROUPS * EACH_ONE && column / EACH_ONE == item / COLUMNS ? 1.0f : 0.0f;
    }
}

// The transposed matrix: a (M, N), b (N, M).
template <int M, int N>
DEVICE void transposed_forward(Id id, const float *a, float *b) {
    EACH_WEIGHT(item, M * N) b[item % N * M + item / N] = a[item];
}

template <int M, int N>
DEVICE void transposed_backward(Id id, const float *grad_b, float *grad_a) {
    EACH_WEIGHT(item, M * N) grad_a[item] += grad_b[item % N * M + item / N];
}

// λ and g of a diagonal recurrence, (4, N), from three rows a, b and c. RING: λ = exp(−eᵃ + i eᵇ), g = eᶜ. Else: Λ =
// −eᵃ + ib under a zero-order hold, λ = exp(eᶜ Λ) and g = (λ − 1)/Λ.
enum Discretization { RING, ZERO_ORDER_HOLD };

DEVICE void over(float a, float b, float c, float d, float &re, float &im) {
    const float size = c * c + d * d;
    re = (a * c + b * d) / size;
    im = (b * c - a * d) / size;
}

template <int KIND>
DEVICE void spectrum_of(float a, float b, float c, float *out) {
    const float fading = -expf(a), third = expf(c);
    const float modulus = KIND == RING ? expf(fading) : expf(third * fading);
    const float angle = KIND == RING ? expf(b) : third * b;
    out[0] = modulus * cosf(angle);
    out[1] = modulus * sinf(angle);
    if (KIND == RING) {
        out[2] = third;
        out[3] = 0.0f;
    } else {
        over(out[0] - 1.0f, out[1], fading, b, out[2], out[3]);
    }
}

template <int KIND, int N>
DEVICE void spectrum_forward(Id id, const float *a, const float *b, const float *c, float *spectrum) {
    EACH_WEIGHT(j, N) {
        float out[4];
        spectrum_of<KIND>(a[j], b[j], c[j], out);
        for (int row = 0; row < 4; ++row) spectrum[row * N + j] = out[row];
    }
}

// For a complex function f, grad_z = f'(z)* grad_f.
template <int KIND, int N>
DEVICE void spectrum_backward(Id id, const float *a, const float *b, const float *c, const float *spectrum,
                              const float *grad, float *grad_a, float *grad_b, float *grad_c) {
    EACH_WEIGHT(j, N) {
        const float re = spectrum[j], im = spectrum[N + j];
        const float gain_re = spectrum[2 * N + j], gain_im = spectrum[3 * N + j];
        const float fading = -expf(a[j]), third = expf(c[j]);
        float by_re = grad[j], by_im = grad[N + j];
        if (KIND == RING) {
            grad_a[j] += (re * by_re + im * by_im) * fading;
            grad_b[j] += (re * by_im - im * by_re) * expf(b[j]);
            grad_c[j] += grad[2 * N + j] * third;
        } else {
            float gain_by_re, gain_by_im;
            over(grad[2 * N + j], grad[3 * N + j], fading, -b[j], gain_by_re, gain_by_im);
            by_re += gain_by_re;
            by_im += gain_by_im;
            const float log_re = re * by_re + im * by_im, log_im = re * by_im - im * by_re;
            const float shrunk_re = gain_re * gain_by_re + gain_im * gain_by_im;
            const float shrunk_im = gain_re * gain_by_im - gain_im * gain_by_re;
            grad_a[j] += fading * (third * log_re - shrunk_re);
            grad_b[j] += third * log_im - shrunk_im;
            grad_c[j] += third * (fading * log_re + b[j] * log_im);
        }
    }
}
