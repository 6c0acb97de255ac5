// SPDX-License-Identifier: Apache-2.0
// Whole layers of the pair track on panels, for one instruction set: layer norm, projections, gate,
// output and residual in one pass over memory. See PmsPairLayer for what is computed.
#pragma once
#include "panel.h"

namespace pms {
namespace PMS_ISA {

static inline float *take(float *&scratch, int64_t floats) {
  float *taken = scratch;
  scratch += round_up(floats, 16);
  return taken;
}

static inline int64_t positions_of(int64_t unit, int64_t count) {
  return count - unit * P < P ? count - unit * P : P;
}

// Makes a unit of several panels of a kernel of one.
template <void (*LAYER)(const void *, int64_t, float *)>
static void by_panels(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const int64_t end = (job.args->count + P - 1) / P;
  for (int64_t p = unit * job.panels; p < end && p < (unit + 1) * job.panels; p++)
    LAYER(job_, p, scratch);
}

// Lines of memory that the next panel reads, fetched a few at a time between the products.
struct Ahead {
  const float *at;
  int64_t step, left;  // floats from line to line, lines
  void fetch(int64_t lines) {
    for (; lines > 0 && left > 0; lines--, left--, at += step) __builtin_prefetch(at);
  }
};

constexpr int64_t LINE = 16;  // floats of a line of the cache
static inline Ahead positions_ahead(const PmsPairLayer &a, int64_t first) {
  const int64_t next = first + P < a.count ? first + P : first;
  return {a.x + next * a.channels, LINE, positions_of(next / P, a.count) * a.channels / LINE};
}

// PROJECTION: y [hidden][count] = W norm(x).
static void projection(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P;
  float *x = take(scratch, a.channels * P), *y = take(scratch, padded(a.hidden) * P);
  normalised(a.norm, a.x + first * a.channels, a.channels, n, a.channels, x);
  layer(job.weights[0], a.hidden, a.channels, x, y);
  write_channels(y, n, a.hidden, a.y + first, a.count, a.hidden * a.count);
}

// LINEAR: y [count][hidden] = W x + bias, or its gelu, some rows of W at a time.
static void linear(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const int64_t panels = (a.count + P - 1) / P, first = unit % panels * P;
  const int64_t n = positions_of(unit % panels, a.count);
  const int64_t rows = LINEAR_ROWS, c = unit / panels * rows;
  const int64_t hidden = a.hidden - c < rows ? a.hidden - c : rows;
  float *x = take(scratch, a.channels * P), *y = take(scratch, padded(rows) * P);
  pack_columns<P>(a.x + first * a.channels, a.channels, n, a.channels, 1.f, x);
  layer(job.weights[0] + c * a.channels, hidden, a.channels, x, y);
  if (a.bias)
    for (int64_t i = 0; i < hidden; i++)
      for (int j = 0; j < P; j += W) {
        float *at = y + i * P + j;
        const Vec sum = load(at) + a.bias[c + i];
        store(at, a.ending ? gelu(sum) : sum);
      }
  write_positions(y, n, hidden, nullptr, a.y + first * a.hidden + c, a.hidden);
}

// TRANSITION: y = x + W2 (silu(W0 norm(x)) * W1 norm(x)).
static void transition(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const int64_t n = positions_of(unit, a.count), at = unit * P * a.channels;
  float *x = take(scratch, a.channels * P), *h = take(scratch, padded(a.hidden) * P),
        *y = take(scratch, padded(a.channels) * P);
  normalised(a.norm, a.x + at, a.channels, n, a.channels, x);
  swiglu_layer(job.weights[0], job.weights[1], a.hidden, a.channels, x, h);
  layer(job.weights[2], a.channels, a.hidden, h, y);
  write_positions(y, n, a.channels, a.x + at, a.y + at, a.channels, a.count * a.channels);
}

// EDGES: y [hidden][count] = W0 norm(x) * sigmoid(W1 norm(x)), y2 the same of W2 and W3.
static void edges(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P;
  float *x = take(scratch, a.channels * P);
  alignas(64) float value[TILE_ROWS * P], gate[TILE_ROWS * P];
  normalised(a.norm, a.x + first * a.channels, a.channels, n, a.channels, x);
  Ahead positions = positions_ahead(a, first);
  for (int side = 0; side < 2; side++) {
    float *y = (side ? a.y2 : a.y) + first;
    for (int64_t i = 0; i < a.hidden; i += TILE_ROWS) {
      const int64_t rows = a.hidden - i < TILE_ROWS ? a.hidden - i : TILE_ROWS;
      layer_block(job.weights[2 * side] + i * a.channels, rows, a.channels, x, value);
      layer_block(job.weights[2 * side + 1] + i * a.channels, rows, a.channels, x, gate);
      open_gate(value, gate, rows * P);
      positions.fetch(3);
      write_channels(value, n, rows, y + i * a.count, a.count, a.hidden * a.count);
    }
  }
}

// GATED_OUTPUT: y = x + (W0 norm2(x2)) * sigmoid(W1 norm(x)), x2 [hidden][count].
static void gated_output(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const int64_t n = positions_of(unit, a.count), first = unit * P, at = first * a.channels;
  float *x = take(scratch, a.channels * P), *h = take(scratch, a.hidden * P),
        *y = take(scratch, padded(a.channels) * P);
  alignas(64) float gate[TILE_ROWS * P];
  for (int64_t c = 0; c < a.hidden; c++)
    for (int64_t j = 0; j < P; j += W)
      store(h + c * P + j, load_some(a.x2 + c * a.count + first + j, n - j));
  normalise_panel(a.norm2, a.hidden, h);
  Ahead positions = positions_ahead(a, first);
  Ahead channels = {a.x2 + (first + P < a.count ? first + P : first), a.count, a.hidden};
  normalised(a.norm, a.x + at, a.channels, n, a.channels, x);
  for (int64_t i = 0; i < a.channels; i += TILE_ROWS) {
    const int64_t rows = a.channels - i < TILE_ROWS ? a.channels - i : TILE_ROWS;
    layer_block(job.weights[0] + i * a.hidden, rows, a.hidden, h, y + i * P);
    layer_block(job.weights[1] + i * a.channels, rows, a.channels, x, gate);
    open_gate(y + i * P, gate, rows * P);
    channels.fetch(TILE_ROWS);
    positions.fetch(TILE_ROWS);
  }
  write_positions(y, n, a.channels, a.x + at, a.y + at, a.channels, a.count * a.channels);
}

// One row of triangle attention: projections of all its positions, in layouts attention wants.
struct RowScratch {
  int64_t panels, tokens;  // padded
  float *x, *t;            // panels: normalised input; a layer's output
  float *q;                // [hidden][tokens], scaled
  float *k, *v;            // [heads][panels][width][P]; [heads][tokens][width]
  float *gate;             // [panels][hidden][P]
  float *o;                // [tokens][hidden]
  float *scores, *mask, *columns, *block;  // of BLOCK queries, see attention.h
  int64_t size;            // floats in all

