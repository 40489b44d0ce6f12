// The loss of a batch, its gradient by the answers, and tokens that the host has sampled.

// Number i of a sequence, from rows.
template <int COUNT>
DEVICE void read_rows(Id id, const float *rows, size_t sequence, float *values) {
    EACH(i, COUNT) OF(values, i) = rows[sequence * COUNT + i];
}

// ½ ‖ŷ − y‖² / d_out, and its gradient; `share` is 1/(d_out B), or 0 past the end of the batch.
template <int OUTPUTS>
DEVICE void squared_error(Id id, const float *answer, const float *target, float share, float *grad, float *losses) {
    EACH(o, OUTPUTS) {
        const float error = OF(answer, o) - OF(target, o);
        OF(grad, o) = error * share;
        OF(losses, o) = 0.5f * share * error * error;
    }
}

// −Σ y log softmax(ŷ), and its gradient p Σ y − y; `share` is 1/B.
template <int OUTPUTS>
DEVICE void cross_entropy(Id id, const float *answer, const float *target, float share, float *grad, float *losses) {
    EACH(one, 1) {
        float most = -INFINITY, sum = 0.0f, whole = 0.0f;
        for (int o = 0; o < OUTPUTS; ++o) {
            most = fmaxf(most, OF(answer, o));
            whole += OF(target, o);
        }
        for (int o = 0; o < OUTPUTS; ++o) sum += expf(OF(answer, o) - most);
        const float log_sum = most + logf(sum);
        for (int o = 0; o < OUTPUTS; ++o) {
            OF(losses, o) = share * OF(target, o) * (log_sum - OF(answer, o));
            OF(grad, o) = share * (whole * expf(OF(answer, o) - log_sum) - OF(target, o));
        }
    }
}

template <int OUTPUTS>
DEVICE void sum_outputs(Id id, const float *losses, float *loss) {
    EACH(one, 1) {
        float sum = 0.0f;
        for (int o = 0; o < OUTPUTS; ++o) sum += OF(losses, o);
        OF(loss, 0) = sum;
    }
}
