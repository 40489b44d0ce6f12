// An imitation of the NVIDIA driver and of NVRTC, for tests on machines without a GPU. Memory is the host's, a kernel is
// compiled for the host, and a launch runs it at once. What a driver does not forgive is an error here, too: a call without a
// context, an address that is not in its memory, more blocks than fit.

#include <dlfcn.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr int MULTIPROCESSORS = 132, SHARED_BLOCK = 232448, SHARED_MULTIPROCESSOR = 233472;
constexpr unsigned OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, ILLEGAL_ADDRESS = 700, TOO_LARGE = 720;

struct Kernel {
    void *library, *train;
    int shared;
};

int context, contexts = 0, calls_until_failure = 0;
unsigned failure = OK;
void *current = nullptr;
size_t used = 0, most = ~size_t(0);
std::map<size_t, size_t> memory;  // bytes by address
std::set<Kernel *> kernels;
std::set<std::string *> programs;

// The error that a test has asked for at this call; `needs_context`: whether the call works on the current context.
unsigned error(bool needs_context) {
    if (calls_until_failure > 0 && --calls_until_failure == 0) return failure;
    return needs_context && current != &context ? INVALID_CONTEXT : OK;
}

bool holds(size_t address, size_t bytes) {
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return false;
    auto [start, size] = *--next;
    return address + bytes <= start + size;
}

int resident(int threads, size_t shared) {
    const int by_memory = SHARED_MULTIPROCESSOR / static_cast<int>(shared + 1024), by_threads = 2048 / threads;
    return by_memory < by_threads ? by_memory : by_threads;
}

#define CHECK(needs_context)                                                                                           \
    if (unsigned code = error(needs_context)) return code

}  // namespace

extern "C" {

// What tests ask of the imitation.
void imitation_fail(int after_calls, unsigned code) { calls_until_failure = after_calls, failure = code; }
void imitation_memory(size_t bytes) { most = bytes; }
size_t imitation_live() { return contexts + memory.size() + kernels.size() + programs.size(); }

unsigned cuInit(unsigned) {
    CHECK(false);
    return OK;
}
unsigned cuGetErrorName(unsigned code, const char **name) {
    *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : nullptr;
    return OK;
}
unsigned cuDeviceGet(int *device, int number) {
    CHECK(false);
    *device = number;
    return number == 0 ? OK : 101;
}
unsigned cuDeviceGetAttribute(int *value, unsigned which, int) {
    CHECK(false);
    static const std::map<unsigned, int> all = {
        {16, MULTIPROCESSORS}, {75, 9}, {76, 0}, {81, SHARED_MULTIPROCESSOR}, {95, 1}, {97, SHARED_BLOCK}};
    auto found = all.find(which);
    if (found == all.end()) return INVALID_VALUE;
    *value = found->second;
    return OK;
}
unsigned cuDevicePrimaryCtxRetain(void **to, int) {
    CHECK(false);
    ++contexts;
    *to = &context;
    return OK;
}
unsigned cuDevicePrimaryCtxRelease_v2(int) {
    if (--contexts == 0) current = nullptr;
    return OK;
}
unsigned cuCtxSetCurrent(void *to) {
    CHECK(false);
    current = to;
    return OK;
}
unsigned cuMemAlloc_v2(size_t *address, size_t bytes) {
    CHECK(true);
    if (bytes == 0) return INVALID_VALUE;
    if (used + bytes > most) return OUT_OF_MEMORY;
    *address = reinterpret_cast<size_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
    memory[*address] = bytes;
    used += bytes;
    return OK;
}
unsigned cuMemFree_v2(size_t address) {
    auto found = memory.find(address);
    if (current != &context || found == memory.end()) return INVALID_VALUE;
    used -= found->second;
    std::free(reinterpret_cast<void *>(address));
    memory.erase(found);
    return OK;
}
unsigned cuMemsetD8_v2(size_t address, unsigned char byte, size_t bytes) {
    CHECK(true);
    if (!holds(address, bytes)) return INVALID_VALUE;
    std::memset(reinterpret_cast<void *>(address), byte, bytes);
    return OK;
}
unsigned cuMemcpyHtoD_v2(size_t to, const void *from, size_t bytes) {
    CHECK(true);
    if (!holds(to, bytes)) return INVALID_VALUE;
    std::memcpy(reinterpret_cast<void *>(to), from, bytes);
    return OK;
}
unsigned cuMemcpyDtoH_v2(void *to, size_t from, size_t bytes) {
    CHECK(true);
    if (!holds(from, bytes)) return INVALID_VALUE;
    std::memcpy(to, reinterpret_cast<void *>(from), bytes);
    return OK;
}
unsigned cuModuleLoadData(void **module, const void *image) {
    CHECK(true);
    void *library = dlopen(static_cast<const char *>(image), RTLD_NOW | RTLD_LOCAL);
    if (!library) return INVALID_VALUE;
    *module = *kernels.insert(new Kernel{library, nullptr, 0}).first;
    return OK;
}
unsigned cuModuleGetFunction(void **function, void *module, const char *name) {
    CHECK(true);
    auto *kernel = static_cast<Kernel *>(module);
    kernel->train = dlsym(kernel->library, name);
    *function = kernel;
    return kernel->train ? OK : INVALID_VALUE;
}
unsigned cuModuleUnload(void *module) {
    auto *kernel = static_cast<Kernel *>(module);
    if (current != &context || !kernels.erase(kernel)) return INVALID_VALUE;
    dlclose(kernel->library);
    delete kernel;
    return OK;
}
unsigned cuFuncSetAttribute(void *function, unsigned which, int value) {
    CHECK(true);
    if (which != 8 || value > SHARED_BLOCK) return INVALID_VALUE;
    static_cast<Kernel *>(function)->shared = value;
    return OK;
}
unsigned cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *, int threads, size_t shared) {
    CHECK(true);
    *blocks = resident(threads, shared);
    return OK;
}
unsigned cuLaunchCooperativeKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz,
                                   unsigned shared, void *stream, void **arguments) {
    CHECK(true);
    auto *kernel = static_cast<Kernel *>(function);
    if (y != 1 || z != 1 || ty != 1 || tz != 1 || stream || threads > 1024 || static_cast<int>(shared) > kernel->shared) return INVALID_VALUE;
    if (x > static_cast<unsigned>(resident(threads, shared)) * MULTIPROCESSORS) return TOO_LARGE;
    std::vector<float> own(size_t(x) * shared / 4, NAN);
    using Train = void (*)(const void *, int, int, float *);
    reinterpret_cast<Train>(kernel->train)(arguments[0], x, 0, own.data());
    return OK;
}

