// SPDX-License-Identifier: Apache-2.0
// Outer product mean for one instruction set: outer products exist for OUTER_TOKENS x P pairs.
#pragma once
#include "pair_layers.h"

namespace pms {
namespace PMS_ISA {

constexpr int OUTER_ROWS = TILE_ROWS == 12 ? 8 : 4;  // channels of one side at a time
constexpr int64_t OUTER_DEPTH = 128;                 // alignment rows at a time

// Token i of `depth` rows of a [rows][tokens][hidden] -> blocks [depth][OUTER_ROWS].
static void pack_left(const PmsOuterProduct &a, int64_t i, int64_t row, int64_t depth, float *to) {
  for (int64_t c = 0; c < a.hidden; c += OUTER_ROWS)
    for (int64_t s = 0; s < depth; s++)
      for (int r = 0; r < OUTER_ROWS; r++, to++)
        *to = c + r < a.hidden ? a.left[((row + s) * a.tokens + i) * a.hidden + c + r] : 0.f;
}

// Tokens j.. of `depth` rows of b [hidden][rows][tokens] -> panels [hidden][depth][P].
static void pack_right(const PmsOuterProduct &a, int64_t j, int64_t row, int64_t depth,
                       float *to) {
  for (int64_t e = 0; e < a.hidden; e++)
    for (int64_t s = 0; s < depth; s++, to += P) {
      const float *from = a.right + (e * a.rows + row + s) * a.tokens + j;
      for (int k = 0; k < P; k += W) store(to + k, load_some(from + k, a.tokens - j - k));
    }
}

// outer [hidden rounded up][hidden][P] (+)= left^T right.
template <bool ADD>
static void add_outer(const PmsOuterProduct &a, const float *left, const float *right,
                      int64_t depth, float *outer) {
  for (int64_t e = 0; e < a.hidden; e++)
    for (int64_t c = 0; c < a.hidden; c += OUTER_ROWS)
      multiply<OUTER_ROWS, 2, 1, OUTER_ROWS, ADD>(left + c * depth, 0, 1, depth,
                                                  right + e * depth * P, P,
                                                  outer + (c * a.hidden + e) * P, a.hidden * P);
}

// y = x + (W outer + bias) * scale. One unit: OUTER_TOKENS tokens i and one panel of tokens j.
static void outer_product(const void *job_, int64_t unit, float *scratch) {
  const OuterJob &job = *static_cast<const OuterJob *>(job_);
  const PmsOuterProduct &a = *job.args;
  const int64_t panels = (a.tokens + P - 1) / P, j = unit % panels * P;
  const int64_t first = unit / panels * OUTER_TOKENS, wide = round_up(a.hidden, OUTER_ROWS);
  const int64_t last = first + OUTER_TOKENS < a.tokens ? first + OUTER_TOKENS : a.tokens;
  const int64_t size = wide * a.hidden * P;
  float *left = take(scratch, wide * OUTER_DEPTH),
        *right = take(scratch, a.hidden * OUTER_DEPTH * P),
        *outer = take(scratch, OUTER_TOKENS * size), *y = take(scratch, padded(a.channels) * P);
  for (int64_t row = 0; row < a.rows; row += OUTER_DEPTH) {
    const int64_t depth = a.rows - row < OUTER_DEPTH ? a.rows - row : OUTER_DEPTH;
    pack_right(a, j, row, depth, right);
    for (int64_t i = first; i < last; i++) {
      pack_left(a, i, row, depth, left);
      if (row) add_outer<true>(a, left, right, depth, outer + (i - first) * size);
      else add_outer<false>(a, left, right, depth, outer + (i - first) * size);
    }
  }
  for (int64_t i = first; i < last; i++) {
    layer(job.weight, a.channels, a.hidden * a.hidden, outer + (i - first) * size, y);
    for (int64_t c = 0; c < a.channels; c++)
      for (int k = 0; k < P; k += W)
        store(y + c * P + k, (load(y + c * P + k) + a.bias[c]) * a.scale);
    const int64_t at = (i * a.tokens + j) * a.channels;
    write_positions(y, positions_of(unit % panels, a.tokens), a.channels, a.x + at, a.y + at,
                    a.channels, a.tokens * a.tokens * a.channels);
  }
}

static int64_t outer_scratch(const PmsOuterProduct *a) {
  const int64_t wide = round_up(a->hidden, OUTER_ROWS);
  return 4 * 16 + wide * OUTER_DEPTH + a->hidden * OUTER_DEPTH * P +
         OUTER_TOKENS * wide * a->hidden * P + padded(a->channels) * P;
}

}  // namespace PMS_ISA
}  // namespace pms
