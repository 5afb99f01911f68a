// What CUDA has and C++ has not, so that kernels.cu compiles as C++: one thread at a time, placed by `place_thread`.
#include <cmath>
#include <cstring>

#define __device__ static inline
#define __forceinline__
#define __global__
#define __restrict__

struct Place {
    unsigned int x;
};
static thread_local Place blockIdx, threadIdx, blockDim;

extern "C" void place_thread(unsigned int block, unsigned int thread, unsigned int threads) {
    blockIdx.x = block;
    threadIdx.x = thread;
    blockDim.x = threads;
}

static inline unsigned int __umulhi(unsigned int a, unsigned int b) {
    return (unsigned int)((unsigned long long)a * b >> 32);
}

static inline float __uint_as_float(unsigned int bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

static inline unsigned int __float_as_uint(float x) {
    unsigned int bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
