// SPDX-License-Identifier: Apache-2.0
// Gates, rotations and outer sums in one pass over memory, for one instruction set.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

// One unit is GATE_UNIT numbers.
static void gate_forward(const void *job_, int64_t unit, float *) {
  const PmsGate &a = *static_cast<const PmsGate *>(job_);
  const int64_t first = unit * GATE_UNIT;
  const int64_t end = first + GATE_UNIT < a.size ? first + GATE_UNIT : a.size;
  for (int64_t i = first; i < end; i += W) {
    const int64_t n = end - i;
    const Vec g = load_some(a.gate + i, n), open = sigmoid(g);
    store_some(a.y + i, load_some(a.x + i, n) * (a.swish ? g * open : open), n);
  }
}

static void gate_backward(const void *job_, int64_t unit, float *) {
  const PmsGate &a = *static_cast<const PmsGate *>(job_);
  const int64_t first = unit * GATE_UNIT;
  const int64_t end = first + GATE_UNIT < a.size ? first + GATE_UNIT : a.size;
  for (int64_t i = first; i < end; i += W) {
    const int64_t n = end - i;
    const Vec g = load_some(a.gate + i, n), open = sigmoid(g), dy = load_some(a.dy + i, n);
    const Vec slope = a.swish ? open * (1.f + g * (1.f - open)) : open * (1.f - open);
    store_some(a.dx + i, dy * (a.swish ? g * open : open), n);
    store_some(a.dgate + i, dy * load_some(a.x + i, n) * slope, n);
  }
}

// One unit is one token.
static void rotation(const void *job_, int64_t token, float *) {
  const PmsRotation &a = *static_cast<const PmsRotation *>(job_);
  const int64_t half = a.half, width = 2 * half, first = token * a.heads * width;
  const float *cos = a.cos + token * half, *sin = a.sin + token * half;
  const float turn = a.back ? -1.f : 1.f;
  for (int64_t h = 0; h < a.heads; h++) {
    const float *x = a.x + first + h * width;
    float *y = a.y + first + h * width;
    for (int64_t i = 0; i < half; i += W) {
      const int64_t n = half - i;
      const Vec c = load_some(cos + i, n), s = load_some(sin + i, n) * turn;
      const Vec one = load_some(x + i, n), two = load_some(x + half + i, n);
      store_some(y + i, one * c - two * s, n);
      store_some(y + half + i, two * c + one * s, n);
    }
  }
}

// One unit is one row of the pair.
static void outer_sum_forward(const void *job_, int64_t i, float *) {
  const PmsOuterSum &a = *static_cast<const PmsOuterSum *>(job_);
  const int64_t c = a.channels;
  for (int64_t j = 0; j < a.columns; j++)
    for (int64_t d = 0; d < c; d += W) {
      const int64_t n = c - d;
      store_some(a.y + (i * a.columns + j) * c + d,
                 load_some(a.left + i * c + d, n) + load_some(a.right + j * c + d, n), n);
    }
}

// Sum of `count` vectors `step` apart, in order.
static void add_up(const float *x, int64_t step, int64_t count, int64_t channels, float *sum) {
  for (int64_t d = 0; d < channels; d += W) {
    Vec total = Vec{};
    for (int64_t k = 0; k < count; k++) total += load_some(x + k * step + d, channels - d);
    store_some(sum + d, total, channels - d);
  }
}

// Units 0..rows-1 sum rows, the following ones columns.
static void outer_sum_backward(const void *job_, int64_t unit, float *) {
  const PmsOuterSum &a = *static_cast<const PmsOuterSum *>(job_);
  const int64_t c = a.channels, j = unit - a.rows;
  if (j < 0) add_up(a.dy + unit * a.columns * c, c, a.columns, c, a.dleft + unit * c);
  else add_up(a.dy + j * c, a.columns * c, a.rows, c, a.dright + j * c);
}

}  // namespace PMS_ISA
}  // namespace pms