int nvrtcGetNumSupportedArchs(int *count) {
    CHECK(false);
    *count = 2;
    return 0;
}
int nvrtcGetSupportedArchs(int *all) {
    CHECK(false);
    all[0] = 80, all[1] = 90;
    return 0;
}
int nvrtcCreateProgram(void **program, const char *text, const char *, int, const char *const *, const char *const *) {
    CHECK(false);
    *program = *programs.insert(new std::string(text)).first;
    return 0;
}
int nvrtcCompileProgram(void *program, int count, const char *const *options) {
    CHECK(false);
    bool found = false;
    for (int i = 0; i < count; ++i) found = found || !std::strcmp(options[i], "--gpu-architecture=sm_90");
    if (!found) return 5;
    static int number = 0;
    auto *text = static_cast<std::string *>(program);
    const std::string folder = std::getenv("CUDA_PATH"), stem = folder + "/kernel" + std::to_string(number++);
    std::ofstream(stem + ".cpp") << *text;
    const std::string compiler = std::getenv("IMITATION_COMPILER");
    const std::string options_text = " -std=c++17 -O1 -w -ffp-contract=off -fPIC -shared ";
    if (std::system((compiler + options_text + stem + ".cpp -o " + stem + ".so").c_str())) return 6;
    *text = stem + ".so";
    return 0;
}
int nvrtcGetCUBINSize(void *program, size_t *size) {
    CHECK(false);
    *size = static_cast<std::string *>(program)->size() + 1;
    return 0;
}
int nvrtcGetCUBIN(void *program, char *to) {
    CHECK(false);
    std::strcpy(to, static_cast<std::string *>(program)->c_str());
    return 0;
}
int nvrtcGetProgramLogSize(void *, size_t *size) {
    *size = 22;
    return 0;
}
int nvrtcGetProgramLog(void *, char *to) {
    std::strcpy(to, "train.cu(1): error: x");
    return 0;
}
int nvrtcDestroyProgram(void **program) {
    auto *text = static_cast<std::string *>(*program);
    if (programs.erase(text)) delete text;
    *program = nullptr;
    return 0;
}
}
