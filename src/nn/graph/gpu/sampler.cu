// Samples the linear tasks of src/task/linear.rs, the same numbers to the last bit: every operation is one that IEEE
// 754 rounds alike everywhere, and none is contracted. TASK is a struct of constants, which the source begins with.

// A tape of random words, a function of its key: ChaCha with eight rounds.
struct Words {
    unsigned key[8];
};

DEVICE unsigned rotate_left(unsigned x, int by) { return x << by | x >> (32 - by); }

DEVICE void quarter(unsigned &a, unsigned &b, unsigned &c, unsigned &d) {
    a += b;
    d = rotate_left(d ^ a, 16);
    c += d;
    b = rotate_left(b ^ c, 12);
    a += b;
    d = rotate_left(d ^ a, 8);
    c += d;
    b = rotate_left(b ^ c, 7);
}

// Sixteen words.
DEVICE void words_of(const Words &words, unsigned block, unsigned *w) {
    const unsigned start[16] = {
        0x61707865u,  0x3320646eu,  0x79622d32u,  0x6b206574u,  words.key[0], words.key[1], words.key[2], words.key[3],
        words.key[4], words.key[5], words.key[6], words.key[7], block,        0u,           0u,           0u,
    };
#pragma unroll
    for (int i = 0; i < 16; ++i) w[i] = start[i];
#pragma unroll
    for (int round = 0; round < 4; ++round) {
        quarter(w[0], w[4], w[8], w[12]);
        quarter(w[1], w[5], w[9], w[13]);
        quarter(w[2], w[6], w[10], w[14]);
        quarter(w[3], w[7], w[11], w[15]);
        quarter(w[0], w[5], w[10], w[15]);
        quarter(w[1], w[6], w[11], w[12]);
        quarter(w[2], w[7], w[8], w[13]);
        quarter(w[3], w[4], w[9], w[14]);
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) w[i] += start[i];
}

// a b + c, rounded twice.
DEVICE float twice(float a, float b, float c) { return __fadd_rn(__fmul_rn(a, b), c); }

// The polynomials of src/task/variates.rs, in their order.
DEVICE float logarithm(float x) {
    const unsigned above = __float_as_uint(x) - 0x3f3504f3u;
    const float e = (float)((int)above >> 23),
                f = __fadd_rn(__uint_as_float((above & 0x007fffffu) + 0x3f3504f3u), -1.0f);
    float p = 7.0376836e-2f;
    p = twice(p, f, -0.1151461f);
    p = twice(p, f, 0.11676999f);
    p = twice(p, f, -0.12420141f);
    p = twice(p, f, 0.14249323f);
    p = twice(p, f, -0.16668058f);
    p = twice(p, f, 0.20000715f);
    p = twice(p, f, -0.24999994f);
    p = twice(p, f, 0.3333333f);
    const float square = __fmul_rn(f, f);
    const float bend = __fadd_rn(__fmul_rn(__fmul_rn(f, square), p), -__fmul_rn(0.5f, square));
    return __fadd_rn(__fadd_rn(f, bend), __fmul_rn(e, 0.693147181f));
}

DEVICE void normals(unsigned distance, unsigned angle, float spread, float &first, float &second) {
    const float u = __fmul_rn(__fadd_rn((float)(int)(distance >> 1), 1.0f), 0x1p-31f);
    const float r = __fsqrt_rn(fmaxf(__fmul_rn(-2.0f, logarithm(u)), 0.0f));
    const float t = __fmul_rn((float)(int)(angle << 2), 0x1.921fb6p-32f), square = __fmul_rn(t, t);
    const float sine = __fadd_rn(
        t, __fmul_rn(__fmul_rn(t, square), twice(square, twice(square, -1.9515296e-4f, 8.332161e-3f), -0.16666655f)));
    const float bend = twice(square, twice(square, 2.4433157e-5f, -1.3887316e-3f), 4.1666646e-2f);
    const float cosine =
        __fadd_rn(__fadd_rn(1.0f, -__fmul_rn(0.5f, square)), __fmul_rn(__fmul_rn(square, square), bend));
    const unsigned sin = __float_as_uint(sine), cos = __float_as_uint(cosine) ^ (angle & 0x80000000u);
    const bool swap = angle >> 30 & 1;
    first = __fmul_rn(spread, __fmul_rn(r, __uint_as_float(swap ? sin : cos)));
    second = __fmul_rn(spread, __fmul_rn(r, __uint_as_float(swap ? cos : sin)));
}

