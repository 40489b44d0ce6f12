// y = x W + c for every token: x (T, IN), W (IN, OUT), c (OUT). A thread computes a tile of rows and columns, so that a
// number that it reads takes part in several products.

struct Tile {
    int rows, columns;
};

// Cycles that a number is waited for at each term of a sum, some terms being read ahead.
constexpr int READING = 12;

// Cycles of a multiprocessor for each term of the sums of so many threads: their products (four warps at once), what
// they read (one warp at once), or the waiting of one warp, whichever takes longest.
SIZES constexpr int tile_time(int threads, int products, int reads) {
    int warps = up(threads, 32), computing = up(warps, 4) * products;
    int most = computing > warps * reads ? computing : warps * reads;
    return most > products + READING ? most : products + READING;
}

// The same for tiles that several threads take turns with: rounds in which every thread has one, and the last.
SIZES constexpr int tiles_time(int tiles, int products, int reads) {
    int rest = tiles % THREADS;
    return tiles / THREADS * tile_time(THREADS, products, reads) + (rest > 0 ? tile_time(rest, products, reads) : 0);
}

// What a tile is for: a product reads rows and columns once, a gradient by weights columns of both factors.
enum TileUse { PRODUCT, WEIGHT_GRADIENT };

// Of tiles with at most 16 sums, the one whose `threads` for each tile take the least time.
SIZES constexpr Tile fastest_tile(TileUse use, int rows, int columns, int threads) {
    Tile best = {1, 1};
    int least_time = 1 << 30;
    for (int r = 1; r <= (use == PRODUCT ? 4 : 8) && r <= power(rows); r *= 2)
        for (int c = 1; c <= (use == PRODUCT ? 8 : 4) && c <= power(columns); c *= 2) {
            if (r * c > 16) continue;
            int loads = use == PRODUCT ? r + up(c, 4) : r + c, reads = use == PRODUCT ? r + up(c, 2) : 2 * r + 4 * c;
            int time = tiles_time(up(rows, r) * up(columns, c) * threads, VECTOR * r * c + loads + 2, reads);
            if (time < least_time) {
                least_time = time;
                best = {r, c};
            }
        }
    return best;
}

// The tile of a product that takes the least time. Where sequences are few, as large as it can be with work left for
// every thread.
SIZES constexpr Tile tile(int rows, int columns) {
    if (LANES < 4) {
        int each = rows * columns / WORKERS;
        int high = each < 2 ? 1 : each < 8 ? 2 : 4, wide = each < 4 ? 1 : each < 16 ? 2 : each < 64 ? 4 : 8;
        return {least(high, power(rows)), least(wide, power(columns))};
    }
    return fastest_tile(PRODUCT, rows, columns, GROUPS);
}

// Threads that have a tile of such a product, up to whole warps.
SIZES constexpr int product_threads(int rows, int columns) {
    Tile size = tile(rows, columns);
    return up(up(rows, size.rows) * up(columns, size.columns) * GROUPS, 32) * 32;
}

// Terms whose numbers of the matrix are read before they are needed: as many as are computed in the time that it takes
// to read them.
SIZES constexpr int ahead(int tile, int terms, bool copied) {
    int most = copied ? 4 : LANES >= 4 ? (tile <= 2 ? 16 : tile <= 4 ? 8 : 4) : tile <= 2 ? 16 : tile <= 4 ? 8 : 4;
    return least(most, terms);
}

// How a matrix lies in memory: by rows; by rows that begin at multiples of 16 bytes if they have a multiple of 4
// numbers; such rows in shared memory; by columns.
enum MatrixOrder { ROWS, ALIGNED_ROWS, COPIED_ROWS, COLUMNS_FIRST };

