// SPDX-License-Identifier: Apache-2.0
// Layer normalisation for one instruction set. Mean and variance in two passes; one unit is
// `per_unit` vectors, a multiple of COLUMNS.
#pragma once
#include <math.h>

#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

struct Moments {
  float mean, inverse;  // 1 / standard deviation
};

static inline int64_t whole(int64_t channels) { return channels / W * W; }

static Moments moments_of(const float *x, int64_t c, float epsilon) {
  Vec sum = Vec{};
  for (int64_t i = 0; i < whole(c); i += W) sum += load(x + i);
  float mean = sum_of(sum);
  for (int64_t i = whole(c); i < c; i++) mean += x[i];
  mean /= c;
  Vec square = Vec{};
  for (int64_t i = 0; i < whole(c); i += W) {
    const Vec d = load(x + i) - mean;
    square += d * d;
  }
  float variance = sum_of(square);
  for (int64_t i = whole(c); i < c; i++) variance += (x[i] - mean) * (x[i] - mean);
  return {mean, 1.f / __builtin_sqrtf(variance / c + epsilon)};
}

static void normalise(const PmsLayerNorm &a, const float *x, float *y) {
  const int64_t c = a.channels;
  const Moments m = moments_of(x, c, a.epsilon);
  for (int64_t i = 0; i < c; i += W) {
    const int64_t n = c - i;
    Vec t = (load_some(x + i, n) - m.mean) * m.inverse;
    if (a.weight) t = t * load_some(a.weight + i, n);
    if (a.bias) t = t + load_some(a.bias + i, n);
    store_some(y + i, t, n);
  }
}

// dx of one vector; adds to dweight and dbias.
static void normalise_gradient(const PmsLayerNorm &a, const float *x, const float *dy, float *dx,
                               float *dweight, float *dbias) {
  const int64_t c = a.channels;
  const Moments m = moments_of(x, c, a.epsilon);
  Vec total = Vec{}, along = Vec{};
  for (int64_t i = 0; i < c; i += W) {
    const int64_t n = c - i;
    const Vec d = load_some(dy + i, n);
    const Vec unit = (load_some(x + i, n) - m.mean) * m.inverse;  // d is 0 beyond the last channel
    const Vec g = a.weight ? d * load_some(a.weight + i, n) : d;
    total += g;
    along += g * unit;
    store_some(dweight + i, load_some(dweight + i, n) + d * unit, n);
    store_some(dbias + i, load_some(dbias + i, n) + d, n);
  }
  const float mean_g = sum_of(total) / c, mean_along = sum_of(along) / c;
  for (int64_t i = 0; i < c; i += W) {
    const int64_t n = c - i;
    const Vec unit = (load_some(x + i, n) - m.mean) * m.inverse, d = load_some(dy + i, n);
    const Vec g = a.weight ? d * load_some(a.weight + i, n) : d;
    store_some(dx + i, (g - mean_g - unit * mean_along) * m.inverse, n);
  }
}

constexpr int64_t COLUMNS = 64;  // vectors of a channel-first array at a time

// [channels][n] with step `from_step` <-> [n][channels].
static void gather_columns(const float *from, int64_t from_step, int64_t c, int64_t n, float *to) {
  for (int64_t i = 0; i < c; i++)
    for (int64_t j = 0; j < n; j++) to[j * c + i] = from[i * from_step + j];
}
static void scatter_columns(const float *from, int64_t c, int64_t n, float *to, int64_t to_step) {
  for (int64_t i = 0; i < c; i++)
    for (int64_t j = 0; j < n; j++) to[i * to_step + j] = from[j * c + i];
}

static int64_t layer_norm_scratch(const PmsLayerNorm *a, bool backward) {
  if (!a->channel_first) return 0;
  return (backward ? 2 : 1) * COLUMNS * a->channels;
}

static void layer_norm_forward(const void *job_, int64_t unit, float *scratch) {
  const LayerNormJob &job = *static_cast<const LayerNormJob *>(job_);
  const PmsLayerNorm &a = *job.args;
  const int64_t c = a.channels, end = (unit + 1) * job.per_unit;
  for (int64_t i = unit * job.per_unit; i < a.count && i < end; i += COLUMNS) {
    const int64_t n = a.count - i < COLUMNS ? a.count - i : COLUMNS;
    const float *x = a.x + i * c;
    if (a.channel_first) {
      gather_columns(a.x + i, a.count, c, n, scratch);
      x = scratch;
    }
    for (int64_t j = 0; j < n; j++) normalise(a, x + j * c, a.y + (i + j) * c);
  }
}

static void layer_norm_backward(const void *job_, int64_t unit, float *scratch) {
  const LayerNormJob &job = *static_cast<const LayerNormJob *>(job_);
  const PmsLayerNorm &a = *job.args;
  const int64_t c = a.channels, end = (unit + 1) * job.per_unit;
  float *dweight = job.partial + unit * 2 * c, *dbias = dweight + c;
  std::memset(dweight, 0, sizeof(float) * 2 * c);
  for (int64_t i = unit * job.per_unit; i < a.count && i < end; i += COLUMNS) {
    const int64_t n = a.count - i < COLUMNS ? a.count - i : COLUMNS;
    const float *x = a.x + i * c;
    float *dx = a.dx + i * c;
    if (a.channel_first) {
      gather_columns(a.x + i, a.count, c, n, scratch);
      x = scratch;
      dx = scratch + COLUMNS * c;
    }
    for (int64_t j = 0; j < n; j++)
      normalise_gradient(a, x + j * c, a.dy + (i + j) * c, dx + j * c, dweight, dbias);
    if (a.channel_first) scatter_columns(dx, c, n, a.dx + i, a.count);
  }
}

}  // namespace PMS_ISA
}  // namespace pms