  RowScratch(const PmsPairLayer &a, float *base) {
    float *left = base;
    panels = (a.tokens + P - 1) / P;
    tokens = panels * P;
    const int64_t wide = padded(a.hidden > a.channels ? a.hidden : a.channels);
    x = take(left, (a.hidden > a.channels ? a.hidden : a.channels) * P);
    t = take(left, wide * P);
    q = take(left, a.hidden * tokens + COLUMN);  // a block's column may reach past the end
    k = take(left, a.hidden * tokens);
    v = take(left, a.hidden * tokens);
    gate = take(left, a.hidden * tokens);
    o = take(left, a.hidden * tokens);
    scores = take(left, panels * PANEL);
    mask = take(left, tokens);
    columns = take(left, COLUMN * (a.hidden / a.heads));
    block = take(left, BLOCK * (a.hidden / a.heads));
    size = left - base;
  }
};

static void project_row(const PairJob &job, const RowScratch &m, const float *x, int64_t stride) {
  const PmsPairLayer &a = *job.args;
  const int64_t width = a.hidden / a.heads;
  for (int64_t p = 0; p < m.panels; p++) {
    const int64_t n = positions_of(p, a.tokens);
    normalised(a.norm, x + p * P * stride, stride, n, a.channels, m.x);
    layer(job.weights[0], a.hidden, a.channels, m.x, m.t);
    for (int64_t c = 0; c < a.hidden; c++)
      for (int j = 0; j < P; j += W)
        store(m.q + c * m.tokens + p * P + j, load(m.t + c * P + j) * a.scale);
    layer(job.weights[1], a.hidden, a.channels, m.x, m.t);
    for (int64_t h = 0; h < a.heads; h++)
      std::memcpy(m.k + (h * m.panels + p) * width * P, m.t + h * width * P,
                  sizeof(float) * width * P);
    layer(job.weights[2], a.hidden, a.channels, m.x, m.t);
    for (int64_t h = 0; h < a.heads; h++)
      write_positions(m.t + h * width * P, P, width, nullptr,
                      m.v + (h * m.tokens + p * P) * width, width);
    layer(job.weights[3], a.hidden, a.channels, m.x, m.t);
    std::memcpy(m.gate + p * a.hidden * P, m.t, sizeof(float) * a.hidden * P);
  }
}

static void attend_head(const PmsPairLayer &a, const RowScratch &m, int64_t h) {
  const int64_t width = a.hidden / a.heads;
  const float *k = m.k + h * m.tokens * width, *v = m.v + h * m.tokens * width;
  for (int64_t i = 0; i < a.tokens; i += BLOCK) {
    const int n = a.tokens - i < BLOCK ? static_cast<int>(a.tokens - i) : BLOCK;
    for (int64_t d = 0; d < width; d++)
      for (int j = 0; j < COLUMN; j += W)
        store(m.columns + d * COLUMN + j, load(m.q + (h * width + d) * m.tokens + i + j));
    Vec top[BLOCK];
    score_block({a.bias + (h * a.tokens + i) * a.tokens, m.mask, n, a.tokens, false}, m.columns, k,
                m.panels, width, m.scores, top);
    float factor[BLOCK];
    for (int u = 0; u < n; u++) factor[u] = soften(m.scores + u * P, m.panels, top[u]).share();
    block_by_rows<false>(m.scores, v, m.panels, width, m.block);
    for (int u = 0; u < n; u++)
      for (int64_t d = 0; d < width; d += W)
        store(m.o + (i + u) * a.hidden + h * width + d,
              load(m.block + u * width + d) * factor[u]);
  }
}

// TRIANGLE_ATTENTION: one unit is one row (column with `ending`) of x [tokens][tokens][channels];
// W0..W4 are q, k, v, gate and output. hidden / heads is a multiple of 16.
static void triangle_attention(const void *job_, int64_t unit, float *scratch) {
  const PairJob &job = *static_cast<const PairJob *>(job_);
  const PmsPairLayer &a = *job.args;
  const RowScratch m(a, scratch);
  const int64_t stride = a.ending ? a.tokens * a.channels : a.channels;
  const int64_t at = unit * (a.ending ? a.channels : a.tokens * a.channels);
  for (int64_t j = 0; j < m.tokens; j++) m.mask[j] = j < a.tokens ? 0.f : -INFINITY;
  project_row(job, m, a.x + at, stride);
  for (int64_t h = 0; h < a.heads; h++) attend_head(a, m, h);
  for (int64_t p = 0; p < m.panels; p++) {
    const int64_t n = positions_of(p, a.tokens), to = at + p * P * stride;
    pack_columns<P>(m.o + p * P * a.hidden, a.hidden, n, a.hidden, 1.f, m.x);
    open_gate(m.x, m.gate + p * a.hidden * P, a.hidden * P);
    layer(job.weights[4], a.channels, a.hidden, m.x, m.t);
    write_positions(m.t, n, a.channels, a.x + to, a.y + to, stride, a.count * a.channels);
  }
}

static int64_t pair_scratch(const PmsPairLayer *a) {
  if (a->kind == PMS_TRIANGLE_ATTENTION) {
    alignas(64) float none[1];
    return RowScratch(*a, none).size;
  }
  if (a->kind == PMS_LINEAR) return 2 * 16 + (a->channels + padded(LINEAR_ROWS)) * P;
  return 3 * 16 + (a->channels + padded(a->hidden) + padded(a->channels)) * P;
}

}  // namespace PMS_ISA
}  // namespace pms
