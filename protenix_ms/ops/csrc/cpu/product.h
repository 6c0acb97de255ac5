// SPDX-License-Identifier: Apache-2.0
// Batches of products of two arrays, for one instruction set: that of triangle multiplication,
// channel by channel, and every product that would otherwise be split by the number of cores.
#pragma once
#include "panel.h"

namespace pms {
namespace PMS_ISA {

constexpr int64_t PRODUCT_DEPTH = 256;  // of the sum at a time: a panel of b stays in cache
constexpr int STRIP = (TILE_ROWS + W - 1) / W * W;  // floats of a column of TILE_ROWS rows of a

// Block [depth][STEP] of lines first.., from summed number k on, of one matrix. Lines are its rows,
// or its columns where `crossed`; `all` is how many numbers a line has.
template <int SIZE, int STEP>
static void pack_lines(const float *matrix, bool crossed, int64_t lines, int64_t all, int64_t first,
                       int64_t k, int64_t depth, float *to) {
  const int64_t n = lines - first;
  if (!crossed)
    return pack_columns<STEP>(matrix + first * all + k, all, n < SIZE ? n : SIZE, depth, 1.f, to);
  for (int64_t d = 0; d < depth; d++)
    for (int j = 0; j < STEP; j += W)
      store(to + d * STEP + j, load_some(matrix + (k + d) * lines + first + j, n - j));
}

template <bool ADD>
static void product_tile(const float *a, const float *b, int64_t depth, float *o, int64_t stride,
                         int64_t rows, int64_t columns) {
  if (rows >= TILE_ROWS && columns >= P)
    return multiply<TILE_ROWS, 2, 1, STRIP, ADD>(a, 0, 1, depth, b, P, o, stride);
  alignas(64) float tile[TILE_ROWS * P];
  multiply<TILE_ROWS, 2, 1, STRIP, false>(a, 0, 1, depth, b, P, tile, P);
  for (int64_t i = 0; i < rows && i < TILE_ROWS; i++)
    for (int64_t j = 0; j < columns && j < P; j++)
      o[i * stride + j] = (ADD ? o[i * stride + j] : 0.f) + tile[i * P + j];
}

// One unit: some rows and some panels of columns of one product.
static void product(const void *job_, int64_t unit, float *scratch) {
  const ProductJob &job = *static_cast<const ProductJob *>(job_);
  const PmsProduct &p = *job.args;
  const int64_t wide = job.panels * P, groups = (p.columns + wide - 1) / wide,
                parts = (p.rows + job.rows - 1) / job.rows, which = unit / groups / parts;
  const int64_t first = unit % groups * wide, top = unit / groups % parts * job.rows;
  const float *from_a = p.a + which * p.rows * p.depth, *from_b = p.b + which * p.columns * p.depth;
  float *y = p.y + which * p.rows * p.columns, *b = scratch, *a = b + wide * PRODUCT_DEPTH;
  for (int64_t k = 0; k < p.depth; k += PRODUCT_DEPTH) {
    const int64_t depth = p.depth - k < PRODUCT_DEPTH ? p.depth - k : PRODUCT_DEPTH;
    for (int64_t j = first; j < p.columns && j < first + wide; j += P)
      pack_lines<P, P>(from_b, !p.turned_b, p.columns, p.depth, j, k, depth,
                       b + (j - first) * PRODUCT_DEPTH);
    for (int64_t i = top; i < p.rows && i < top + job.rows; i += TILE_ROWS) {
      pack_lines<TILE_ROWS, STRIP>(from_a, p.turned_a, p.rows, p.depth, i, k, depth, a);
      for (int64_t j = first; j < p.columns && j < first + wide; j += P) {
        const float *panel = b + (j - first) * PRODUCT_DEPTH;
        float *o = y + i * p.columns + j;
        if (k) product_tile<true>(a, panel, depth, o, p.columns, p.rows - i, p.columns - j);
        else product_tile<false>(a, panel, depth, o, p.columns, p.rows - i, p.columns - j);
      }
    }
  }
}

static int64_t product_scratch() { return (PRODUCT_PANELS * P + STRIP) * PRODUCT_DEPTH; }

}  // namespace PMS_ISA
}  // namespace pms
