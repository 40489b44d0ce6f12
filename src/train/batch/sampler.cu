// Samples the plain linear tasks of src/task/linear.rs on a GPU, the same numbers bit by bit: IEEE 754 defines the
// rounding of every operation used, as long as products and sums are not contracted (--fmad=false).

struct Params {
    unsigned key[6];              // seed, stream and step, the low word first
    unsigned tasks, blocks;       // blocks of sixteen words that a task needs
    unsigned dim, outputs, pairs;
    unsigned inputs, query;       // the first number of the inputs and of the query; the weights come first
    unsigned normal;              // whether inputs are normal; else uniform
    float weight_scale, spread;   // spread: the standard deviation of normal inputs, or the range of uniform ones
    unsigned sequence;            // numbers of a task's tokens
    unsigned first_x, first_y, stride, at_query;
};

__device__ void quarter(unsigned &a, unsigned &b, unsigned &c, unsigned &d) {
    a += b; d ^= a; d = d << 16 | d >> 16;
    c += d; b ^= c; b = b << 12 | b >> 20;
    a += b; d ^= a; d = d << 8 | d >> 24;
    c += d; b ^= c; b = b << 7 | b >> 25;
}

__device__ float real(unsigned bits) { return __uint_as_float(bits); }

// The polynomials of src/task/variates.rs, in their order.
__device__ float logarithm(float x) {
    unsigned above = __float_as_uint(x) - 0x3f3504f3u;
    float e = (float)((int)above >> 23);
    float f = real((above & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    float p = 7.0376836e-2f;
    p = p * f + -0.1151461f;
    p = p * f + 0.11676999f;
    p = p * f + -0.12420141f;
    p = p * f + 0.14249323f;
    p = p * f + -0.16668058f;
    p = p * f + 0.20000715f;
    p = p * f + -0.24999994f;
    p = p * f + 0.3333333f;
    float square = f * f;
    return f + (f * square * p - 0.5f * square) + e * 0.693147181f;
}

__device__ void normals(unsigned distance, unsigned angle, float spread, float *out) {
    float u = ((float)(int)(distance >> 1) + 1.0f) * 0x1p-31f;
    float r = sqrtf(fmaxf(-2.0f * logarithm(u), 0.0f));
    float t = (float)(int)(angle << 2) * 0x1.921fb6p-32f;
    float square = t * t;
    float sine = t + t * square * (-0.16666655f + square * (8.332161e-3f + square * -1.9515296e-4f));
    float cosine = 1.0f - 0.5f * square
        + square * square * (4.1666646e-2f + square * (-1.3887316e-3f + square * 2.4433157e-5f));
    unsigned sin = __float_as_uint(sine), cos = __float_as_uint(cosine) ^ (angle & 0x80000000u);
    bool swap = angle >> 30 & 1;
    out[0] = spread * (r * real(swap ? sin : cos));
    out[1] = spread * (r * real(swap ? cos : sin));
}

// One block of sixteen words of one task, and the numbers made from them.
extern "C" __global__ void sample_numbers(const Params params, float *numbers) {
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= params.tasks * params.blocks) return;
    unsigned block = at % params.blocks;
    unsigned start[16] = {
        0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u,
        params.key[0], params.key[1], params.key[2], params.key[3], params.key[4], params.key[5],
        at / params.blocks, 0u,
        block, 0u, 0u, 0u,
    };
    unsigned w[16];
    for (int i = 0; i < 16; i++) w[i] = start[i];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 4; i++) quarter(w[i], w[i + 4], w[i + 8], w[i + 12]);
        for (int i = 0; i < 4; i++) quarter(w[i], w[(i + 1) % 4 + 4], w[(i + 2) % 4 + 8], w[(i + 3) % 4 + 12]);
    }
    for (int i = 0; i < 16; i++) w[i] += start[i];
    float *out = numbers + (size_t)at * 16;
    for (unsigned i = 0; i < 16; i += 2) {
        unsigned number = block * 16 + i;
        if (number < params.inputs) {
            normals(w[i], w[i + 1], params.weight_scale, out + i);
        } else if (params.normal) {
            normals(w[i], w[i + 1], params.spread, out + i);
        } else {
            out[i] = params.spread * ((float)(int)w[i] * 0x1p-32f);
            out[i + 1] = params.spread * ((float)(int)w[i + 1] * 0x1p-32f);
        }
    }
}

// One number of one pair, or of the query and its target: an x is copied, a y is W x.
extern "C" __global__ void sample_tokens(const Params params, const float *numbers, float *tokens, float *targets) {
    unsigned wide = params.dim + params.outputs, positions = params.pairs + 1;
    unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= params.tasks * positions * wide) return;
    unsigned number = at % wide, position = at / wide % positions, task = at / wide / positions;
    const float *sampled = numbers + (size_t)task * params.blocks * 16;
    const float *x = sampled + (position < params.pairs ? params.inputs + position * params.dim : params.query);
    float *sequence = tokens + (size_t)task * params.sequence;
    if (number < params.dim) {
        unsigned start = position < params.pairs ? params.first_x + position * params.stride : params.at_query;
        sequence[start + number] = x[number];
        return;
    }
    unsigned output = number - params.dim;
    float y = 0.0f;
    for (unsigned k = 0; k < params.dim; k++) y = y + sampled[output * params.dim + k] * x[k];
    if (position < params.pairs) {
        sequence[params.first_y + position * params.stride + output] = y;
    } else {
        targets[(size_t)task * params.outputs + output] = y;
    }
}
