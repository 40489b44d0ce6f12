// The one kernel: so many steps in one launch. All blocks are on the GPU at once and wait for each other at a barrier: after
// they have written their sums of gradients, and after the weights are new. On the host blocks take turns.

#ifdef __CUDACC__
DEVICE void wait_for_all(unsigned *barrier, unsigned blocks, unsigned &turn) {
    __syncthreads();
    ++turn;
    if (blocks > 1 && threadIdx.x == 0) {
        __threadfence();
        atomicAdd(barrier, 1u);
        while (*(volatile unsigned *)barrier < turn * blocks) {}
        __threadfence();
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS) train(const Orders orders) {
    extern __shared__ float memory[];
    const Id id = {(int)threadIdx.x, (int)threadIdx.x % LANES, (int)threadIdx.x / LANES};
    const int block = blockIdx.x, blocks = gridDim.x;
    unsigned turn = 0;
    for (int step = 0; step < orders.steps; ++step) {
        train_block(orders, block, blocks, step, memory, id);
        wait_for_all(orders.barrier, blocks, turn);
        reduce_block(orders, block, blocks, step, memory, id);
        wait_for_all(orders.barrier, blocks, turn);
        if (TRAIN::CLIPS) {
            clip_block(orders, block, blocks, step, memory, id);
            wait_for_all(orders.barrier, blocks, turn);
        }
    }
}
#else
extern "C" int shared_numbers() { return TRAIN::SHARED; }

extern "C" void train(const Orders *orders, int blocks, int backwards, float *memory) {
    last_first = backwards != 0;
    for (int step = 0; step < orders->steps; ++step) {
        for (int block = 0; block < blocks; ++block) train_block(*orders, block, blocks, step, memory);
        for (int block = 0; block < blocks; ++block) reduce_block(*orders, block, blocks, step, memory);
        if (TRAIN::CLIPS)
            for (int block = 0; block < blocks; ++block) clip_block(*orders, block, blocks, step, memory);
    }
}
#endif
