// SPDX-License-Identifier: Apache-2.0
// Vectors of the compiler's own vector extension: one source for every instruction set.
//
// Only included by the units that define PMS_ISA; everything lives in their namespace, and nothing
// here comes from the C++ library, so that no function compiled for a wide instruction set can be
// merged with one that a lesser machine runs.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace pms {
namespace PMS_ISA {

#if defined(__AVX512F__)
constexpr int W = 16, TILE_ROWS = 12;
#elif defined(__AVX2__)
constexpr int W = 8, TILE_ROWS = 6;
#elif defined(__aarch64__)
constexpr int W = 4, TILE_ROWS = 12;
#else
constexpr int W = 4, TILE_ROWS = 6;
#endif

typedef float Vec __attribute__((vector_size(W * 4)));
typedef int32_t IntVec __attribute__((vector_size(W * 4)));
typedef Vec AnyVec __attribute__((aligned(4), may_alias));  // anywhere in memory

static inline Vec load(const float *p) { return *reinterpret_cast<const AnyVec *>(p); }
static inline void store(float *p, Vec x) { *reinterpret_cast<AnyVec *>(p) = x; }
static inline Vec all(float x) { return x - Vec{}; }
static inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// The first n of W numbers, zeros after them.
#if defined(__AVX512F__)
static inline __mmask16 first_lanes(int64_t n) { return (1u << (n < 0 ? 0 : n)) - 1; }
static inline Vec load_some(const float *p, int64_t n) {
  return n >= W ? load(p) : Vec(_mm512_maskz_loadu_ps(first_lanes(n), p));
}
static inline void store_some(float *p, Vec x, int64_t n) {
  if (n >= W) return store(p, x);
  _mm512_mask_storeu_ps(p, first_lanes(n), x);
}
#else
static inline Vec load_some(const float *p, int64_t n) {
  if (n >= W) return load(p);
  alignas(64) float part[W] = {};
  for (int64_t i = 0; i < n; i++) part[i] = p[i];
  return load(part);
}
static inline void store_some(float *p, Vec x, int64_t n) {
  if (n >= W) return store(p, x);
  alignas(64) float part[W];
  store(part, x);
  for (int64_t i = 0; i < n; i++) p[i] = part[i];
}
#endif

constexpr int64_t CACHED = int64_t(1) << 20;  // floats of an array that is read from caches

// As store_some, past the caches where the vector is a whole line of them: for arrays larger than
// they are. The locked instruction by which a thread takes its next unit makes such stores visible.
static inline void store_past(float *p, Vec x, int64_t n) {
#if defined(__AVX512F__)
  if (n >= W && reinterpret_cast<uintptr_t>(p) % 64 == 0) return _mm512_stream_ps(p, x);
#elif defined(__AVX2__)
  if (n >= W && reinterpret_cast<uintptr_t>(p) % 32 == 0) return _mm256_stream_ps(p, x);
#endif
  store_some(p, x, n);
}

// W x W numbers change rows and columns, by rounds of interleaving the halves.
#if defined(__clang__)
#define PMS_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PMS_PICK(a, b, ...) __builtin_shuffle(a, b, IntVec{__VA_ARGS__})
#endif
#if defined(__AVX512F__)
#define PMS_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define PMS_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX2__)
#define PMS_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define PMS_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define PMS_LOW 0, 4, 1, 5
#define PMS_HIGH 2, 6, 3, 7
#endif
static inline void transpose(Vec (&x)[W]) {
#pragma GCC unroll 4
  for (int round = 1; round < W; round *= 2) {
    Vec y[W];
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; i++) {
      y[2 * i] = PMS_PICK(x[i], x[i + W / 2], PMS_LOW);
      y[2 * i + 1] = PMS_PICK(x[i], x[i + W / 2], PMS_HIGH);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) x[i] = y[i];
  }
}

