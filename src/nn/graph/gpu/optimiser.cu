// From the sums of all blocks to new weights: sums over blocks in their order, the gradient's norm where it is clipped,
// and Adam (Kingma & Ba 2014) or plain descent. Each block takes some of the weights.

constexpr int COLUMNS = TRAIN::COLUMNS, ROWS_AT_ONCE = THREADS / COLUMNS, CHUNKS = up(TRAIN::PARAMETERS + 1, COLUMNS);

// A step's learning rate: of Adam α/(1 − β₁ᵗ) and 1/(1 − β₂ᵗ).
struct Rate {
    float rate, unbiased;
};

struct Orders {
    unsigned seed[2], stream[2], step[2];  // of the first step's batch; the low word first
    int steps, batch;
    float decay[2], fresh[2], clip;
    const Rate *rates;  // of each step
    const int *transposed;  // where each weight lies in the transposed matrices
    float *weights, *first, *second;
    float *partials;  // (blocks, PARAMETERS + 1)
    float *gradients;  // (PARAMETERS)
    float *squares;  // (CHUNKS)
    float *losses;  // (steps)
    float *scratch;  // (blocks, SCRATCH)
    const float *tokens, *targets;  // (batch, ·) where the host samples
    unsigned *barrier;
};

DEVICE void descend(const Orders &orders, Rate now, int i, float slope) {
    // Matrices are there twice, the second time transposed.
    float *weight = orders.weights + i, *transposed = orders.weights + TRAIN::PARAMETERS + orders.transposed[i];
    if (!TRAIN::ADAM) {
        *transposed = *weight -= now.rate * slope;
        return;
    }
    const float first = orders.first[i] * orders.decay[0] + slope * orders.fresh[0];
    const float second = orders.second[i] * orders.decay[1] + slope * slope * orders.fresh[1];
    orders.first[i] = first;
    orders.second[i] = second;
    *transposed = *weight -= first * now.rate / (sqrtf(second * now.unbiased) + 1e-8f);
}

DEVICE void sum_rows(Id id, const Orders &orders, int chunk, int blocks, float *memory) {
    const int column = chunk * COLUMNS + id.thread % COLUMNS;
    if (id.thread >= ROWS_AT_ONCE * COLUMNS) return;
    float sum = 0.0f;
    if (column <= TRAIN::PARAMETERS) {
#pragma unroll 8
        for (int row = id.thread / COLUMNS; row < blocks; row += ROWS_AT_ONCE)
            sum += orders.partials[(size_t)row * (TRAIN::PARAMETERS + 1) + column];
    }
    memory[id.thread] = sum;
}

DEVICE void sum_segments(Id id, const Orders &orders, int chunk, int step, float *memory) {
    if (id.thread >= COLUMNS) return;
    const int column = chunk * COLUMNS + id.thread;
    float sum = 0.0f;
#pragma unroll 8
    for (int segment = 0; segment < ROWS_AT_ONCE; ++segment) sum += memory[segment * COLUMNS + id.thread];
    if (column == TRAIN::PARAMETERS) orders.losses[step] = sum;
    const bool weight = column < TRAIN::PARAMETERS;
    if (weight && (TRAIN::CLIPS || TRAIN::KEEPS_GRADIENT)) orders.gradients[column] = sum;
    if (weight && !TRAIN::CLIPS) descend(orders, orders.rates[step], column, sum);
    if (TRAIN::CLIPS) memory[THREADS + id.thread] = weight ? sum * sum : 0.0f;
}

DEVICE void sum_squares(Id id, const Orders &orders, int chunk, float *memory) {
    if (id.thread > 0) return;
    float sum = 0.0f;
    for (int i = 0; i < COLUMNS; ++i) sum += memory[THREADS + i];
    orders.squares[chunk] = sum;
}

DEVICE void sum_of_chunks(Id id, const Orders &orders, float *memory) {
    float sum = 0.0f;
    for (int chunk = id.thread; chunk < CHUNKS; chunk += THREADS) sum += orders.squares[chunk];
    memory[id.thread] = sum;
}

DEVICE void sum_of_threads(Id id, float *memory) {
    constexpr int PART = up(THREADS, 16);
    if (id.thread >= 16) return;
    float sum = 0.0f;
    for (int i = id.thread * PART; i < least(THREADS, (id.thread + 1) * PART); ++i) sum += memory[i];
    memory[THREADS + id.thread] = sum;
}

DEVICE void descend_clipped(Id id, const Orders &orders, int block, int blocks, int step, const float *memory) {
    float square = 0.0f;
    for (int i = 0; i < 16; ++i) square += memory[THREADS + i];
    const float norm = sqrtf(square), factor = norm <= orders.clip ? 1.0f : orders.clip / norm;
    for (int i = block * THREADS + id.thread; i < TRAIN::PARAMETERS; i += blocks * THREADS)
        descend(orders, orders.rates[step], i, factor * orders.gradients[i]);
}

// Once all blocks have written their sums.
DEVICE void reduce_block(const Orders &orders, int block, int blocks, int step, float *memory BLOCK_ID) {
    memory += TRAIN::REDUCE;
    for (int chunk = block; chunk < CHUNKS; chunk += blocks) {
        PHASE(sum_rows(id, orders, chunk, blocks, memory))
        PHASE(sum_segments(id, orders, chunk, step, memory))
        if (TRAIN::CLIPS) PHASE(sum_squares(id, orders, chunk, memory))
    }
}

// Once the squares of all chunks are there.
DEVICE void clip_block(const Orders &orders, int block, int blocks, int step, float *memory BLOCK_ID) {
    memory += TRAIN::REDUCE;
    PHASE(sum_of_chunks(id, orders, memory))
    PHASE(sum_of_threads(id, memory))
    PHASE(descend_clipped(id, orders, block, blocks, step, memory))
}