// The words of the task of a sequence, in the batch that comes `steps` after this one.
DEVICE Words words_for(const unsigned *seed, const unsigned *stream, const unsigned *step, int steps,
                       unsigned sequence) {
    const unsigned low = step[0] + (unsigned)steps, high = step[1] + (low < step[0] ? 1u : 0u);
    return {{seed[0], seed[1], stream[0], stream[1], low, high, sequence, 0u}};
}

SIZES constexpr int even(int a) { return (a + 1) / 2 * 2; }

// Numbers of a task, in their order: W, x, x_q, the steps of W, noise. Normal numbers come in pairs, and an odd one is
// lost.
constexpr int MATRIX = TASK::DIM * TASK::OUTPUTS;
constexpr int FROM_X = even(MATRIX);
constexpr int FROM_QUERY = FROM_X + (TASK::NORMAL ? even(TASK::PAIRS * TASK::DIM) : TASK::PAIRS * TASK::DIM);
constexpr int FROM_DRIFT = FROM_QUERY + (TASK::NORMAL ? even(TASK::DIM) : TASK::DIM);
constexpr int FROM_NOISE = FROM_DRIFT + (TASK::DRIFTS ? (TASK::PAIRS - 1) * even(MATRIX) : 0);
constexpr int NUMBERS = FROM_NOISE + (TASK::NOISY ? even(TASK::PAIRS * TASK::OUTPUTS) : 0);

// Where a task's numbers are kept: W, the steps of W, noise, and x and y of the pairs where tokens hold their products.
constexpr int KEEP_DRIFT = MATRIX;
constexpr int KEEP_NOISE = KEEP_DRIFT + (TASK::DRIFTS ? (TASK::PAIRS - 1) * MATRIX : 0);
constexpr int KEEP_X = KEEP_NOISE + (TASK::NOISY ? TASK::PAIRS * TASK::OUTPUTS : 0);
constexpr int KEEP_Y = KEEP_X + (TASK::PRODUCTS ? TASK::PAIRS * TASK::DIM : 0);

// Where x_i and y_i begin, in the tokens or in what is kept.
DEVICE int place_of_x(int pair) { return TASK::PRODUCTS ? KEEP_X + pair * TASK::DIM : TASK::X + pair * TASK::STRIDE; }
DEVICE int place_of_y(int pair) {
    return TASK::PRODUCTS ? KEEP_Y + pair * TASK::OUTPUTS : TASK::Y + pair * TASK::STRIDE;
}

DEVICE void keep_number(Id id, int number, float value, float *kept, float *tokens) {
    float *pairs = TASK::PRODUCTS ? kept : tokens;
    if (number < FROM_X) {
        if (number < MATRIX) OF(kept, number) = value;
    } else if (number < FROM_QUERY) {
        const int i = number - FROM_X;
        if (i < TASK::PAIRS * TASK::DIM) OF(pairs, place_of_x(i / TASK::DIM) + i % TASK::DIM) = value;
    } else if (number < FROM_DRIFT) {
        const int i = number - FROM_QUERY;
        if (i < TASK::DIM) OF(tokens, TASK::QUERY + i) = value;
    } else if (number < FROM_NOISE) {
        const int i = number - FROM_DRIFT, within = i % even(MATRIX);
        if (within < MATRIX) OF(kept, KEEP_DRIFT + i / even(MATRIX) * MATRIX + within) = value;
    } else if (number < NUMBERS) {
        const int i = number - FROM_NOISE;
        if (i < TASK::PAIRS * TASK::OUTPUTS) OF(kept, KEEP_NOISE + i) = value;
    }
}