// A matrix, to shared memory; both addresses are multiples of 16 bytes.
template <int COUNT>
DEVICE void copy_matrix(Id id, const float *from, float *to) {
#ifdef __CUDACC__
    constexpr int FOURS = COUNT / 4, TURNS = up(FOURS, THREADS);
    float4 parts[TURNS];
#pragma unroll
    for (int turn = 0; turn < TURNS; ++turn)
        parts[turn] = reinterpret_cast<const float4 *>(from)[least(turn * THREADS + id.thread, FOURS - 1)];
#pragma unroll
    for (int turn = 0; turn < TURNS; ++turn)
        if (turn * THREADS + id.thread < FOURS)
            reinterpret_cast<float4 *>(to)[turn * THREADS + id.thread] = parts[turn];
#else
    EACH_WEIGHT(i, COUNT) to[i] = from[i];
#endif
}

// C neighbouring numbers of row k of a matrix (K, COLUMNS).
template <int ORDER, int C, int K, int COLUMNS>
DEVICE void load_row(const float *matrix, int k, int column, float *to) {
    const float *row = matrix + k * COLUMNS;
#ifdef __CUDACC__
    if ((ORDER == ALIGNED_ROWS || ORDER == COPIED_ROWS) && COLUMNS % 4 == 0 && C % 4 == 0) {
#pragma unroll
        for (int c = 0; c < C; c += 4) {
            const float4 four = *reinterpret_cast<const float4 *>(row + least(column + c, COLUMNS - 4));
            to[c] = four.x;
            to[(c + 1) % C] = four.y;
            to[(c + 2) % C] = four.z;
            to[(c + 3) % C] = four.w;
        }
        return;
    }
    if (ORDER == COPIED_ROWS && COLUMNS % 2 == 0 && C == 2) {
        const float2 two = *reinterpret_cast<const float2 *>(row + column);
        to[0] = two.x;
        to[1 % C] = two.y;
        return;
    }
#endif
#pragma unroll
    for (int c = 0; c < C; ++c) {
        const int at = least(column + c, COLUMNS - 1);
        to[c] = ORDER == COLUMNS_FIRST ? matrix[at * K + k] : row[at];
    }
}

// y = rows times a matrix (K, COLUMNS), from `start` (COLUMNS) or zeros.
template <int MODE, int T, int K, int COLUMNS, bool START, int ORDER>
DEVICE void rows_times_matrix(Id id, const float *x, const float *matrix, const float *start, float *y) {
    constexpr Tile SIZE = tile(T, COLUMNS);
    constexpr int R = SIZE.rows, C = SIZE.columns, ACROSS = up(COLUMNS, C),
                  AHEAD = ahead(R * C, K, ORDER == COPIED_ROWS);
    EACH_TILE(item, l, up(T, R) * ACROSS) {
        const int row = item / ACROSS * R, column = item % ACROSS * C;
        float sum[R][C][VECTOR];
#pragma unroll
        for (int c = 0; c < C; ++c) {
            const float first = START ? start[least(column + c, COLUMNS - 1)] : 0.0f;
#pragma unroll
            for (int r = 0; r < R; ++r)
#pragma unroll
                for (int v = 0; v < VECTOR; ++v) sum[r][c][v] = first;
        }
        // The next terms' numbers of the matrix are read while these are multiplied, but for those in shared memory.
        float b[AHEAD][C];
#pragma unroll
        for (int j = 0; j < AHEAD && ORDER != COPIED_ROWS; ++j) load_row<ORDER, C, K, COLUMNS>(matrix, j, column, b[j]);
#pragma unroll 1
        for (int k = 0; k < K; k += AHEAD)
#pragma unroll
            for (int j = 0; j < AHEAD; ++j) {
                if (K % AHEAD > 0 && k + j >= K) break;
                float a[R][VECTOR];
#pragma unroll
                for (int r = 0; r < R; ++r) load(x + (least(row + r, T - 1) * K + k + j) * LANES + l, a[r]);
                if (ORDER == COPIED_ROWS) load_row<ORDER, C, K, COLUMNS>(matrix, k + j, column, b[j]);
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < C; ++c)
#pragma unroll
                        for (int v = 0; v < VECTOR; ++v) sum[r][c][v] += a[r][v] * b[j][c];
                if (ORDER != COPIED_ROWS)
                    load_row<ORDER, C, K, COLUMNS>(matrix, least(k + j + AHEAD, K - 1), column, b[j]);
            }
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c)
                if (row + r < T && column + c < COLUMNS)
                    put_all<MODE>(y + ((row + r) * COLUMNS + column + c) * LANES + l, sum[r][c]);
    }
}

