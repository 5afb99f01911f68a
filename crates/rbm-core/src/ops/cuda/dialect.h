// How CUDA says what ops/arithmetic.h asks for.
#define DEVICE __device__ __forceinline__
#define MULTIPLY_HIGH(a, b) __umulhi(a, b)
#define FROM_BITS(bits) __uint_as_float(bits)
