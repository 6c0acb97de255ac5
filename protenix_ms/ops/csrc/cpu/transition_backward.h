// SPDX-License-Identifier: Apache-2.0
// The gradient of a whole SwiGLU transition on panels, for one instruction set.
//
// Of the forward pass only x is kept: both projections are computed again, and no array of all
// positions exists beside x, dy and dx. Fixed parts of the positions sum their gradients of the
// weights in order, and the parts are added in order: the same bytes for any number of threads.
#pragma once
#include "pair_layers.h"

namespace pms {
namespace PMS_ISA {

constexpr int64_t GROUP = 4;  // panels whose gradients of weights are summed at once

// One unit is one block of TILE_ROWS rows of one matrix, which lies transposed: [depth][rows].
static void pack_transposed(const void *job_, int64_t unit, float *) {
  const Packing &job = *static_cast<const Packing *>(job_);
  int i = 0;
  for (int64_t blocks; unit >= (blocks = padded(job.rows[i]) / TILE_ROWS); i++) unit -= blocks;
  const int64_t depth = job.depth[i], all_rows = job.rows[i], first = unit * TILE_ROWS;
  float *to = job.to[i] + first * depth;
  for (int64_t k = 0; k < depth; k++, to += TILE_ROWS)
    for (int64_t r = 0; r < TILE_ROWS; r++)
      to[r] = first + r < all_rows ? job.from[i][k * all_rows + first + r] : 0.f;
}

// Where the sums of one part lie: three of [padded hidden][lanes], then two of [channels].
struct TransitionSums {
  int64_t lanes, matrix, size;
  explicit TransitionSums(const PmsTransitionGradient &a)
      : lanes(round_up(a.channels, P)), matrix(padded(a.hidden) * lanes),
        size(round_up(3 * matrix + 2 * a.channels, 16)) {}
};

// dx [c][P] of a norm whose result before its weight is `unit`, from the gradient `dxn` of its
// result; adds to the gradients of its weight and bias. inverse is 1 / standard deviation.
static void norm_gradient(const float *weight, int64_t c, const float *unit, const float *inverse,
                          const float *dxn, float *dx, float *dweight, float *dbias) {
  Vec mean[2] = {}, along[2] = {};
  for (int64_t i = 0; i < c; i++) {
    Vec w = Vec{}, b = Vec{};
    for (int h = 0; h < 2; h++) {
      const Vec d = load(dxn + i * P + h * W), u = load(unit + i * P + h * W), g = d * weight[i];
      mean[h] += g;
      along[h] += g * u;
      w += d * u;
      b += d;
    }
    dweight[i] += sum_of(w);
    dbias[i] += sum_of(b);
  }
  for (int64_t i = 0; i < c; i++)
    for (int h = 0; h < 2; h++) {
      const Vec d = load(dxn + i * P + h * W), u = load(unit + i * P + h * W);
      const Vec g = d * weight[i] - mean[h] * (1.f / c) - u * (along[h] * (1.f / c));
      store(dx + i * P + h * W, g * load(inverse + h * W));
    }
}

// sum [padded rows][lanes] += panels [GROUP][padded rows][P] times positions [GROUP P][lanes].
static void add_outer(const float *panels, int64_t rows, const float *positions, int64_t lanes,
                      float *sum) {
  for (int64_t r = 0; r < padded(rows); r += TILE_ROWS)
    for (int64_t c = 0; c < lanes; c += P)
      multiply<TILE_ROWS, 2, P, 1, true>(panels + r * P, padded(rows) * P, GROUP, P, positions + c,
                                         lanes, sum + r * lanes + c, lanes);
}

// a, b and the gradient d of silu(a) * b -> their gradients, and silu(a) * b in place of d.
static void swiglu_gradient(float *a, float *b, float *d, int64_t size) {
  for (int64_t i = 0; i < size; i += W) {
    const Vec x = load(a + i), y = load(b + i), g = load(d + i), open = sigmoid(x), silu = x * open;
    store(d + i, silu * y);
    store(b + i, g * silu);
    store(a + i, g * y * (open + silu * (1.f - open)));
  }
}

// One unit is one part of the positions.
static void transition_backward(const void *job_, int64_t part, float *scratch) {
  const TransitionJob &job = *static_cast<const TransitionJob *>(job_);
  const PmsTransitionGradient &a = *job.args;
  const TransitionSums sums(a);
  const int64_t c = a.channels, h = a.hidden, wide = padded(h) * P, lanes = sums.lanes;
  float *unit = take(scratch, c * P), *xn = take(scratch, c * P), *dy = take(scratch, c * P),
        *dxn = take(scratch, padded(c) * P), *t = take(scratch, padded(c) * P),
        *inverse = take(scratch, P), *x_rows = take(scratch, GROUP * P * lanes),
        *dy_rows = take(scratch, GROUP * P * lanes), *da = take(scratch, GROUP * wide),
        *db = take(scratch, GROUP * wide), *dh = take(scratch, GROUP * wide);
  float *sum = job.sums + part * sums.size, *dnorm = sum + 3 * sums.matrix;
  std::memset(sum, 0, sizeof(float) * sums.size);
  std::memset(x_rows, 0, sizeof(float) * GROUP * P * lanes);
  const int64_t groups = (a.count + GROUP * P - 1) / (GROUP * P);
  for (int64_t g = part * groups / job.parts; g < (part + 1) * groups / job.parts; g++) {
    for (int64_t p = 0; p < GROUP; p++) {
      const int64_t first = (g * GROUP + p) * P, left = a.count - first,
                    n = left < 0 ? 0 : left < P ? left : P;
      float *pa = da + p * wide, *pb = db + p * wide, *ph = dh + p * wide;
      pack_columns<P>(a.x + first * c, c, n, c, 1.f, unit);
      normalise_panel({nullptr, nullptr, a.norm.epsilon}, c, unit, inverse);
      for (int64_t i = 0; i < c; i++)
        for (int64_t j = i * P; j < (i + 1) * P; j += W)
          store(xn + j, load(unit + j) * a.norm.weight[i] + a.norm.bias[i]);
      write_positions(xn, P, c, nullptr, x_rows + p * P * lanes, lanes);
      pack_rows(a.dy + first * c, c, n, P, c, lanes, dy_rows + p * P * lanes);
      pack_columns<P>(a.dy + first * c, c, n, c, 1.f, dy);
      layer(job.weights[0], h, c, xn, pa);
      layer(job.weights[1], h, c, xn, pb);
      layer(job.turned[0], h, c, dy, ph);
      swiglu_gradient(pa, pb, ph, h * P);
      layer(job.turned[1], c, h, pa, dxn);
      layer(job.turned[2], c, h, pb, t);
      for (int64_t i = 0; i < c * P; i += W) store(dxn + i, load(dxn + i) + load(t + i));
      norm_gradient(a.norm.weight, c, unit, inverse, dxn, t, dnorm, dnorm + c);
      write_positions(t, n, c, a.dy + first * c, a.dx + first * c, c);
    }
    add_outer(da, h, x_rows, lanes, sum);
    add_outer(db, h, x_rows, lanes, sum + sums.matrix);
    add_outer(dh, h, dy_rows, lanes, sum + 2 * sums.matrix);
  }
}

static int64_t transition_backward_scratch(const PmsTransitionGradient *a) {
  const int64_t c = a->channels, lanes = TransitionSums(*a).lanes;
  const int64_t group = GROUP * (2 * lanes + 3 * padded(a->hidden));
  return 11 * 16 + (3 * c + 2 * padded(c) + 1 + group) * P;
}

static int64_t transition_sums(const PmsTransitionGradient *a) { return TransitionSums(*a).size; }

// Adds the parts in order: one unit is one hidden channel, the last one the norm.
static void transition_reduce(const void *job_, int64_t unit, float *) {
  const TransitionJob &job = *static_cast<const TransitionJob *>(job_);
  const PmsTransitionGradient &a = *job.args;
  const TransitionSums sums(a);
  const int64_t c = a.channels, h = a.hidden;
  const auto total = [&](int64_t at) {
    float sum = 0.f;
    for (int64_t p = 0; p < job.parts; p++) sum += job.sums[p * sums.size + at];
    return sum;
  };
  for (int64_t i = 0; i < c; i++) {
    if (unit == h) {
      a.dnorm_weight[i] = total(3 * sums.matrix + i);
      a.dnorm_bias[i] = total(3 * sums.matrix + c + i);
      continue;
    }
    const int64_t at = unit * sums.lanes + i;
    a.dweights[0][unit * c + i] = total(at);
    a.dweights[1][unit * c + i] = total(sums.matrix + at);
    a.dweights[2][i * h + unit] = total(2 * sums.matrix + at);
  }
}

}  // namespace PMS_ISA
}  // namespace pms
