// The arithmetic of single values in f32, the same on every GPU and the same as in ops/real.rs and ops/random.rs, operation
// for operation: samples agree with the CPU's to the bit only if every rounding is done alike.
//
// Who includes this says how a function is declared (DEVICE), what the upper half of the product of two 32-bit numbers is
// (MULTIPLY_HIGH(a, b)), and which f32 has given bits (FROM_BITS(u)). It must be compiled without fast maths and without
// fused multiply-add.

// Counters whose words serve one block of values: LANES of ops/random.rs.
#define LANES 32u

struct Words {
    unsigned int word[4];
};

// Ten rounds of Philox4x32 for the counter (c0, c1, c2, c3) under the key (k0, k1).
DEVICE Words philox(unsigned int c0, unsigned int c1, unsigned int c2, unsigned int c3, unsigned int k0, unsigned int k1) {
    for (int round = 0; round < 10; ++round) {
        unsigned int high0 = MULTIPLY_HIGH(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        unsigned int high1 = MULTIPLY_HIGH(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Words words;
    words.word[0] = c0;
    words.word[1] = c1;
    words.word[2] = c2;
    words.word[3] = c3;
    return words;
}

// A word as a number strictly between 0 and 1: the midpoint of one of 2^23 intervals.
DEVICE float unit_of(unsigned int word) {
    return ((float)(int)(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

// exp(x) for x clamped to [-87, 88]. Comparisons, and not a minimum and a maximum, let what is not a number through.
DEVICE float exp_of(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    float shifted = x * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = x - n * 0.6933594f - n * -2.1219444e-4f;
    float p = 1.9875691e-4f;
    p = p * r + 1.3981999e-3f;
    p = p * r + 8.333452e-3f;
    p = p * r + 4.1665796e-2f;
    p = p * r + 1.6666665e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    return p * FROM_BITS((unsigned int)((int)n + 127) << 23);
}

// 1 / (1 + exp(-x)).
DEVICE float sigmoid_of(float x) {
    return 1.0f / (1.0f + exp_of(-x));
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), the logarithm by the series of 2 artanh(y / (2 + y)).
DEVICE float softplus_of(float x) {
    float y = exp_of(x > 0.0f ? -x : x);
    float s = y / (2.0f + y);
    float t = s * s;
    float p = 1.0f / 15.0f;
    p = p * t + 1.0f / 13.0f;
    p = p * t + 1.0f / 11.0f;
    p = p * t + 1.0f / 9.0f;
    p = p * t + 1.0f / 7.0f;
    p = p * t + 1.0f / 5.0f;
    p = p * t + 1.0f / 3.0f;
    return (x > 0.0f ? x : 0.0f) + (2.0f * s + 2.0f * s * t * p);
}

// 1, 0 or -1.
DEVICE float sign_of(float x) {
    return (float)((int)(x > 0.0f) - (int)(x < 0.0f));
}
