// y = x W + c for every token: x (T, IN), W (IN, OUT), c (OUT). A thread computes a tile of rows and columns, so that a number
// that it reads takes part in several products.

struct Tile {
    int rows, columns;
};

// Tiles as large as they can be with work left for everybody.
SIZES constexpr Tile tile(int rows, int columns, int workers) {
    int each = rows * columns / workers;
    int high = each < 2 ? 1 : each < 8 ? 2 : 4, wide = each < 4 ? 1 : each < 16 ? 2 : each < 64 ? 4 : 8;
    return {least(high, power(rows)), least(wide, power(columns))};
}

// Steps whose numbers are read before they are needed: many where a tile is small and sequences are few, for then a thread mostly
// waits. Else short loops are better: the text of all phases together should stay in the instruction cache.
SIZES constexpr int ahead(int tile) { return LANES >= 4 ? (tile <= 4 ? 4 : 2) : tile <= 2 ? 16 : tile <= 4 ? 8 : 4; }

template <int T, int IN, int OUT, bool BIAS>
DEVICE void project_forward(Id id, const float *x, const float *weight, const float *bias, float *y) {
    constexpr Tile SIZE = tile(T, OUT, WORKERS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(OUT, C), UNROLL = ahead(R * C);
    EACH(item, up(T, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = BIAS ? bias[least(column + c, OUT - 1)] : 0.0f;
#pragma unroll UNROLL
        for (int k = 0; k < IN; ++k) {
            float a[R], b[C];
#pragma unroll
            for (int r = 0; r < R; ++r) a[r] = OF(x, least(row + r, T - 1) * IN + k);
#pragma unroll
            for (int c = 0; c < C; ++c) b[c] = weight[k * OUT + least(column + c, OUT - 1)];
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int c = 0; c < C; ++c) sum[r][c] += a[r] * b[c];
        }
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c)
                if (row + r < T && column + c < OUT) OF(y, (row + r) * OUT + column + c) = sum[r][c];
    }
}

// grad_x = grad_y Wᵀ. TURNED: the weight is Wᵀ, (OUT, IN), so that neighbouring threads read neighbouring numbers.
template <int MODE, int T, int IN, int OUT, bool TURNED>
DEVICE void project_grad_x(Id id, const float *weight, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    constexpr Tile SIZE = tile(T, IN, WORKERS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(IN, C), UNROLL = ahead(R * C);
    EACH(item, up(T, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = 0.0f;
#pragma unroll UNROLL
        for (int k = 0; k < OUT; ++k) {
            float a[R], b[C];
#pragma unroll
            for (int r = 0; r < R; ++r) a[r] = OF(grad_y, least(row + r, T - 1) * OUT + k);
#pragma unroll
            for (int c = 0; c < C; ++c) b[c] = TURNED ? weight[k * IN + least(column + c, IN - 1)] : weight[least(column + c, IN - 1) * OUT + k];
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int c = 0; c < C; ++c) sum[r][c] += a[r] * b[c];
        }
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c)
                if (row + r < T && column + c < IN) put<MODE>(OF(grad_x, (row + r) * IN + column + c), sum[r][c]);
    }
}

// Tiles of a weight's gradient where `calls` of about the same size share the threads of a block.
SIZES constexpr Tile weight_tile(int terms, int rows, int columns, int calls) {
    int each = rows * columns * TRAIN::SLICES * calls / THREADS;
    int high = each >= 12 ? 4 : each >= 3 || terms >= 64 ? 2 : 1, wide = each >= 6 ? 4 : each >= 2 || terms >= 64 ? 2 : 1;
    return {least(high, power(rows)), least(wide, power(columns))};
}

SIZES constexpr int weight_items(int t, int in, int out, bool bias, int calls) {
    Tile size = weight_tile(t * LANES, in + (bias ? 1 : 0), out, calls);
    return up(in + (bias ? 1 : 0), size.rows) * up(out, size.columns) * TRAIN::SLICES;
}

// grad_W += xᵀ grad_y and grad_c += Σ grad_y, over the tokens of all sequences; grad_c is a row of grad_W that meets ones.
// Where there are few weights, SLICES threads share each tile, and each adds to sums of its own.
template <int T, int IN, int OUT, bool BIAS, int CALLS>
DEVICE void project_grad_weight(Id id, const float *x, const float *grad_y, float *grad_weight, float *grad_bias) {
    constexpr int HEIGHT = IN + (BIAS ? 1 : 0);
    constexpr Tile SIZE = weight_tile(T * LANES, HEIGHT, OUT, CALLS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(OUT, C), DOWN = up(HEIGHT, R), TILES = DOWN * ACROSS;
    EACH_WEIGHT(item, TILES * TRAIN::SLICES) {
        const int slice = item / TILES, at = item % TILES, row = at / ACROSS, column = at % ACROSS;
        // Rows and columns of a tile are DOWN and ACROSS apart: neighbouring threads read neighbouring numbers.
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = 0.0f;
#pragma unroll 2
        for (int q = slice; q < T * GROUPS; q += TRAIN::SLICES) {
            const int t = q / GROUPS, l = (q + FIRST_GROUP(at)) % GROUPS * VECTOR;
            float a[R][VECTOR], b[C][VECTOR];
#pragma unroll
            for (int r = 0; r < R; ++r) {
                load(x + (t * IN + least(row + r * DOWN, IN - 1)) * LANES + l, a[r]);
#pragma unroll
                for (int v = 0; v < VECTOR; ++v) a[r][v] = row + r * DOWN < IN ? a[r][v] : 1.0f;
            }
#pragma unroll
            for (int c = 0; c < C; ++c) load(grad_y + (t * OUT + least(column + c * ACROSS, OUT - 1)) * LANES + l, b[c]);
#pragma unroll
            for (int v = 0; v < VECTOR; ++v)
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < C; ++c) sum[r][c] += a[r][v] * b[c][v];
        }
        const int to = slice * TRAIN::SUMS;
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const int at_row = row + r * DOWN, at_column = column + c * ACROSS;
                if (at_row < IN && at_column < OUT) grad_weight[to + at_row * OUT + at_column] += sum[r][c];
                if (BIAS && at_row == IN && at_column < OUT) grad_bias[to + at_column] += sum[r][c];
            }
    }
}