static inline Vec root(Vec x) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(x);
#else
  alignas(64) float lane[W];
  store(lane, x);
  for (int i = 0; i < W; i++) lane[i] = __builtin_sqrtf(lane[i]);
  return load(lane);
#endif
}

#if defined(__AVX512F__)
static inline float sum_of(Vec x) { return _mm512_reduce_add_ps(x); }
static inline float largest_of(Vec x) { return _mm512_reduce_max_ps(x); }
#else
static inline float sum_of(Vec x) {
  float lane[W];
  store(lane, x);
  for (int n = W / 2; n; n /= 2)
    for (int i = 0; i < n; i++) lane[i] += lane[i + n];
  return lane[0];
}
static inline float largest_of(Vec x) {
  float lane[W];
  store(lane, x);
  for (int n = W / 2; n; n /= 2)
    for (int i = 0; i < n; i++) lane[i] = lane[i] > lane[i + n] ? lane[i] : lane[i + n];
  return lane[0];
}
#endif

// e^x for x <= 88, relative error 2e-7; exactly 0 below -87; NaN stays NaN.
#if defined(__AVX512F__)
static inline Vec exponential(Vec x) {
  const Vec n = _mm512_roundscale_ps(x * 1.44269504088896341f, 0);  // nearest integer
  Vec f = x * 1.44269502162933350f - n;                             // log2 e in two parts
  f = f + x * 1.92596299112661746e-8f;
  Vec p = all(1.5353362e-4f);  // 2^f to 1e-8 where |f| <= 1/2
  p = p * f + 1.3398874e-3f;
  p = p * f + 9.6184374e-3f;
  p = p * f + 5.5503324e-2f;
  p = p * f + 2.4022648e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.f;
  const __mmask16 counts = _mm512_cmp_ps_mask(x, all(-87.f), _CMP_NLT_UQ);
  return _mm512_maskz_scalef_ps(counts, p, n);
}
// 1 / x for 1 <= x <= 2^126, relative error 1e-7.
static inline Vec reciprocal(Vec x) {
  const Vec y = _mm512_rcp14_ps(x);
  return y + y * (1.f - x * y);
}
#else
#if defined(__AVX2__)
// The larger and the smaller; the second if it is NaN. One instruction each, unlike a choice.
static inline Vec at_least(Vec low, Vec x) { return _mm256_max_ps(low, x); }
static inline Vec at_most(Vec high, Vec x) { return _mm256_min_ps(high, x); }
#else
static inline Vec at_least(Vec low, Vec x) { return x < low ? low : x; }
static inline Vec at_most(Vec high, Vec x) { return x > high ? high : x; }
#endif

// The two factors of e^x, e^f and 2^n with x = f + n ln 2; those of -e^-x for a SIGN of -1, where f
// is negative too and the even coefficients change their sign. Added to ROUND, n + 127 stands in the
// lowest bits of the sum: shifted to the exponent's place they are 2^n.
struct Power {
  Vec fraction, two_to_n;
};
template <int SIGN>
static inline Power power(Vec x) {
  constexpr float ROUND = 12582912.f + 127.f;
  const Vec shifted = x * (SIGN * 1.44269504088896341f) + ROUND, n = shifted - ROUND;
  Vec f = x - n * (SIGN * 0.693145751953125f);  // ln 2 in two parts
  f = f - n * (SIGN * 1.428606765330187e-6f);
  Vec p = all(1.9875691500e-4f);
  p = p * f + SIGN * 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + SIGN * 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + SIGN * 5.0000001201e-1f;
  p = p * f + 1.f;
  p = p * f + SIGN * 1.f;
  IntVec bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits <<= 23;
  Power result = {p, {}};
  std::memcpy(&result.two_to_n, &bits, sizeof(bits));
  return result;
}

static inline Vec exponential(Vec x) {
  const Vec low = all(-87.f);
  const Power e = power<1>(at_least(low, x));
  return x < low ? Vec{} : e.fraction * e.two_to_n;
}

