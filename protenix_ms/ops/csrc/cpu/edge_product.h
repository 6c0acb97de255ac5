// SPDX-License-Identifier: Apache-2.0
// The product of triangle multiplication, channel by channel, for one instruction set.
#pragma once
#include "panel.h"

namespace pms {
namespace PMS_ISA {

constexpr int64_t EDGE_DEPTH = 256;  // of the sum at a time: a panel of b stays in cache

// Block [depth][SIZE] of rows first.. of an edge matrix [n][n] (of columns with `incoming`).
template <int SIZE, int STEP>
static void pack_edges(const PmsEdgeProduct &e, const float *edges, int64_t first, int64_t k,
                       int64_t depth, float *to) {
  const int64_t n = e.tokens - first;
  if (!e.incoming)
    return pack_columns<STEP>(edges + first * e.tokens + k, e.tokens, n < SIZE ? n : SIZE, depth,
                              1.f, to);
  for (int64_t d = 0; d < depth; d++)
    for (int j = 0; j < STEP; j += W)
      store(to + d * STEP + j, load_some(edges + (k + d) * e.tokens + first + j, n - j));
}

template <bool ADD>
static void edge_tile(const float *a, const float *b, int64_t depth, float *o, int64_t stride,
                      int64_t rows, int64_t columns) {
  if (rows >= TILE_ROWS && columns >= P)
    return multiply<TILE_ROWS, 2, 1, COLUMN, ADD>(a, 0, 1, depth, b, P, o, stride);
  alignas(64) float tile[TILE_ROWS * P];
  multiply<TILE_ROWS, 2, 1, COLUMN, false>(a, 0, 1, depth, b, P, tile, P);
  for (int64_t i = 0; i < rows && i < TILE_ROWS; i++)
    for (int64_t j = 0; j < columns && j < P; j++)
      o[i * stride + j] = (ADD ? o[i * stride + j] : 0.f) + tile[i * P + j];
}

// One unit: EDGE_PANELS panels of columns of one channel.
static void edge_product(const void *job_, int64_t unit, float *scratch) {
  const PmsEdgeProduct &e = *static_cast<const PmsEdgeProduct *>(job_);
  const int64_t n = e.tokens, wide = EDGE_PANELS * P, groups = (n + wide - 1) / wide;
  const int64_t at = unit / groups * n * n, first = unit % groups * wide;
  float *b = scratch, *a = b + wide * EDGE_DEPTH;
  for (int64_t k = 0; k < n; k += EDGE_DEPTH) {
    const int64_t depth = n - k < EDGE_DEPTH ? n - k : EDGE_DEPTH;
    for (int64_t j = first; j < n && j < first + wide; j += P)
      pack_edges<P, P>(e, e.b + at, j, k, depth, b + (j - first) * EDGE_DEPTH);
    for (int64_t i = 0; i < n; i += TILE_ROWS) {
      pack_edges<TILE_ROWS, COLUMN>(e, e.a + at, i, k, depth, a);
      for (int64_t j = first; j < n && j < first + wide; j += P) {
        const float *panel = b + (j - first) * EDGE_DEPTH;
        float *o = e.y + at + i * n + j;
        if (k) edge_tile<true>(a, panel, depth, o, n, n - i, n - j);
        else edge_tile<false>(a, panel, depth, o, n, n - i, n - j);
      }
    }
  }
}

static int64_t edge_scratch() { return (EDGE_PANELS * P + COLUMN) * EDGE_DEPTH; }

}  // namespace PMS_ISA
}  // namespace pms
