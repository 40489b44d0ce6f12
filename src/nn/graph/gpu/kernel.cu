// The one kernel: so many steps in one launch. All blocks are on the GPU at once and wait for each other at a barrier:
// after they have written their sums of gradients, and after the weights are new. On the host blocks take turns.

#ifdef __CUDACC__
// A barrier in two parts: what lies between them does not depend on other blocks.
DEVICE void arrive(unsigned *barrier, unsigned blocks) {
    __syncthreads();
    if (blocks > 1 && threadIdx.x == 0) {
        __threadfence();
        atomicAdd(barrier, 1u);
    }
}

DEVICE void wait_for_all(unsigned *barrier, unsigned blocks, unsigned &turn) {
    ++turn;
    if (blocks > 1 && threadIdx.x == 0) {
        while (*(volatile unsigned *)barrier < turn * blocks) {
        }
        __threadfence();
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) train(const Orders orders) {
    extern __shared__ __align__(16) float memory[];
    const Id id = {(int)threadIdx.x, (int)threadIdx.x % LANES, (int)threadIdx.x / LANES};
    const int block = blockIdx.x, blocks = gridDim.x;
    unsigned turn = 0;
    sample_block(orders, block, block * LANES, 0, memory, id);
    for (int step = 0; step < orders.steps; ++step) {
        train_block(orders, block, blocks, step, memory, id);
        arrive(orders.barrier, blocks);
        if (step + 1 < orders.steps) sample_block(orders, block, block * LANES, step + 1, memory, id);
        wait_for_all(orders.barrier, blocks, turn);
        reduce_block(orders, block, blocks, step, memory, id);
        arrive(orders.barrier, blocks);
        wait_for_all(orders.barrier, blocks, turn);
        if (TRAIN::CLIPS) {
            clip_block(orders, block, blocks, step, memory, id);
            arrive(orders.barrier, blocks);
            wait_for_all(orders.barrier, blocks, turn);
        }
    }
}
#else
// `memory` is that of all blocks, one after the other.
extern "C" void train(const Orders *orders, int blocks, int backwards, float *memory) {
    last_first = backwards != 0;
    for (int block = 0; block < blocks; ++block)
        sample_block(*orders, block, block * LANES, 0, memory + (size_t)block * TRAIN::SHARED);
    for (int step = 0; step < orders->steps; ++step) {
        for (int block = 0; block < blocks; ++block) {
            float *own = memory + (size_t)block * TRAIN::SHARED;
            train_block(*orders, block, blocks, step, own);
            if (step + 1 < orders->steps) sample_block(*orders, block, block * LANES, step + 1, own);
        }
        for (int block = 0; block < blocks; ++block)
            reduce_block(*orders, block, blocks, step, memory + (size_t)block * TRAIN::SHARED);
        if (TRAIN::CLIPS)
            for (int block = 0; block < blocks; ++block)
                clip_block(*orders, block, blocks, step, memory + (size_t)block * TRAIN::SHARED);
    }
}
#endif