// Random numbers of the task, sixteen at a time, and zeros where tokens hold nothing.
DEVICE void sample_numbers(Id id, const Words &words, float *kept, float *tokens) {
    if (TASK::GAPS)
        EACH(i, TASK::TOKENS) {
            const int within = i % TASK::WIDTH;
            const int token = i / TASK::WIDTH;
            const bool gap =
                TASK::JOINED ? token == TASK::PAIRS && within >= TASK::DIM
                             : token % 2 == TASK::TARGET_PARITY && token >= 1 && within < TASK::WIDTH - TASK::OUTPUTS;
            if (gap) OF(tokens, i) = 0.0f;
        }
    EACH(block, up(NUMBERS, 16)) {
        unsigned w[16];
        words_of(words, block, w);
#pragma unroll
        for (int i = 0; i < 16; i += 2) {
            const int number = block * 16 + i;
            const bool uniform = !TASK::NORMAL && number + 1 >= FROM_X && number < FROM_DRIFT;
            float pair[2];
            if (uniform) {
                // Numbers of two kinds meet within a pair only where a uniform one ends: then the next is drawn by
                // itself.
                for (int k = 0; k < 2; ++k)
                    pair[k] = __fmul_rn(TASK::SPREAD, __fmul_rn((float)(int)w[i + k], 0x1p-32f));
            } else {
                normals(w[i], w[i + 1],
                        number < FROM_X       ? TASK::WEIGHT_SCALE
                        : number < FROM_DRIFT ? TASK::SPREAD
                        : number < FROM_NOISE ? TASK::DRIFT
                                              : TASK::NOISE,
                        pair[0], pair[1]);
            }
            for (int k = 0; k < 2; ++k)
                if (FROM_DRIFT % 2 == 0 || number + k < FROM_DRIFT) keep_number(id, number + k, pair[k], kept, tokens);
        }
    }
    // Where uniform numbers are odd, all later pairs of words are shifted by one.
    if (FROM_DRIFT % 2 == 1)
        EACH(pair, (NUMBERS - FROM_DRIFT) / 2) {
            unsigned w[16];
            const int number = FROM_DRIFT + 2 * pair;
            words_of(words, number / 16, w);
            unsigned first = 0, second = 0;
            for (int i = 0; i < 16; ++i) {
                if (i == number % 16) first = w[i];
                if (i == number % 16 + 1) second = w[i];
            }
            if (number % 16 == 15) {
                words_of(words, number / 16 + 1, w);
                second = w[0];
            }
            float a, b;
            normals(first, second, number < FROM_NOISE ? TASK::DRIFT : TASK::NOISE, a, b);
            keep_number(id, number, a, kept, tokens);
            keep_number(id, number + 1, b, kept, tokens);
        }
}

// y_i = W_i x_i + noise, and the query's target without noise.
DEVICE void sample_targets(Id id, float *kept, float *tokens, float *target) {
    float *pairs = TASK::PRODUCTS ? kept : tokens;
    if (!TASK::DRIFTS) {
        EACH(item, (TASK::PAIRS + 1) * TASK::OUTPUTS) {
            const int pair = item / TASK::OUTPUTS, o = item % TASK::OUTPUTS;
            const float *from = pair < TASK::PAIRS ? pairs : tokens;
            const int x = pair < TASK::PAIRS ? place_of_x(pair) : TASK::QUERY;
            float y = 0.0f;
#pragma unroll 8
            for (int k = 0; k < TASK::DIM; ++k)
                y = __fadd_rn(y, __fmul_rn(OF(kept, o * TASK::DIM + k), OF(from, x + k)));
            if (pair == TASK::PAIRS)
                OF(target, o) = y;
            else
                OF(pairs, place_of_y(pair) + o) = TASK::NOISY ? __fadd_rn(y, OF(kept, KEEP_NOISE + item)) : y;
        }
        return;
    }
    EACH(o, TASK::OUTPUTS) {
        for (int pair = 0; pair <= TASK::PAIRS; ++pair) {
            float y = 0.0f;
            for (int k = 0; k < TASK::DIM; ++k) {
                const int w = o * TASK::DIM + k;
                if (pair > 0 && pair < TASK::PAIRS)
                    OF(kept, w) = __fadd_rn(OF(kept, w), OF(kept, KEEP_DRIFT + (pair - 1) * MATRIX + w));
                y = __fadd_rn(y, __fmul_rn(OF(kept, w), pair < TASK::PAIRS ? OF(pairs, place_of_x(pair) + k)
                                                                           : OF(tokens, TASK::QUERY + k)));
            }
            if (pair == TASK::PAIRS)
                OF(target, o) = y;
            else
                OF(pairs, place_of_y(pair) + o) =
                    TASK::NOISY ? __fadd_rn(y, OF(kept, KEEP_NOISE + pair * TASK::OUTPUTS + o)) : y;
        }
    }
}

