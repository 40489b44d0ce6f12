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

template <int T, int IN, int OUT, bool BIAS>
DEVICE void project_forward(Id id, const float *x, const float *weight, const float *bias, float *y) {
    constexpr Tile SIZE = tile(T, OUT, WORKERS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(OUT, C);
    EACH(item, up(T, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = BIAS ? bias[least(column + c, OUT - 1)] : 0.0f;
#pragma unroll 4
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

// grad_x = grad_y Wᵀ.
template <int MODE, int T, int IN, int OUT>
DEVICE void project_grad_x(Id id, const float *weight, const float *grad_y, float *grad_x) {
    if (MODE == NONE) return;
    constexpr Tile SIZE = tile(T, IN, WORKERS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(IN, C);
    EACH(item, up(T, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = 0.0f;
#pragma unroll 4
        for (int k = 0; k < OUT; ++k) {
            float a[R], b[C];
#pragma unroll
            for (int r = 0; r < R; ++r) a[r] = OF(grad_y, least(row + r, T - 1) * OUT + k);
#pragma unroll
            for (int c = 0; c < C; ++c) b[c] = weight[least(column + c, IN - 1) * OUT + k];
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

// grad_W += xᵀ grad_y and grad_c += Σ grad_y, over the tokens of all sequences; grad_c is a row of grad_W that meets ones.
template <int T, int IN, int OUT, bool BIAS>
DEVICE void project_grad_weight(Id id, const float *x, const float *grad_y, float *grad_weight, float *grad_bias) {
    constexpr int HEIGHT = IN + (BIAS ? 1 : 0);
    constexpr Tile SIZE = tile(HEIGHT, OUT, THREADS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(OUT, C);
    EACH_WEIGHT(item, up(HEIGHT, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) sum[r][c] = 0.0f;
        for (int t = 0; t < T; ++t) {
#pragma unroll 2
            ALL_LANES(l) {
                float a[R], b[C];
#pragma unroll
                for (int r = 0; r < R; ++r) a[r] = row + r < IN ? x[(t * IN + row + r) * LANES + l] : 1.0f;
#pragma unroll
                for (int c = 0; c < C; ++c) b[c] = grad_y[(t * OUT + least(column + c, OUT - 1)) * LANES + l];
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < C; ++c) sum[r][c] += a[r] * b[c];
            }
        }
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) {
                if (row + r < IN && column + c < OUT) grad_weight[(row + r) * OUT + column + c] += sum[r][c];
                if (BIAS && row + r == IN && column + c < OUT) grad_bias[column + c] += sum[r][c];
            }
    }
}