static inline Vec reciprocal(Vec x) { return 1.f / x; }
#endif

#if defined(__AVX512F__)
static inline Vec sigmoid(Vec x) {
  const Vec limit = all(87.f), y = -x;
  return reciprocal(1.f + exponential(y > limit ? limit : y));
}
#else
static inline Vec sigmoid(Vec x) {
  const Power e = power<-1>(at_least(all(-87.f), at_most(all(87.f), x)));
  return 1.f / (1.f - e.fraction * e.two_to_n);
}
#endif

// x/2 (1 + erf(x / sqrt 2)). For z = |x| / sqrt 2 and t = 1 / (1 + z/2), erfc(z) is e^(-z^2) times a
// polynomial of t, fitted to 5e-8; so both tails keep their digits.
static inline Vec gelu(Vec x) {
  const Vec size = larger(x, -x), t = 1.f / (1.f + size * 0.353553390593f);
  Vec p = all(-0.059941493f);
  p = p * t + 0.288647532f;
  p = p * t - 0.49521479f;
  p = p * t + 0.286715657f;
  p = p * t - 0.032194782f;
  p = p * t + 0.204866782f;
  p = p * t + 0.242599949f;
  p = p * t + 0.282437861f;
  p = p * t + 0.282083243f;
  const Vec tail = x * (0.5f * exponential(-0.5f * x * x) * (p * t));
  return x > Vec{} ? x - tail : tail;
}

// The sums of a product fill 16 registers. Inlined beside a gate, whose constants the compiler then
// keeps in registers through the loop, two of them went to the stack: half the speed.
#if defined(__AVX512F__) || defined(__aarch64__)
#define PMS_ALONE static inline
constexpr bool FETCHES_WEIGHTS = false;
#else
#define PMS_ALONE __attribute__((noinline)) static
constexpr bool FETCHES_WEIGHTS = true;  // 384 floats ahead: wide layers read theirs from L3
#endif

// c[R][NV*W] = sum over `blocks` x `depth` of a * b, with ADD on top of `start` [R][NV*W]. a's
// element (row, k) of block p is at a[p * a_block + row * AR + k * AK]; b advances by b_step for
// every k.
template <int R, int NV, int64_t AR, int64_t AK, bool ADD>
PMS_ALONE void multiply_onto(const float *start, int64_t start_step, const float *a,
                             int64_t a_block, int64_t blocks, int64_t depth, const float *b,
                             int64_t b_step, float *c, int64_t c_step) {
  Vec sum[R][NV];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int n = 0; n < NV; n++) sum[r][n] = Vec{};
  for (int64_t p = 0; p < blocks; p++, a += a_block) {
    for (int64_t k = 0; k < depth; k++, b += b_step) {
      if (FETCHES_WEIGHTS && AR == 1 && AK == TILE_ROWS) __builtin_prefetch(a + k * AK + 384);
      Vec column[NV];
#pragma GCC unroll 4
      for (int n = 0; n < NV; n++) column[n] = load(b + n * W);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        const float x = a[r * AR + k * AK];
#pragma GCC unroll 4
        for (int n = 0; n < NV; n++) sum[r][n] += x * column[n];
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int n = 0; n < NV; n++)
      store(c + r * c_step + n * W,
            ADD ? sum[r][n] + load(start + r * start_step + n * W) : sum[r][n]);
}

// c (+)= the sum.
template <int R, int NV, int64_t AR, int64_t AK, bool ADD>
static inline void multiply(const float *a, int64_t a_block, int64_t blocks, int64_t depth,
                            const float *b, int64_t b_step, float *c, int64_t c_step) {
  multiply_onto<R, NV, AR, AK, ADD>(c, c_step, a, a_block, blocks, depth, b, b_step, c, c_step);
}

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace PMS_ISA
}  // namespace pms
