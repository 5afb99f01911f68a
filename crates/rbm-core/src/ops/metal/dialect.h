// How Metal says what ops/arithmetic.h asks for.
#include <metal_stdlib>
using namespace metal;
#pragma METAL fp contract(off)
#define DEVICE inline
#define MULTIPLY_HIGH(a, b) mulhi(a, b)
#define FROM_BITS(bits) as_type<float>(bits)
