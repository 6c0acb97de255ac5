// SPDX-License-Identifier: Apache-2.0
// Linear layers over panels of P positions [channels][P], for one instruction set.
//
// A panel stays in the first-level cache while a layer's weights, packed once per call as blocks of
// TILE_ROWS output channels [c_in][TILE_ROWS], pass by. What comes out is a panel again, so layers
// follow each other without an array of all positions in between.
#pragma once
#include "attention.h"
#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

static inline int64_t padded(int64_t channels) { return round_up(channels, TILE_ROWS); }

// One unit is one block of TILE_ROWS rows of one matrix.
static void pack_weights(const void *job_, int64_t unit, float *) {
  const Packing &job = *static_cast<const Packing *>(job_);
  int i = 0;
  for (int64_t blocks; unit >= (blocks = padded(job.rows[i]) / TILE_ROWS); i++) unit -= blocks;
  const int64_t depth = job.depth[i], first = unit * TILE_ROWS, left = job.rows[i] - first;
  const int64_t rows = left < TILE_ROWS ? left : TILE_ROWS;
  const float *from = job.from[i] + first * depth;
  float *to = job.to[i] + first * depth;
  for (int64_t r = 0; r < TILE_ROWS; r += W)
    for (int64_t k = 0; k < depth; k += W) {
      Vec tile[W];
#pragma GCC unroll 16
      for (int j = 0; j < W; j++)
        tile[j] = r + j < rows ? load_some(from + (r + j) * depth + k, depth - k) : Vec{};
      transpose(tile);
      const int64_t n = depth - k < W ? depth - k : W;
      for (int64_t d = 0; d < n; d++)
        store_some(to + (k + d) * TILE_ROWS + r, tile[d], TILE_ROWS - r);
    }
}

// ROWS channels [ROWS][P] of a layer. A long sum is made of parts, which rounds less. Alone: inlined
// beside a gate, a pointer of the loop went to the stack.
template <int ROWS>
__attribute__((noinline)) static void layer_rows(const float *weights, int64_t depth, const float *x, float *y) {
  constexpr int64_t PART = 256;
  multiply<ROWS, 2, 1, TILE_ROWS, false>(weights, 0, 1, depth < PART ? depth : PART, x, P, y, P);
  for (int64_t k = PART; k < depth; k += PART)
    multiply<ROWS, 2, 1, TILE_ROWS, true>(weights + k * TILE_ROWS, 0, 1,
                                          depth - k < PART ? depth - k : PART, x + k * P, P, y, P);
}

// TILE_ROWS channels [TILE_ROWS][P] of a layer, of which the first `rows` count.
static inline void layer_block(const float *weights, int64_t rows, int64_t depth, const float *x,
                               float *y) {
  constexpr int FEW = TILE_ROWS * 2 / 3;  // 128 channels are ten times twelve and eight
  if (rows > FEW) layer_rows<TILE_ROWS>(weights, depth, x, y);
  else layer_rows<FEW>(weights, depth, x, y);
}

// y [padded(channels)][P] = W x; rows beyond the channels are left undefined.
static void layer(const float *weights, int64_t channels, int64_t depth, const float *x,
                  float *y) {
  for (int64_t i = 0; i < channels; i += TILE_ROWS)
    layer_block(weights + i * depth, channels - i, depth, x, y + i * P);
}