// One word after the other.
struct Reader {
    unsigned w[16];
    int next;
};

DEVICE unsigned next_word(const Words &words, Reader &reader) {
    if (reader.next % 16 == 0) words_of(words, reader.next / 16, reader.w);
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) word = i == reader.next % 16 ? reader.w[i] : word;
    ++reader.next;
    return word;
}

// Targets at random places that are N(0, 1): the places in the order of Floyd's algorithm, as rand 0.8 draws them.
DEVICE void sample_distractors(Id id, const Words &words, float *kept, float *tokens) {
    float *pairs = TASK::PRODUCTS ? kept : tokens;
    EACH(one, 1) {
        Reader reader;
        reader.next = NUMBERS;
        if (NUMBERS % 16 != 0) words_of(words, NUMBERS / 16, reader.w);
        int places[TASK::DISTRACTORS > 0 ? TASK::DISTRACTORS : 1];
        int count = 0;
        for (unsigned j = TASK::PAIRS - TASK::DISTRACTORS; j < TASK::PAIRS; ++j) {
            const unsigned range = j + 1;
            unsigned zone = range;
            while (!(zone & 0x80000000u)) zone <<= 1;
            zone -= 1;
            unsigned at = 0;
            for (bool found = false; !found;) {
                const unsigned long long product = (unsigned long long)next_word(words, reader) * range;
                found = (unsigned)product <= zone;
                at = (unsigned)(product >> 32);
            }
            int same = count;
            for (int i = 0; i < count; ++i)
                if (places[i] == (int)at && same == count) same = i;
            if (same < count) {
                for (int i = count; i > same; --i) places[i] = places[i - 1];
                places[same] = (int)j;
            } else {
                places[count] = (int)at;
            }
            ++count;
        }
        for (int i = 0; i < count; ++i)
            for (int o = 0; o < TASK::OUTPUTS; o += 2) {
                const unsigned distance = next_word(words, reader), angle = next_word(words, reader);
                float a, b;
                normals(distance, angle, 1.0f, a, b);
                OF(pairs, place_of_y(places[i]) + o) = a;
                if (o + 1 < TASK::OUTPUTS) OF(pairs, place_of_y(places[i]) + o + 1) = b;
            }
    }
}

// Tokens that hold the products of a pair and the next x.
DEVICE void sample_products(Id id, const float *kept, float *tokens) {
    EACH(item, TASK::PAIRS * MATRIX) {
        const int pair = item / MATRIX, within = item % MATRIX;
        OF(tokens, pair * TASK::WIDTH + within) =
            __fmul_rn(OF(kept, place_of_y(pair) + within / TASK::DIM), OF(kept, place_of_x(pair) + within % TASK::DIM));
    }
    EACH(item, (TASK::PAIRS - 1) * TASK::DIM) {
        const int pair = item / TASK::DIM;
        OF(tokens, pair * TASK::WIDTH + MATRIX + item % TASK::DIM) = OF(kept, place_of_x(pair + 1) + item % TASK::DIM);
    }
}