template <int T, int IN, int OUT, bool BIAS, int ORDER>
DEVICE void project_forward(Id id, const float *x, const float *weight, const float *bias, float *y) {
    rows_times_matrix<SET, T, IN, OUT, BIAS, ORDER>(id, x, weight, bias, y);
}

// grad_x = grad_y Wᵀ, by the matrix Wᵀ (OUT, IN): where it lies by rows, neighbouring threads read neighbouring
// numbers.
template <int MODE, int T, int IN, int OUT, int ORDER>
DEVICE void project_grad_x(Id id, const float *transposed, const float *grad_y, float *grad_x) {
    if (MODE != NONE) rows_times_matrix<MODE, T, OUT, IN, false, ORDER>(id, grad_y, transposed, nullptr, grad_x);
}

// Tiles of a weight's gradient where `calls` of about the same size share the threads of a block.
SIZES constexpr Tile weight_tile(int terms, int rows, int columns, int calls) {
    if (LANES < 4) {
        int each = rows * columns * TRAIN::SLICES * calls / THREADS;
        int high = each >= 12                 ? 4
                   : each >= 3 || terms >= 64 ? 2
                                              : 1,
            wide = each >= 6                  ? 4
                   : each >= 2 || terms >= 64 ? 2
                                              : 1;
        return {least(high, power(rows)), least(wide, power(columns))};
    }
    // Neighbouring threads read the same numbers of x, and others of grad_y.
    return fastest_tile(WEIGHT_GRADIENT, rows, columns, TRAIN::SLICES * calls);
}

SIZES constexpr int weight_items(int t, int in, int out, bool bias, int calls) {
    Tile size = weight_tile(t * LANES, in + (bias ? 1 : 0), out, calls);
    return up(in + (bias ? 1 : 0), size.rows) * up(out, size.columns) * TRAIN::SLICES;
}

// grad_W += xᵀ grad_y and grad_c += Σ grad_y, over the tokens of all sequences; grad_c is a row of grad_W that meets
// ones. Where there are few weights, SLICES threads share each tile, and each adds to sums of its own.
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
            for (int c = 0; c < C; ++c)
                load(grad_y + (t * OUT + least(column + c * ACROSS, OUT - 1)) * LANES + l, b[c]);
#pragma unroll
            for (int v = 0; v < VECTOR; ++v)
#pragma unroll
                for (int r = 0; r < R; ++r)
#pragma unroll
                    for (int c = 0; c < C; ++c) sum[r][c] += a[r][v] * b[c][v];
        }
        // All sums are read before the first is written: they may lie in the GPU's memory, which takes its time.
        float before[R][C];
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const int at_row = row + r * DOWN, at_column = column + c * ACROSS,
                          at = slice * TRAIN::SUMS + at_column;
                before[r][c] = 0.0f;
                if (at_column >= OUT) continue;
                if (at_row < IN) before[r][c] = grad_weight[at + at_row * OUT];
                if (BIAS && at_row == IN) before[r][c] = grad_bias[at];
            }
#pragma unroll
        for (int r = 0; r < R; ++r)
#pragma unroll
            for (int c = 0; c < C; ++c) {
                const int at_row = row + r * DOWN, at_column = column + c * ACROSS,
                          at = slice * TRAIN::SUMS + at_column;
                if (at_column >= OUT) continue;
                if (at_row < IN) grad_weight[at + at_row * OUT] = before[r][c] + sum[r][c];
                if (BIAS && at_row == IN) grad_bias[at] = before[r][c] + sum[r][c];
            }
    }
}
