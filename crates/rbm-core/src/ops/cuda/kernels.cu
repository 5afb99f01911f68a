// The kernels of CUDA, compiled by NVRTC behind ops/arithmetic.h. Each exists for f32 and for f64; f32 gives the CPU's
// bits where the inputs agree, f64 gives the CPU's samples and updates, and means to the last rounding.

typedef unsigned long long Count;

__device__ __forceinline__ Count thread_number() {
    return (Count)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ double sigmoid_of(double x) {
    return 1.0 / (1.0 + exp(-x));
}

__device__ __forceinline__ double softplus_of(double x) {
    return (x > 0.0 ? x : 0.0) + log1p(exp(x > 0.0 ? -x : x));
}

__device__ __forceinline__ double sign_of(double x) {
    return (double)((int)(x > 0.0) - (int)(x < 0.0));
}

__device__ __forceinline__ float root_of(float x) {
    return sqrtf(x);
}

__device__ __forceinline__ double root_of(double x) {
    return sqrt(x);
}

// The words of counter `thread` of the draw (seed, stream).
__device__ __forceinline__ Words words_of(Count thread, Count seed, Count stream) {
    return philox((unsigned int)thread, (unsigned int)(thread >> 32), (unsigned int)stream, (unsigned int)(stream >> 32),
                  (unsigned int)seed, (unsigned int)(seed >> 32));
}

// The first of the four values that counter `thread` serves; the others follow LANES apart.
__device__ __forceinline__ Count first_value(Count thread) {
    return thread / LANES * (4u * LANES) + thread % LANES;
}

// log(x) for a positive, normal x: the operations of the crate `libm`, whose bits are wanted (FreeBSD's msun, e_logf.c,
// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this
// software is freely granted, provided that this notice is preserved).
__device__ __forceinline__ float log_of(float x) {
    unsigned int bits = __float_as_uint(x) + (0x3f800000u - 0x3f3504f3u);
    float k = (float)((int)(bits >> 23) - 127);
    // The mantissa between the roots of 1/2 and of 2, less one.
    float f = __uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    float s = f / (2.0f + f);
    float z = s * s;
    float w = z * z;
    float series = z * (0.66666662693f + w * 0.28498786688f) + w * (0.40000972152f + w * 0.24279078841f);
    float half = 0.5f * f * f;
    return s * (half + series) + k * 9.0580006145e-06f - half + f + k * 6.9313812256e-01f;
}

struct Pair {
    float cosine, sine;
};

// cos(x) and sin(x) for x between 0 and 2 pi: the multiple of pi/2 nearest to x is taken off, and the rest goes through the
// polynomials of the crate `libm` (msun's k_sinf.c and k_cosf.c, under the notice above) in double precision.
__device__ __forceinline__ Pair cosine_and_sine(float x) {
    int quarter = (int)((double)x * 0.63661977236758134308 + 0.5);
    double y = (double)x - (double)quarter * 1.57079632679489661923;
    double z = y * y;
    double w = z * z;
    double s = z * y;
    float sine = (float)((y + s * (-0.166666666416265235595 + z * 0.0083333293858894631756)) +
                         s * w * (-0.000198393348360966317347 + z * 0.0000027183114939898219064));
    float cosine = (float)(((1.0 + z * -0.499999997251031003120) + w * 0.0416666233237390631894) +
                           (w * z) * (-0.00138867637746099294692 + z * 0.0000243904487962774090654));
    Pair pair;
    switch (quarter & 3) {
    case 0:
        pair.cosine = cosine, pair.sine = sine;
        break;
    case 1:
        pair.cosine = -sine, pair.sine = cosine;
        break;
    case 2:
        pair.cosine = -cosine, pair.sine = -sine;
        break;
    default:
        pair.cosine = sine, pair.sine = -cosine;
    }
    return pair;
}

// Two independent normal numbers from two words (Box and Muller 1958).
__device__ __forceinline__ Pair normal_pair(unsigned int radius, unsigned int angle) {
    const float interval = 1.0f / 4294967296.0f;
    float square = -2.0f * log_of(((float)radius + 0.5f) * interval);
    float r = sqrtf(square > 0.0f ? square : 0.0f);
    Pair pair = cosine_and_sine((float)angle * interval * 6.28318530717958647692f);
    pair.cosine = r * pair.cosine;
    pair.sine = r * pair.sine;
    return pair;
}

// out[i] = function(x[i]) for n numbers.
#define MAP(NAME, FUNCTION, T)                                                                                               \
    extern "C" __global__ void NAME(Count n, const T* __restrict__ x, T* __restrict__ out) {                                 \
        Count i = thread_number();                                                                                           \
        if (i < n) out[i] = FUNCTION(x[i]);                                                                                  \
    }

MAP(sigmoid_f32, sigmoid_of, float)
MAP(sigmoid_f64, sigmoid_of, double)
MAP(softplus_f32, softplus_of, float)
MAP(softplus_f64, softplus_of, double)

// out = sigmoid(inputs + bias), inputs (n / width, width), bias (width).
#define MEAN(NAME, T)                                                                                                        \
    extern "C" __global__ void NAME(Count n, unsigned int width, const T* __restrict__ inputs, const T* __restrict__ bias,   \
                                    T* __restrict__ out) {                                                                   \
        Count i = thread_number();                                                                                           \
        if (i < n) out[i] = sigmoid_of(inputs[i] + bias[i % width]);                                                         \
    }

MEAN(mean_f32, float)
MEAN(mean_f64, double)

// out = inputs + bias, likewise.
#define ADD_BIAS(NAME, T)                                                                                                    \
    extern "C" __global__ void NAME(Count n, unsigned int width, const T* __restrict__ inputs, const T* __restrict__ bias,   \
                                    T* __restrict__ out) {                                                                   \
        Count i = thread_number();                                                                                           \
        if (i < n) out[i] = inputs[i] + bias[i % width];                                                                     \
    }

ADD_BIAS(add_bias_f32, float)
ADD_BIAS(add_bias_f64, double)

// samples = 1 where the word of a value is below its mean, else 0; a thread for every counter.
template <typename T>
__device__ __forceinline__ void sample(Count n, unsigned int width, const T* inputs, const T* bias, T* means, T* samples,
                                       Count seed, Count stream) {
    Count thread = thread_number();
    Count i = first_value(thread);
    if (i >= n) return;
    Words words = words_of(thread, seed, stream);
    unsigned int column = (unsigned int)(i % width);
    for (int j = 0; j < 4 && i < n; ++j, i += LANES) {
        T mean = sigmoid_of(inputs[i] + bias[column]);
        samples[i] = (T)unit_of(words.word[j]) < mean ? (T)1 : (T)0;
        if (means) means[i] = mean;
        column = (column + LANES) % width;
    }
}

#define SAMPLE(NAME, T)                                                                                                      \
    extern "C" __global__ void NAME(Count n, unsigned int width, const T* __restrict__ inputs, const T* __restrict__ bias,   \
                                    T* __restrict__ samples, Count seed, Count stream) {                                     \
        sample<T>(n, width, inputs, bias, (T*)0, samples, seed, stream);                                                     \
    }

SAMPLE(sample_f32, float)
SAMPLE(sample_f64, double)

// out (2, n): means above samples.
#define MEAN_AND_SAMPLE(NAME, T)                                                                                             \
    extern "C" __global__ void NAME(Count n, unsigned int width, const T* __restrict__ inputs, const T* __restrict__ bias,   \
                                    T* __restrict__ out, Count seed, Count stream) {                                         \
        sample<T>(n, width, inputs, bias, out, out + n, seed, stream);                                                       \
    }

MEAN_AND_SAMPLE(mean_and_sample_f32, float)
MEAN_AND_SAMPLE(mean_and_sample_f64, double)

// out = grad * (mean - mean^2): what comes back through a sigmoid.
#define SLOPE(NAME, T)                                                                                                       \
    extern "C" __global__ void NAME(Count n, const T* __restrict__ mean, const T* __restrict__ grad, T* __restrict__ out) {  \
        Count i = thread_number();                                                                                           \
        if (i < n) out[i] = (mean[i] - mean[i] * mean[i]) * grad[i];                                                         \
    }

SLOPE(slope_f32, float)
SLOPE(slope_f64, double)

// out = x * scale where the word of a value is below `keep`, else x * 0; a thread for every counter.
#define DROPOUT(NAME, T)                                                                                                     \
    extern "C" __global__ void NAME(Count n, const T* __restrict__ x, T* __restrict__ out, float keep, T scale, Count seed,  \
                                    Count stream) {                                                                          \
        Count thread = thread_number();                                                                                      \
        Count i = first_value(thread);                                                                                       \
        if (i >= n) return;                                                                                                  \
        Words words = words_of(thread, seed, stream);                                                                        \
        for (int j = 0; j < 4 && i < n; ++j, i += LANES)                                                                     \
            out[i] = x[i] * (unit_of(words.word[j]) < keep ? scale : (T)0);                                                  \
    }

DROPOUT(dropout_f32, float)
DROPOUT(dropout_f64, double)

// n numbers uniform on (0, 1); a thread for every counter.
#define UNIFORM(NAME, T)                                                                                                     \
    extern "C" __global__ void NAME(Count n, T* __restrict__ out, Count seed, Count stream) {                                \
        Count thread = thread_number();                                                                                      \
        Count i = first_value(thread);                                                                                       \
        if (i >= n) return;                                                                                                  \
        Words words = words_of(thread, seed, stream);                                                                        \
        for (int j = 0; j < 4 && i < n; ++j, i += LANES) out[i] = (T)unit_of(words.word[j]);                                 \
    }

UNIFORM(uniform_f32, float)
UNIFORM(uniform_f64, double)

// n numbers from N(0, 1); a thread for every counter, whose words are two pairs of radius and angle.
template <typename T>
__device__ __forceinline__ void normal(Count n, T* out, Count seed, Count stream) {
    Count thread = thread_number();
    Count i = first_value(thread);
    if (i >= n) return;
    Words words = words_of(thread, seed, stream);
    for (int half = 0; half < 2; ++half, i += 2 * LANES) {
        Pair pair = normal_pair(words.word[2 * half], words.word[2 * half + 1]);
        if (i < n) out[i] = (T)pair.cosine;
        if (i + LANES < n) out[i + LANES] = (T)pair.sine;
    }
}

#define NORMAL(NAME, T)                                                                                                      \
    extern "C" __global__ void NAME(Count n, T* __restrict__ out, Count seed, Count stream) {                                \
        normal<T>(n, out, seed, stream);                                                                                     \
    }

NORMAL(normal_f32, float)
NORMAL(normal_f64, double)

// target = keep * target + scale * term(source).
#define COMBINE(NAME, TERM, T)                                                                                               \
    extern "C" __global__ void NAME(Count n, T* __restrict__ target, const T* __restrict__ source, T keep, T scale) {        \
        Count i = thread_number();                                                                                           \
        if (i < n) target[i] = keep * target[i] + scale * TERM(source[i]);                                                   \
    }
#define ITSELF(x) (x)
#define SQUARE(x) ((x) * (x))

COMBINE(combine_f32, ITSELF, float)
COMBINE(combine_f64, ITSELF, double)
COMBINE(combine_sign_f32, sign_of, float)
COMBINE(combine_sign_f64, sign_of, double)
COMBINE(combine_square_f32, SQUARE, float)
COMBINE(combine_square_f64, SQUARE, double)

// velocity = keep * velocity + rate * gradient + l2 * w + l1 * sign(w), then w = w + velocity; l1 and l2 are the penalties
// times -rate.
#define MOMENTUM_STEP(NAME, T)                                                                                               \
    extern "C" __global__ void NAME(Count n, T* __restrict__ parameter, T* __restrict__ velocity,                            \
                                    const T* __restrict__ gradient, T keep, T rate, T l1, T l2) {                            \
        Count i = thread_number();                                                                                           \
        if (i >= n) return;                                                                                                  \
        T w = parameter[i];                                                                                                  \
        T delta = keep * velocity[i] + rate * gradient[i] + l2 * w;                                                          \
        if (l1 != (T)0) delta += l1 * sign_of(w);                                                                            \
        velocity[i] = delta;                                                                                                 \
        parameter[i] = w + delta;                                                                                            \
    }

MOMENTUM_STEP(momentum_step_f32, float)
MOMENTUM_STEP(momentum_step_f64, double)

// The same along what has been added to the velocity already.
#define VELOCITY_STEP(NAME, T)                                                                                               \
    extern "C" __global__ void NAME(Count n, T* __restrict__ parameter, T* __restrict__ velocity, T keep, T l1, T l2) {      \
        Count i = thread_number();                                                                                           \
        if (i >= n) return;                                                                                                  \
        T w = parameter[i];                                                                                                  \
        T delta = keep * velocity[i] + l2 * w;                                                                               \
        if (l1 != (T)0) delta += l1 * sign_of(w);                                                                            \
        velocity[i] = delta;                                                                                                 \
        parameter[i] = w + delta;                                                                                            \
    }

VELOCITY_STEP(velocity_step_f32, float)
VELOCITY_STEP(velocity_step_f64, double)

// parameter = parameter + rate * first / (root(scale * second) + epsilon).
#define ADAM_STEP(NAME, T)                                                                                                   \
    extern "C" __global__ void NAME(Count n, T* __restrict__ parameter, const T* __restrict__ first,                         \
                                    const T* __restrict__ second, T rate, T scale, T epsilon) {                              \
        Count i = thread_number();                                                                                           \
        if (i < n) parameter[i] = parameter[i] + rate * first[i] / (root_of(scale * second[i]) + epsilon);                   \
    }

ADAM_STEP(adam_step_f32, float)
ADAM_STEP(adam_step_f64, double)
