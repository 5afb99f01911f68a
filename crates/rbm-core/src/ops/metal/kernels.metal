// The kernels of Metal, in f32, compiled behind ops/arithmetic.h. Normal numbers are not here: they need double
// precision, which Metal has not.
//
// None of them has been run on a Mac. Compiled as C++ they give the CPU's bits (tests/kernels.rs).

// The words of counter `thread` of the draw (seed, stream).
inline Words words_of(uint thread_number, uint2 seed, uint2 stream) {
    return philox(thread_number, 0u, stream.x, stream.y, seed.x, seed.y);
}

// The first of the four values that counter `thread` serves; the others follow LANES apart.
inline uint first_value(uint thread_number) {
    return thread_number / LANES * (4u * LANES) + thread_number % LANES;
}

// out[i] = function(x[i]) for n numbers.
#define MAP(NAME, FUNCTION)                                                                                                  \
    kernel void NAME(constant uint& n [[buffer(0)]], device const float* x [[buffer(1)]], device float* out [[buffer(2)]],   \
                     uint i [[thread_position_in_grid]]) {                                                                   \
        if (i < n) out[i] = FUNCTION(x[i]);                                                                                  \
    }

MAP(sigmoid_f32, sigmoid_of)
MAP(softplus_f32, softplus_of)

// out = sigmoid(inputs + bias), inputs (n / width, width), bias (width).
kernel void mean_f32(constant uint& n [[buffer(0)]], constant uint& width [[buffer(1)]],
                     device const float* inputs [[buffer(2)]], device const float* bias [[buffer(3)]],
                     device float* out [[buffer(4)]], uint i [[thread_position_in_grid]]) {
    if (i < n) out[i] = sigmoid_of(inputs[i] + bias[i % width]);
}

// samples = 1 where the word of a value is below its mean, else 0; a thread for every counter.
kernel void sample_f32(constant uint& n [[buffer(0)]], constant uint& width [[buffer(1)]],
                       device const float* inputs [[buffer(2)]], device const float* bias [[buffer(3)]],
                       device float* samples [[buffer(4)]], constant uint2& seed [[buffer(5)]],
                       constant uint2& stream [[buffer(6)]], uint i [[thread_position_in_grid]]) {
    Words words = words_of(i, seed, stream);
    uint at = first_value(i);
    for (uint j = 0; j < 4u && at < n; ++j, at += LANES) {
        float mean = sigmoid_of(inputs[at] + bias[at % width]);
        samples[at] = unit_of(words.word[j]) < mean ? 1.0f : 0.0f;
    }
}

// out (2, n): means above samples.
kernel void mean_and_sample_f32(constant uint& n [[buffer(0)]], constant uint& width [[buffer(1)]],
                                device const float* inputs [[buffer(2)]], device const float* bias [[buffer(3)]],
                                device float* out [[buffer(4)]], constant uint2& seed [[buffer(5)]],
                                constant uint2& stream [[buffer(6)]], uint i [[thread_position_in_grid]]) {
    Words words = words_of(i, seed, stream);
    uint at = first_value(i);
    for (uint j = 0; j < 4u && at < n; ++j, at += LANES) {
        float mean = sigmoid_of(inputs[at] + bias[at % width]);
        out[at] = mean;
        out[n + at] = unit_of(words.word[j]) < mean ? 1.0f : 0.0f;
    }
}

// out = grad * (mean - mean^2): what comes back through a sigmoid.
kernel void slope_f32(constant uint& n [[buffer(0)]], device const float* mean [[buffer(1)]],
                      device const float* grad [[buffer(2)]], device float* out [[buffer(3)]],
                      uint i [[thread_position_in_grid]]) {
    if (i < n) out[i] = (mean[i] - mean[i] * mean[i]) * grad[i];
}

// out = x * scale where the word of a value is below `keep`, else x * 0; a thread for every counter.
kernel void dropout_f32(constant uint& n [[buffer(0)]], device const float* x [[buffer(1)]], device float* out [[buffer(2)]],
                        constant float& keep [[buffer(3)]], constant float& scale [[buffer(4)]],
                        constant uint2& seed [[buffer(5)]], constant uint2& stream [[buffer(6)]],
                        uint i [[thread_position_in_grid]]) {
    Words words = words_of(i, seed, stream);
    uint at = first_value(i);
    for (uint j = 0; j < 4u && at < n; ++j, at += LANES) out[at] = x[at] * (unit_of(words.word[j]) < keep ? scale : 0.0f);
}

// n numbers uniform on (0, 1); a thread for every counter.
kernel void uniform_f32(constant uint& n [[buffer(0)]], device float* out [[buffer(1)]], constant uint2& seed [[buffer(2)]],
                        constant uint2& stream [[buffer(3)]], uint i [[thread_position_in_grid]]) {
    Words words = words_of(i, seed, stream);
    uint at = first_value(i);
    for (uint j = 0; j < 4u && at < n; ++j, at += LANES) out[at] = unit_of(words.word[j]);
}

// target = keep * target + scale * term(source).
#define COMBINE(NAME, TERM)                                                                                                  \
    kernel void NAME(constant uint& n [[buffer(0)]], device float* target [[buffer(1)]],                                     \
                     device const float* source [[buffer(2)]], constant float& keep [[buffer(3)]],                           \
                     constant float& scale [[buffer(4)]], uint i [[thread_position_in_grid]]) {                              \
        if (i < n) target[i] = keep * target[i] + scale * TERM(source[i]);                                                   \
    }
#define ITSELF(x) (x)
#define SQUARE(x) ((x) * (x))

COMBINE(combine_f32, ITSELF)
COMBINE(combine_sign_f32, sign_of)
COMBINE(combine_square_f32, SQUARE)

// velocity = keep * velocity + rate * gradient + l2 * w + l1 * sign(w), then w = w + velocity; l1 and l2 are the penalties
// times -rate.
kernel void momentum_step_f32(constant uint& n [[buffer(0)]], device float* parameter [[buffer(1)]],
                              device float* velocity [[buffer(2)]], device const float* gradient [[buffer(3)]],
                              constant float& keep [[buffer(4)]], constant float& rate [[buffer(5)]],
                              constant float& l1 [[buffer(6)]], constant float& l2 [[buffer(7)]],
                              uint i [[thread_position_in_grid]]) {
    if (i >= n) return;
    float w = parameter[i];
    float delta = keep * velocity[i] + rate * gradient[i] + l2 * w;
    if (l1 != 0.0f) delta += l1 * sign_of(w);
    velocity[i] = delta;
    parameter[i] = w + delta;
}

// parameter = parameter + rate * first / (root(scale * second) + epsilon).
kernel void adam_step_f32(constant uint& n [[buffer(0)]], device float* parameter [[buffer(1)]],
                          device const float* first [[buffer(2)]], device const float* second [[buffer(3)]],
                          constant float& rate [[buffer(4)]], constant float& scale [[buffer(5)]],
                          constant float& epsilon [[buffer(6)]], uint i [[thread_position_in_grid]]) {
    if (i < n) parameter[i] = parameter[i] + rate * first[i] / (sqrt(scale * second[i]) + epsilon);
}
