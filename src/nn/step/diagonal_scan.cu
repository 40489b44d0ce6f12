// A diagonal linear recurrence over complex numbers: h_t = λ ⊙ h_{t−1} + g ⊙ v_t; v and h (·, 2N), real parts, then
// imaginary; spectrum (4, N): Re λ, Im λ, Re g, Im g. y: the last M of T states. kept: all h; scratch: the gradient by
// the spectrum.

template <int M, int T, int N>
DEVICE void diagonal_forward(Id id, const float *v, const float *spectrum, float *kept, float *y) {
    EACH(j, N) {
        const float decay_re = spectrum[j], decay_im = spectrum[N + j];
        const float gain_re = spectrum[2 * N + j], gain_im = spectrum[3 * N + j];
        float re = 0.0f, im = 0.0f;
        for (int t = 0; t < T; ++t) {
            const float v_re = OF(v, t * 2 * N + j), v_im = OF(v, t * 2 * N + N + j);
            const float next = decay_re * re - decay_im * im + gain_re * v_re - gain_im * v_im;
            im = decay_re * im + decay_im * re + gain_re * v_im + gain_im * v_re;
            re = next;
            OF(kept, t * 2 * N + j) = re;
            OF(kept, t * 2 * N + N + j) = im;
            if (t >= T - M) {
                OF(y, (t - T + M) * 2 * N + j) = re;
                OF(y, (t - T + M) * 2 * N + N + j) = im;
            }
        }
    }
}

// For a product z = a b of complex numbers, grad_a = b* grad_z.
template <int MODE, int M, int T, int N>
DEVICE void diagonal_backward(Id id, const float *v, const float *spectrum, const float *kept, const float *grad_y,
                              float *grad_v, float *scratch) {
    EACH(j, N) {
        const float decay_re = spectrum[j], decay_im = spectrum[N + j];
        const float gain_re = spectrum[2 * N + j], gain_im = spectrum[3 * N + j];
        float re = 0.0f, im = 0.0f, sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int t = T - 1; t >= 0; --t) {
            if (t >= T - M) {
                re += OF(grad_y, (t - T + M) * 2 * N + j);
                im += OF(grad_y, (t - T + M) * 2 * N + N + j);
            }
            if (t > 0) {
                const float h_re = OF(kept, (t - 1) * 2 * N + j), h_im = OF(kept, (t - 1) * 2 * N + N + j);
                sums[0] += h_re * re + h_im * im;
                sums[1] += h_re * im - h_im * re;
            }
            const float v_re = OF(v, t * 2 * N + j), v_im = OF(v, t * 2 * N + N + j);
            sums[2] += v_re * re + v_im * im;
            sums[3] += v_re * im - v_im * re;
            put<MODE>(OF(grad_v, t * 2 * N + j), gain_re * re + gain_im * im);
            put<MODE>(OF(grad_v, t * 2 * N + N + j), gain_re * im - gain_im * re);
            const float next = decay_re * re + decay_im * im;
            im = decay_re * im - decay_im * re;
            re = next;
        }
        for (int row = 0; row < 4; ++row) OF(scratch, row * N + j) = sums[row];
    }
}

// Where only the last state is read, what it changes by with λ and g is summed up on the way forwards, in memory that
// does not grow with T: h_T = g q_T with q_t = λ q_{t−1} + v_t, and ∂h_T/∂λ = g s_T with s_t = λ s_{t−1} + q_{t−1}.
// kept: q_T, then s_T.

template <int T, int N>
DEVICE void diagonal_last_forward(Id id, const float *v, const float *spectrum, float *kept, float *y) {
    EACH(j, N) {
        const float decay_re = spectrum[j], decay_im = spectrum[N + j];
        const float gain_re = spectrum[2 * N + j], gain_im = spectrum[3 * N + j];
        float re = 0.0f, im = 0.0f, slope_re = 0.0f, slope_im = 0.0f;
#pragma unroll 4
        for (int t = 0; t < T; ++t) {
            const float next_slope = decay_re * slope_re - decay_im * slope_im + re;
            slope_im = decay_re * slope_im + decay_im * slope_re + im;
            slope_re = next_slope;
            const float next = decay_re * re - decay_im * im + OF(v, t * 2 * N + j);
            im = decay_re * im + decay_im * re + OF(v, t * 2 * N + N + j);
            re = next;
        }
        OF(kept, j) = re;
        OF(kept, N + j) = im;
        OF(kept, 2 * N + j) = slope_re;
        OF(kept, 3 * N + j) = slope_im;
        OF(y, j) = gain_re * re - gain_im * im;
        OF(y, N + j) = gain_re * im + gain_im * re;
    }
}

template <int MODE, int T, int N>
DEVICE void diagonal_last_backward(Id id, const float *spectrum, const float *kept, const float *grad_y,
                                   float *grad_v, float *scratch) {
    EACH(j, N) {
        const float decay_re = spectrum[j], decay_im = spectrum[N + j];
        const float gain_re = spectrum[2 * N + j], gain_im = spectrum[3 * N + j];
        const float by_re = OF(grad_y, j), by_im = OF(grad_y, N + j);
        const float q_re = OF(kept, j), q_im = OF(kept, N + j);
        const float slope_re = OF(kept, 2 * N + j), slope_im = OF(kept, 3 * N + j);
        // The gradient by q_T: g* ∂h.
        float re = gain_re * by_re + gain_im * by_im, im = gain_re * by_im - gain_im * by_re;
        OF(scratch, j) = slope_re * re + slope_im * im;
        OF(scratch, N + j) = slope_re * im - slope_im * re;
        OF(scratch, 2 * N + j) = q_re * by_re + q_im * by_im;
        OF(scratch, 3 * N + j) = q_re * by_im - q_im * by_re;
        if (MODE != NONE)
            for (int t = T - 1; t >= 0; --t) {
                put<MODE>(OF(grad_v, t * 2 * N + j), re);
                put<MODE>(OF(grad_v, t * 2 * N + N + j), im);
                const float next = decay_re * re + decay_im * im;
                im = decay_re * im - decay_im * re;
                re = next;
            }
    }
}
