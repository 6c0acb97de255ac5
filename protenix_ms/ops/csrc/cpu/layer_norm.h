// SPDX-License-Identifier: Apache-2.0
// Layer normalisation over the last axis, or over the channels of channel-first blocks, for one
// instruction set. Mean and variance in two passes; one unit is `per_unit` vectors.
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

constexpr int64_t COLUMNS = 64;  // vectors of a channel-first block at a time

// Mean and inverse deviation of up to COLUMNS neighbouring columns.
static void column_moments(const float *x, int64_t step, int64_t c, int64_t n, float epsilon,
                           float *mean, float *inverse) {
  for (int64_t j = 0; j < n; j++) mean[j] = inverse[j] = 0.f;
  for (int64_t i = 0; i < c; i++)
    for (int64_t j = 0; j < n; j++) mean[j] += x[i * step + j];
  for (int64_t j = 0; j < n; j++) mean[j] /= c;
  for (int64_t i = 0; i < c; i++)
    for (int64_t j = 0; j < n; j++) {
      const float d = x[i * step + j] - mean[j];
      inverse[j] += d * d;
    }
  for (int64_t j = 0; j < n; j++) inverse[j] = 1.f / __builtin_sqrtf(inverse[j] / c + epsilon);
}

static void normalise_columns(const PmsLayerNorm &a, const float *x, int64_t n, float *y) {
  alignas(64) float mean[COLUMNS], inverse[COLUMNS];
  column_moments(x, a.count, a.channels, n, a.epsilon, mean, inverse);
  for (int64_t i = 0; i < a.channels; i++) {
    const float w = a.weight ? a.weight[i] : 1.f, b = a.bias ? a.bias[i] : 0.f;
    const float *from = x + i * a.count;
    float *to = y + i * a.count;
    for (int64_t j = 0; j < n; j++) to[j] = (from[j] - mean[j]) * inverse[j] * w + b;
  }
}

static void columns_gradient(const PmsLayerNorm &a, const float *x, const float *dy, int64_t n,
                             float *dx, float *dweight, float *dbias) {
  alignas(64) float mean[COLUMNS], inverse[COLUMNS], mean_g[COLUMNS] = {}, along[COLUMNS] = {};
  alignas(64) float term[COLUMNS];
  column_moments(x, a.count, a.channels, n, a.epsilon, mean, inverse);
  for (int64_t i = 0; i < a.channels; i++) {
    const float w = a.weight ? a.weight[i] : 1.f;
    const float *xi = x + i * a.count, *di = dy + i * a.count;
    float d_sum = 0.f, term_sum = 0.f;
    for (int64_t j = 0; j < n; j++) {
      term[j] = di[j] * (xi[j] - mean[j]) * inverse[j];
      mean_g[j] += di[j] * w;
      along[j] += term[j] * w;
    }
    for (int64_t j = 0; j < n; j++) {
      d_sum += di[j];
      term_sum += term[j];
    }
    dweight[i] += term_sum;
    dbias[i] += d_sum;
  }
  for (int64_t i = 0; i < a.channels; i++) {
    const float w = a.weight ? a.weight[i] : 1.f;
    const float *xi = x + i * a.count, *di = dy + i * a.count;
    float *to = dx + i * a.count;
    for (int64_t j = 0; j < n; j++) {
      const float unit = (xi[j] - mean[j]) * inverse[j];
      to[j] = (di[j] * w - (mean_g[j] + unit * along[j]) / a.channels) * inverse[j];
    }
  }
}

static int64_t units_of(const LayerNormJob &job) {
  return (job.args->count + job.per_unit - 1) / job.per_unit;
}

static void layer_norm_forward(const void *job_, int64_t unit, float *) {
  const LayerNormJob &job = *static_cast<const LayerNormJob *>(job_);
  const PmsLayerNorm &a = *job.args;
  const int64_t block = unit / units_of(job), first = unit % units_of(job) * job.per_unit;
  const int64_t last = first + job.per_unit < a.count ? first + job.per_unit : a.count;
  const int64_t base = block * a.count * a.channels;
  if (!a.channel_first) {
    for (int64_t i = first; i < last; i++)
      normalise(a, a.x + base + i * a.channels, a.y + base + i * a.channels);
    return;
  }
  for (int64_t j = first; j < last; j += COLUMNS)
    normalise_columns(a, a.x + base + j, last - j < COLUMNS ? last - j : COLUMNS, a.y + base + j);
}

static void layer_norm_backward(const void *job_, int64_t unit, float *) {
  const LayerNormJob &job = *static_cast<const LayerNormJob *>(job_);
  const PmsLayerNorm &a = *job.args;
  const int64_t block = unit / units_of(job), first = unit % units_of(job) * job.per_unit;
  const int64_t last = first + job.per_unit < a.count ? first + job.per_unit : a.count;
  const int64_t base = block * a.count * a.channels;
  float *dweight = job.partial + unit * 2 * a.channels, *dbias = dweight + a.channels;
  std::memset(dweight, 0, sizeof(float) * 2 * a.channels);
  if (!a.channel_first) {
    for (int64_t i = first; i < last; i++) {
      const int64_t at = base + i * a.channels;
      normalise_gradient(a, a.x + at, a.dy + at, a.dx + at, dweight, dbias);
    }
    return;
  }
  for (int64_t j = first; j < last; j += COLUMNS)
    columns_gradient(a, a.x + base + j, a.dy + base + j,
                     last - j < COLUMNS ? last - j : COLUMNS, a.dx + base + j, dweight, dbias);
}

}  // namespace PMS_ISA
}  // namespace pms