// Layer normalisation of every column of a panel, in place; `inverse` [P] gets 1 / deviation.
static void normalise_panel(const PmsNorm &norm, int64_t channels, float *x,
                            float *inverse = nullptr) {
  constexpr int CHAINS = 4;  // sums that do not wait for each other
  const float share = 1.f / channels;
  Vec mean[2] = {}, scale[2] = {};
  for (int pass = 0; pass < 2; pass++) {
    Vec sum[CHAINS][2] = {};
    int64_t c = 0;
    for (; c + CHAINS <= channels; c += CHAINS)
#pragma GCC unroll 4
      for (int i = 0; i < CHAINS; i++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
          const Vec d = load(x + (c + i) * P + h * W) - mean[h];
          sum[i][h] += pass ? d * d : d;
        }
    for (; c < channels; c++)
      for (int h = 0; h < 2; h++) {
        const Vec d = load(x + c * P + h * W) - mean[h];
        sum[0][h] += pass ? d * d : d;
      }
    for (int h = 0; h < 2; h++) {
      const Vec total = (sum[0][h] + sum[1][h]) + (sum[2][h] + sum[3][h]);
      if (pass) scale[h] = 1.f / root(total * share + norm.epsilon);
      else mean[h] = total * share;
    }
  }
  for (int h = 0; inverse && h < 2; h++) store(inverse + h * W, scale[h]);
  for (int64_t c = 0; c < channels; c++)
    for (int h = 0; h < 2; h++) {
      float *at = x + c * P + h * W;
      const Vec unit = (load(at) - mean[h]) * scale[h];
      store(at, norm.weight ? unit * norm.weight[c] + norm.bias[c] : unit);
    }
}

// Up to P positions [channels] with a stride -> a normalised panel.
static void normalised(const PmsNorm &norm, const float *x, int64_t stride, int64_t count,
                       int64_t channels, float *panel) {
  pack_columns<P>(x, stride, count, channels, 1.f, panel);
  normalise_panel(norm, channels, panel);
}

// Panel -> positions [channels] with a stride, added to those of `x` unless that is null; `size`
// is that of all of y, 0 for one that surely stays in caches.
static void write_positions(const float *panel, int64_t count, int64_t channels, const float *x,
                            float *y, int64_t stride, int64_t size = 0) {
  const bool past = size > CACHED && x != y;
  constexpr int SIDES = W < 16 ? 2 : 1;  // vectors side by side: a line of the cache on AVX2
  for (int64_t first = 0; first < count; first += W)
    for (int64_t c = 0; c < channels; c += SIDES * W) {
      Vec tile[SIDES][W];
#pragma GCC unroll 2
      for (int h = 0; h < SIDES; h++) {
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
          tile[h][i] = c + h * W + i < channels ? load(panel + (c + h * W + i) * P + first) : Vec{};
        transpose(tile[h]);
      }
      const int64_t n = count - first < W ? count - first : W;
      for (int64_t j = 0; j < n; j++)
        for (int h = 0; h < SIDES && c + h * W < channels; h++) {
          const int64_t left = channels - c - h * W, at = (first + j) * stride + c + h * W;
          const Vec old = x ? load_some(x + at, left) : Vec{};
          if (past) store_past(y + at, old + tile[h][j], left);
          else store_some(y + at, old + tile[h][j], left);
        }
    }
}

// Panel [channels][P] -> rows [channels] with a stride, `count` of each; `size` as above.
static void write_channels(const float *panel, int64_t count, int64_t channels, float *y,
                           int64_t stride, int64_t size) {
  for (int64_t c = 0; c < channels; c++)
    for (int64_t j = 0; j < count; j += W) {
      float *at = y + c * stride + j;
      if (size > CACHED) store_past(at, load(panel + c * P + j), count - j);
      else store_some(at, load(panel + c * P + j), count - j);
    }
}

static inline void open_gate(float *x, const float *gate, int64_t size) {
  for (int64_t i = 0; i < size; i += W) store(x + i, load(x + i) * sigmoid(load(gate + i)));
}

// y [padded(channels)][P] = silu(G x) * W x.
static void swiglu_layer(const float *gate_weights, const float *weights, int64_t channels,
                         int64_t depth, const float *x, float *y) {
  alignas(64) float gate[TILE_ROWS * P];
  for (int64_t i = 0; i < channels; i += TILE_ROWS, y += TILE_ROWS * P) {
    layer_block(gate_weights + i * depth, channels - i, depth, x, gate);
    layer_block(weights + i * depth, channels - i, depth, x, y);
    for (int j = 0; j < TILE_ROWS * P; j += W) {
      const Vec g = load(gate + j);
      store(y + j, load(y + j) * g * sigmoid(g));
    }
  }
}

}  // namespace PMS_ISA
}  // namespace pms
