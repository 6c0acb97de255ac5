// SPDX-License-Identifier: Apache-2.0
// Layers of the conditioned transformer on panels, for one instruction set. See PmsConditioned.
#pragma once
#include "pair_layers.h"

namespace pms {
namespace PMS_ISA {

// Conditioning of P positions, which all samples share, -> panel.
static void conditioning(const PmsConditioned &a, const float *s, int64_t first, int64_t count,
                         float *panel) {
  for (int64_t at = 0; at < P; at += W)
    for (int64_t d = 0; d < a.channels; d += W) {
      Vec tile[W];
#pragma GCC unroll 16
      for (int j = 0; j < W; j++)
        tile[j] = at + j < count ? load_some(s + (first + at + j) % a.shared * a.channels + d,
                                             a.channels - d)
                                 : Vec{};
      transpose(tile);
      const int64_t n = a.channels - d < W ? a.channels - d : W;
      for (int64_t i = 0; i < n; i++) store(panel + (d + i) * P + at, tile[i]);
    }
}

// Adaptive layer norm of a panel, in place: norm(x) * sigmoid(scale) + shift.
static void adapt(const PmsConditioned &a, const float *scale, const float *shift, int64_t first,
                  int64_t count, float *x, float *s) {
  normalise_panel({nullptr, nullptr, a.epsilon}, a.channels, x);
  conditioning(a, scale, first, count, s);
  open_gate(x, s, a.channels * P);
  conditioning(a, shift, first, count, s);
  for (int64_t i = 0; i < a.channels * P; i += W) store(x + i, load(x + i) + load(s + i));
}

// PMS_QKVG: y[0..3] [count][channels] = W0 x' + bias, W1 x'', W2 x'', W3 x' with x' the adapted x,
// and x'' the adapted x' where there is a second scale, else x'.
static void projections(const void *job_, int64_t unit, float *scratch) {
  const ConditionedJob &job = *static_cast<const ConditionedJob *>(job_);
  const PmsConditioned &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P, at = first * a.channels;
  float *x = take(scratch, a.channels * P), *s = take(scratch, a.channels * P),
        *y = take(scratch, padded(a.channels) * P);
  pack_columns<P>(a.x + at, a.channels, n, a.channels, 1.f, x);
  adapt(a, a.scale, a.shift, first, n, x, s);
  constexpr int ORDER[4] = {0, 3, 1, 2};  // query and gate, before x is adapted again
  for (const int i : ORDER) {
    if (i == 1 && a.scale2) adapt(a, a.scale2, a.shift2, first, n, x, s);
    layer(job.weights[i], a.channels, a.channels, x, y);
    for (int64_t c = 0; i == 0 && c < a.channels; c++)
      for (int j = 0; j < P; j += W) store(y + c * P + j, load(y + c * P + j) + a.bias[c]);
    write_positions(y, n, a.channels, nullptr, a.y[i] + at, a.channels);
  }
}

// y = x + sigmoid(gate) * W h of the panel h.
static void gated_sum(const ConditionedJob &job, const float *weights, int64_t unit,
                      const float *h, float *s, float *y) {
  const PmsConditioned &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P, at = first * a.channels;
  layer(weights, a.channels, a.hidden, h, y);
  conditioning(a, a.gate, first, n, s);
  open_gate(y, s, a.channels * P);
  write_positions(y, n, a.channels, a.x + at, a.y[0] + at, a.channels);
}

// PMS_ATTENDED: y = x + sigmoid(gate) * W0 o.
static void attended(const void *job_, int64_t unit, float *scratch) {
  const ConditionedJob &job = *static_cast<const ConditionedJob *>(job_);
  const PmsConditioned &a = *job.args;
  float *o = take(scratch, a.hidden * P), *s = take(scratch, a.channels * P),
        *y = take(scratch, padded(a.channels) * P);
  pack_columns<P>(a.o + unit * P * a.hidden, a.hidden, positions_of(unit, a.count), a.hidden, 1.f,
                  o);
  gated_sum(job, job.weights[0], unit, o, s, y);
}

// PMS_CONDITIONED_TRANSITION: y = x + sigmoid(gate) * W2 (silu(W0 x') * W1 x').
static void conditioned_transition(const void *job_, int64_t unit, float *scratch) {
  const ConditionedJob &job = *static_cast<const ConditionedJob *>(job_);
  const PmsConditioned &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P;
  float *x = take(scratch, a.channels * P), *s = take(scratch, a.channels * P),
        *y = take(scratch, padded(a.channels) * P), *h = take(scratch, padded(a.hidden) * P);
  pack_columns<P>(a.x + first * a.channels, a.channels, n, a.channels, 1.f, x);
  adapt(a, a.scale, a.shift, first, n, x, s);
  swiglu_layer(job.weights[0], job.weights[1], a.hidden, a.channels, x, h);
  gated_sum(job, job.weights[2], unit, h, s, y);
}

static int64_t conditioned_scratch(const PmsConditioned *a) {
  return 4 * 16 + (2 * a->channels + padded(a->channels) + padded(a->hidden)) * P;
}

}  // namespace PMS_ISA
}  // namespace pms
