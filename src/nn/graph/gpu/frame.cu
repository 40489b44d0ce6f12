// What every kernel's text stands on. The same text is compiled by NVRTC for a GPU and, in tests, by a C++ compiler for
// the host: there a phase is a loop over all threads of a block, and __syncthreads() is the end of that loop.
//
// A block trains LANES sequences side by side. Number i of a sequence lies at i * LANES + lane, so that neighbouring
// threads read neighbouring numbers. A thread is (lane, worker): WORKERS threads share the work of each sequence. Sums
// over sequences are taken by whole blocks, a thread for each weight, in an order that depends on nothing but the
// sizes.
//
// LANES, WORKERS and THREADS = LANES * WORKERS are defined before this text; LANES is a power of two.

#ifdef __CUDACC__
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#define DEVICE static __device__ __forceinline__
// COMPACT is defined where the code of all phases is larger than what a multiprocessor holds of it: then loops are not
// unrolled, and what is called from several places is there once.
#ifdef COMPACT
#define DEVICE_ONCE static __device__ __noinline__
#define LOOP_UNROLLING _Pragma("unroll 1")
#else
#define DEVICE_ONCE DEVICE
#define LOOP_UNROLLING
#endif
#define SIZES __host__ __device__
#define BLOCK_ID , const Id id
#define PASS_ID , id
#ifdef PROFILE
// Cycles of the first block by the line that a phase begins at: for measurements, not for training.
__device__ unsigned long long phase_cycles[8192];
#define PHASE(...)                                                                                                     \
    {                                                                                                                  \
        const long long began_ = clock64();                                                                            \
        __VA_ARGS__;                                                                                                   \
        __syncthreads();                                                                                               \
        if (blockIdx.x == 0 && threadIdx.x == 0) phase_cycles[__LINE__] += clock64() - began_;                         \
    }
#else
#define PHASE(...)                                                                                                     \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        __syncthreads();                                                                                               \
    }
#endif
#else
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#define DEVICE static inline
#define DEVICE_ONCE static
#define LOOP_UNROLLING
#define SIZES
#define BLOCK_ID
#define PASS_ID
// A phase must not depend on the order of its threads: the host runs them first to last, or last to first.
static bool last_first = false;
#define PHASE(...)                                                                                                     \
    for (int turn = 0; turn < THREADS; ++turn) {                                                                       \
        const int thread = last_first ? THREADS - 1 - turn : turn;                                                     \
        const Id id = {thread, thread % LANES, thread / LANES};                                                        \
        __VA_ARGS__;                                                                                                   \
    }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsqrt_rn(float a) { return std::sqrt(a); }
static inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
using std::exp;
using std::fabs;
using std::fmax;
using std::log1p;
#endif

struct Id {
    int thread, lane, worker;
};

// Work of one sequence, shared by its workers.
#define EACH(item, count) LOOP_UNROLLING for (int item = id.worker; item < (count); item += WORKERS)
// Work of all sequences of a block, shared by its threads.
#define EACH_WEIGHT(item, count) LOOP_UNROLLING for (int item = id.thread; item < (count); item += THREADS)
// All sequences, VECTOR at a time; threads begin with different ones, which lie in different banks of shared memory.
constexpr int VECTOR = LANES < 4 ? LANES : 4, GROUPS = LANES / VECTOR;
#define FIRST_GROUP(item) ((item) / (LANES < 32 ? 32 / LANES : 1) % GROUPS)
#define LANE_GROUPS(l, item)                                                                                           \
    LOOP_UNROLLING for (int turn_ = 0, l = FIRST_GROUP(item) * VECTOR; turn_ < GROUPS;                                 \
                        ++turn_, l = (l + VECTOR) % LANES)
// Work of all sequences of a block, VECTOR of them at a time, shared by its threads; `l` is the first of the sequences.
#define EACH_TILE(item, l, count)                                                                                      \
    LOOP_UNROLLING for (int item = id.thread / GROUPS, l = id.thread % GROUPS * VECTOR; item < (count);                \
                        item += THREADS / GROUPS)
// Number i of this thread's sequence.
#define OF(values, i) (values)[(i) * LANES + id.lane]

// What is done with a gradient by a sequence: nothing, where it is not needed; written; or added to what is there.
enum Mode { NONE, SET, ADD };

// Numbers of VECTOR neighbouring sequences.
DEVICE void load(const float *from, float *to) {
#ifdef __CUDACC__
    if (VECTOR == 4) {
        const float4 four = *reinterpret_cast<const float4 *>(from);
        to[0] = four.x;
        to[1 % VECTOR] = four.y;
        to[2 % VECTOR] = four.z;
        to[3 % VECTOR] = four.w;
        return;
    }
#endif
    for (int v = 0; v < VECTOR; ++v) to[v] = from[v];
}

// Σ over all sequences of a number, or of a product of two.
DEVICE float sum_of_lanes(const float *a, int item) {
    float sum = 0.0f;
    LANE_GROUPS(l, item) {
        float x[VECTOR];
        load(a + l, x);
#pragma unroll
        for (int v = 0; v < VECTOR; ++v) sum += x[v];
    }
    return sum;
}

DEVICE float dot_of_lanes(const float *a, const float *b, int item) {
    float sum = 0.0f;
    LANE_GROUPS(l, item) {
        float x[VECTOR], y[VECTOR];
        load(a + l, x);
        load(b + l, y);
#pragma unroll
        for (int v = 0; v < VECTOR; ++v) sum += x[v] * y[v];
    }
    return sum;
}

// The same threads in another order, so that calls of one phase begin at different threads.
DEVICE Id shifted(Id id, int by) { return {(id.thread + THREADS - by % THREADS) % THREADS, id.lane, id.worker}; }

template <int MODE>
DEVICE void put(float &sum, float part) {
    if (MODE == SET) sum = part;
    if (MODE == ADD) sum += part;
}

// The same for VECTOR neighbouring sequences.
template <int MODE>
DEVICE void put_all(float *sums, const float *parts) {
#ifdef __CUDACC__
    if (VECTOR == 4) {
        float4 four = make_float4(parts[0], parts[1 % VECTOR], parts[2 % VECTOR], parts[3 % VECTOR]);
        if (MODE == ADD) {
            const float4 before = *reinterpret_cast<const float4 *>(sums);
            four = make_float4(before.x + four.x, before.y + four.y, before.z + four.z, before.w + four.w);
        }
        *reinterpret_cast<float4 *>(sums) = four;
        return;
    }
#endif
    for (int v = 0; v < VECTOR; ++v) put<MODE>(sums[v], parts[v]);
}

SIZES constexpr int up(int a, int b) { return (a + b - 1) / b; }
SIZES constexpr int least(int a, int b) { return a < b ? a : b; }
SIZES constexpr int power(int a) { return a < 2 ? 1 : 2 * power((a + 1) / 2); }  // the next power of two
