// SPDX-License-Identifier: Apache-2.0
// Fused attention with a pair bias, for one instruction set. See PmsAttention for what is computed.
//
// One unit is one (batch, row, head): its keys are packed once as transposed panels of P keys and
// its values as rows; BLOCK queries at a time then make their scores [panels][BLOCK][P], beginning
// from bias and mask, in a line that stays in cache, look for the maximum, and multiply the values.
// Memory per thread is linear in the number of keys; scores of all queries never exist.
//
// A long row without a bias takes STRIPE blocks of queries through TILE keys at a time, which stay in
// the second-level cache, with a running maximum (Dao et al. 2022).
#pragma once
#include <math.h>

#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

constexpr int BLOCK = 12;    // queries at a time, a multiple of TILE_ROWS
constexpr int COLUMN = (BLOCK + W - 1) / W * W;  // floats of a column of queries
constexpr int P = 2 * W;     // keys of a panel
constexpr float ABSENT = -1e8f;  // an additive mask this low takes the key away
constexpr int64_t PANEL = BLOCK * P;
constexpr int STRIPE = 4;               // blocks of queries that pass a tile of keys
constexpr int64_t TILE = 256;          // keys of a tile, a multiple of P
constexpr int64_t LONG = 2 * TILE;     // keys from which on a row is a long one

static inline bool long_row(const PmsAttention &a) {
  return !a.bias && !a.tokens && a.keys >= LONG;
}

// Where one thread keeps its panels. k_panels, v_panels [panels][width][P]; rows [keys][lanes].
struct Scratch {
  int64_t panels, keys, lanes;  // padded keys = panels * P; lanes = width rounded up to W
  float *k_panels, *v_panels, *k_rows, *v_rows, *dk, *dv;
  float *scores, *slopes;       // [panels][BLOCK][P]
  float *mask;                  // [keys], -inf where absent
  float *q_columns, *g_columns; // [width][COLUMN]
  float *q_rows, *g_rows, *o;   // [BLOCK][lanes]

  Scratch(const PmsAttention &a, bool backward, float *base) {
    panels = (a.keys + P - 1) / P;
    keys = panels * P;
    lanes = round_up(a.width, W);
    used = 0;
    start = base;
    const int64_t blocks = !backward && long_row(a) ? STRIPE : 1;
    const int64_t block_rows = blocks * BLOCK * lanes, columns = blocks * COLUMN * a.width;
    k_panels = take(keys * a.width);
    mask = take(keys);
    scores = take(panels * PANEL);
    q_columns = take(columns);
    o = take(block_rows);
    if (!backward) { v_rows = take(keys * lanes); return; }
    v_panels = take(keys * a.width);
    k_rows = take(keys * lanes);
    dk = take(keys * lanes);
    dv = take(keys * lanes);
    slopes = take(panels * PANEL);
    g_columns = take(columns);
    q_rows = take(block_rows);
    g_rows = take(block_rows);
  }
  int64_t size() const { return used; }

 private:
  int64_t used;
  float *start;
  float *take(int64_t n) {
    float *p = start + used;
    used += round_up(n, 16);
    return p;
  }
};

static int64_t attention_scratch(const PmsAttention *a, bool backward) {
  alignas(64) float none[1];
  return Scratch(*a, backward, none).size();
}

// What exists of a row.
struct Present {
  int64_t first, end;  // keys
  int64_t queries;
};
static Present present(const PmsAttention &a, int64_t r) {
  if (!a.tokens) return {0, a.keys, a.queries};
  const int64_t after = a.tokens - r * a.queries, before = a.window_left - r * a.queries,
                end = after + a.window_left;
  return {before > 0 ? before : 0, end < a.keys ? end : a.keys,
          after < a.queries ? after : a.queries};
}

// [count][width] with a stride -> columns [width][SIZE] times `factor`, zero for those before
// `skip` and beyond the count.
template <int SIZE>
static void pack_columns(const float *x, int64_t stride, int64_t count, int64_t width,
                         float factor, float *columns, int64_t skip = 0) {
  for (int64_t first = 0; first < SIZE; first += W)
    for (int64_t d = 0; d < width; d += W) {
      Vec tile[W];
#pragma GCC unroll 16
      for (int j = 0; j < W; j++)
        tile[j] = first + j >= skip && first + j < count
                      ? load_some(x + (first + j) * stride + d, width - d) : Vec{};
      transpose(tile);
      const int64_t n = width - d < W ? width - d : W;
      for (int64_t i = 0; i < n; i++) store(columns + (d + i) * SIZE + first, tile[i] * factor);
    }
}

// [keys][width] with a stride -> panels [width][P], zero where no key is present.
static void pack_panels(const float *x, int64_t stride, const Present &row, int64_t keys,
                        int64_t width, float *panels) {
  for (int64_t first = 0; first < keys; first += P, panels += width * P)
    pack_columns<P>(x + first * stride, stride, row.end - first, width, 1.f, panels,
                    row.first - first);
}

// [count][width] with a stride -> rows [keys][lanes], zero elsewhere.
static void pack_rows(const float *x, int64_t stride, int64_t count, int64_t keys, int64_t width,
                      int64_t lanes, float *rows, int64_t skip = 0) {
  for (int64_t j = 0; j < keys; j++, rows += lanes) {
    const int64_t n = j >= skip && j < count ? width : 0;
    if (n) std::memcpy(rows, x + j * stride, sizeof(float) * n);
    for (int64_t d = n; d < lanes; d++) rows[d] = 0.f;
  }
}

static void pack_mask(const PmsAttention &a, int64_t b, int64_t r, int64_t keys, float *mask) {
  const Present row = present(a, r);
  const int64_t at = b * a.mask_stride[0] + r * a.mask_stride[1];
  for (int64_t j = 0; j < keys; j++) {
    float x = 0.f;
    if (j < row.first || j >= row.end) x = -INFINITY;
    else if (a.keep) x = a.keep[at + j] ? 0.f : -INFINITY;
    else if (a.mask) x = a.mask[at + j] <= ABSENT ? -INFINITY : a.mask[at + j];
    mask[j] = x;
  }
}

// scores [panels][BLOCK][P] = columns^T panels.
static void block_by_panels(const float *columns, const float *panels, int64_t count,
                            int64_t width, float *scores) {
  for (int64_t p = 0; p < count; p++, panels += width * P, scores += PANEL)
    for (int r = 0; r < BLOCK; r += TILE_ROWS)
      multiply<TILE_ROWS, 2, 1, COLUMN, false>(columns + r, 0, 1, width, panels, P, scores + r * P,
                                              P);
}

// What the scores of BLOCK queries begin with. `mask` is -inf beyond `keys`, and zero before that
// unless it is `masked`; a bias has `queries` rows.
struct Start {
  const float *bias, *mask;
  int64_t queries, keys;
  bool masked;
};

// The largest scores of a panel [BLOCK][P], or those before it, by lanes.
static inline void raise(const float *scores, Vec (&top)[BLOCK]) {
  for (int u = 0; u < BLOCK; u++)
    top[u] = larger(load(scores + u * P), larger(load(scores + u * P + W), top[u]));
}

// scores [panels][BLOCK][P] = start + columns^T panels, and the largest of every query by lanes.
static void score_block(const Start &start, const float *columns, const float *panels,
                        int64_t count, int64_t width, float *scores, Vec (&top)[BLOCK]) {
  alignas(64) float tile[PANEL];
  for (int u = 0; u < BLOCK; u++) top[u] = all(-INFINITY);
  for (int64_t p = 0; p < count; p++, panels += width * P, scores += PANEL) {
    const float *from = tile;
    int64_t step = P;
    if (!start.bias && !start.masked && (p + 1) * P <= start.keys) {
      block_by_panels(columns, panels, 1, width, scores);
      raise(scores, top);
      continue;
    }
    if (!start.bias || start.masked || start.queries < BLOCK || (p + 1) * P > start.keys) {
      for (int u = 0; u < BLOCK; u++)
        for (int64_t h = 0, j = p * P; h < P; h += W, j += W) {
          const bool any = start.bias && u < start.queries;
          const Vec bias = any ? load_some(start.bias + u * start.keys + j, start.keys - j) : Vec{};
          store(tile + u * P + h, bias + load(start.mask + j));
        }
    } else {
      from = start.bias + p * P;
      step = start.keys;
    }
    if (start.bias && p + 1 < count)
      for (int u = 0; u < start.queries; u++)
        __builtin_prefetch(start.bias + u * start.keys + (p + 1) * P);
    for (int r = 0; r < BLOCK; r += TILE_ROWS)
      multiply_onto<TILE_ROWS, 2, 1, COLUMN, true>(from + r * step, step, columns + r, 0, 1, width,
                                                   panels, P, scores + r * P, P);
    raise(scores, top);
  }
}

// out [BLOCK][lanes] = scores rows [keys][lanes], with ADD added to it.
template <bool ADD>
static void block_by_rows(const float *scores, const float *rows, int64_t panels, int64_t lanes,
                          float *out) {
  for (int r = 0; r < BLOCK; r += TILE_ROWS) {
    const float *a = scores + r * P;
    float *c = out + r * lanes;
    int64_t d = 0;
    for (; d + 2 * W <= lanes; d += 2 * W)
      multiply<TILE_ROWS, 2, P, 1, ADD>(a, PANEL, panels, P, rows + d, lanes, c + d, lanes);
    if (d < lanes)
      multiply<TILE_ROWS, 1, P, 1, ADD>(a, PANEL, panels, P, rows + d, lanes, c + d, lanes);
  }
}

// sums [keys][lanes] += scores^T block, block [BLOCK][lanes].
static void add_transposed(const float *scores, const float *block, int64_t panels, int64_t lanes,
                           float *sums) {
  constexpr int T = TILE_ROWS == 12 ? 8 : 4;  // keys at a time; divides P
  for (int64_t p = 0; p < panels; p++, scores += PANEL)
    for (int j = 0; j < P; j += T, sums += T * lanes) {
      int64_t d = 0;
      for (; d + 2 * W <= lanes; d += 2 * W)
        multiply<T, 2, 1, P, true>(scores + j, 0, 1, BLOCK, block + d, lanes, sums + d, lanes);
      if (d < lanes)
        multiply<T, 1, 1, P, true>(scores + j, 0, 1, BLOCK, block + d, lanes, sums + d, lanes);
    }
}

// One row of scores becomes weights e^(x - max), not yet divided by their sum.
struct RowSum {
  float largest, sum;
  bool any() const { return largest != -INFINITY; }
  float share() const { return any() ? 1.f / sum : 0.f; }  // of e^0; none for a query without keys
};
// A query whose scores are all -inf or NaN: weights zero, unless there is a NaN to pass on.
static RowSum without_keys(float *scores, int64_t panels) {
  RowSum row = {-INFINITY, 0.f};
  for (int64_t p = 0; p < panels; p++)
    for (int j = 0; j < P; j++) {
      float &s = scores[p * PANEL + j];
      if (s != s) row = {0.f, s};
      s = 0.f;
    }
  return row;
}
// `before` is the largest score of tiles of keys that came earlier.
static RowSum soften(float *scores, int64_t panels, Vec largest, float before = -INFINITY) {
  RowSum row = {largest_of(largest), 0.f};
  if (before > row.largest) row.largest = before;
  if (row.largest == -INFINITY) return without_keys(scores, panels);
  const Vec top = all(row.largest);
  Vec sum0 = Vec{}, sum1 = Vec{};
  for (int64_t p = 0; p < panels; p++) {
    float *s = scores + p * PANEL;
    const Vec e0 = exponential(load(s) - top), e1 = exponential(load(s + W) - top);
    store(s, e0);
    store(s + W, e1);
    sum0 += e0;
    sum1 += e1;
  }
  row.sum = sum_of(sum0 + sum1);
  return row;
}

static void write_output(const PmsAttention &a, int64_t at, const float *o, float factor) {
  for (int64_t d = 0; d < a.width; d += W) {
    const int64_t n = a.width - d;
    Vec x = load(o + d) * factor;
    if (a.gate) x = x * sigmoid(load_some(a.gate + at + d, n));
    store_some(a.out + at + d, x, n);
  }
}

// Some queries of a long row from query `i` on, up to STRIPE blocks of them.
static void long_row_block(const PmsAttention &a, const Scratch &m, int64_t queries_at,
                           int64_t i, int64_t count, float *lse) {
  const int64_t tile = TILE / P, blocks = (count + BLOCK - 1) / BLOCK;
  const int64_t columns = COLUMN * a.width, rows = BLOCK * m.lanes;
  RowSum total[STRIPE * BLOCK];
  for (int u = 0; u < STRIPE * BLOCK; u++) total[u] = {-INFINITY, 0.f};
  std::memset(m.o, 0, sizeof(float) * blocks * rows);
  for (int64_t g = 0; g < blocks; g++)
    pack_columns<COLUMN>(a.q + queries_at + (i + g * BLOCK) * a.q_stride[2], a.q_stride[2],
                         count - g * BLOCK, a.width, a.scale, m.q_columns + g * columns);
  for (int64_t p = 0; p < m.panels; p += tile) {
    const int64_t panels = m.panels - p < tile ? m.panels - p : tile;
    for (int64_t g = 0; g < blocks; g++) {
      Vec top[BLOCK];
      score_block({nullptr, m.mask + p * P, BLOCK, a.keys - p * P, a.mask || a.keep},
                  m.q_columns + g * columns, m.k_panels + p * P * a.width, panels, a.width,
                  m.scores, top);
      float *o = m.o + g * rows;
      for (int u = 0; u < BLOCK; u++, o += m.lanes) {
        RowSum &before = total[g * BLOCK + u];
        const RowSum row = soften(m.scores + u * P, panels, top[u], before.largest);
        const float share = before.any() ? exponential(all(before.largest - row.largest))[0] : 0.f;
        before = {row.largest, before.sum * share + row.sum};
        if (share == 1.f) continue;
        for (int64_t d = 0; d < m.lanes; d += W) store(o + d, load(o + d) * share);
      }
      block_by_rows<true>(m.scores, m.v_rows + p * P * m.lanes, panels, m.lanes, m.o + g * rows);
    }
  }
  for (int64_t u = 0; u < count; u++) {
    if (lse) lse[i + u] = total[u].any() ? total[u].largest + __builtin_logf(total[u].sum)
                                         : INFINITY;
    write_output(a, queries_at + (i + u) * a.q_stride[2], m.o + u * m.lanes, total[u].share());
  }
}

static void attention_forward(const void *job_, int64_t unit, float *scratch) {
  const AttentionJob &job = *static_cast<const AttentionJob *>(job_);
  const PmsAttention &a = *job.args;
  const int64_t part = unit % job.splits, h = unit / job.splits % a.heads,
                place = unit / job.splits / a.heads, b = place / a.rows, r = place % a.rows;
  Scratch m(a, false, scratch);
  const Present row = present(a, r);
  const int64_t keys_at = b * a.k_stride[0] + r * a.k_stride[1] + h * a.k_stride[3] -
                          a.window_left * a.k_stride[2];
  const int64_t queries_at = b * a.q_stride[0] + r * a.q_stride[1] + h * a.q_stride[3];
  pack_panels(a.k + keys_at, a.k_stride[2], row, a.keys, a.width, m.k_panels);
  pack_rows(a.v + keys_at, a.k_stride[2], row.end, m.keys, a.width, m.lanes, m.v_rows, row.first);
  pack_mask(a, b, r, m.keys, m.mask);
  const float *bias = a.bias;
  if (bias) bias += b * a.bias_stride[0] + r * a.bias_stride[1] + h * a.queries * a.keys;
  const bool masked = a.mask || a.keep || row.first > 0 || row.end < a.keys;
  const int64_t blocks = (a.queries + BLOCK - 1) / BLOCK;
  const int64_t last = (part + 1) * blocks / job.splits * BLOCK;
  if (long_row(a)) {
    float *lse = a.lse ? a.lse + (place * a.heads + h) * a.queries : nullptr;
    const int64_t end = last < a.queries ? last : a.queries;
    for (int64_t i = part * blocks / job.splits * BLOCK; i < end; i += STRIPE * BLOCK)
      long_row_block(a, m, queries_at, i, end - i < STRIPE * BLOCK ? end - i : STRIPE * BLOCK, lse);
    return;
  }
  for (int64_t i = part * blocks / job.splits * BLOCK; i < last && i < row.queries; i += BLOCK) {
    const int n = row.queries - i < BLOCK ? static_cast<int>(row.queries - i) : BLOCK;
    const int64_t at = queries_at + i * a.q_stride[2];
    pack_columns<COLUMN>(a.q + at, a.q_stride[2], n, a.width, a.scale, m.q_columns);
    Vec top[BLOCK];
    score_block({bias ? bias + i * a.keys : nullptr, m.mask, n, a.keys, masked}, m.q_columns,
                m.k_panels, m.panels, a.width, m.scores, top);
    float factor[BLOCK];
    for (int u = 0; u < n; u++) {
      const RowSum total = soften(m.scores + u * P, m.panels, top[u]);
      factor[u] = total.share();
      if (a.lse)
        a.lse[(place * a.heads + h) * a.queries + i + u] =
            total.any() ? total.largest + __builtin_logf(total.sum) : INFINITY;
    }
    block_by_rows<false>(m.scores, m.v_rows, m.panels, m.lanes, m.o);
    for (int u = 0; u < n; u++)
      write_output(a, at + u * a.q_stride[2], m.o + u * m.lanes, factor[u]);
  }
}

// The gradient of the ungated output and what it needs: g = dout * sigmoid(gate) in rows, dgate,
// and delta = sum(dout * out), which equals sum(g * ungated output).
static float split_gradient(const PmsAttention &a, int64_t at, float *g) {
  Vec delta = Vec{};
  for (int64_t d = 0; d < a.width; d += W) {
    const int64_t n = a.width - d;
    const Vec dout = load_some(a.dout + at + d, n), product = dout * load_some(a.out + at + d, n);
    delta += product;
    if (!a.gate) {
      store(g + d, dout);
      continue;
    }
    const Vec open = sigmoid(load_some(a.gate + at + d, n));
    store(g + d, dout * open);
    store_some(a.dgate + at + d, product * (1.f - open), n);
  }
  return sum_of(delta);
}

// Scores and products of one query become weights p and slopes p * (slope - delta), which are
// also the bias's gradient.
static void slope_row(float *scores, float *slopes, const float *mask, const float *bias,
                      float *dbias, bool add, float lse, float delta, int64_t panels,
                      int64_t keys) {
  for (int64_t p = 0; p < panels; p++)
    for (int u = 0; u < P; u += W) {
      float *s = scores + p * PANEL + u, *t = slopes + p * PANEL + u;
      const int64_t j = p * P + u, n = keys - j;
      Vec x = load(s) + load(mask + j);
      if (bias) x = x + (n >= W ? load(bias + j) : load_some(bias + j, n));
      const Vec weight = exponential(x - lse), slope = weight * (load(t) - delta);
      store(s, weight);
      store(t, slope);
      if (!dbias || n <= 0) continue;
      if (n >= W) store(dbias + j, add ? load(dbias + j) + slope : slope);
      else store_some(dbias + j, add ? load_some(dbias + j, n) + slope : slope, n);
    }
}

static void backward_block(const PmsAttention &a, const Scratch &m, int64_t b, int64_t r,
                           int64_t h, int64_t i, float *dbias, bool add) {
  const int n = a.queries - i < BLOCK ? static_cast<int>(a.queries - i) : BLOCK;
  const int64_t stride = a.q_stride[2];
  const int64_t at = b * a.q_stride[0] + r * a.q_stride[1] + h * a.q_stride[3] + i * stride;
  const float *bias = a.bias;
  if (bias) bias += b * a.bias_stride[0] + r * a.bias_stride[1] + (h * a.queries + i) * a.keys;
  const float *lse = a.lse + ((b * a.rows + r) * a.heads + h) * a.queries + i;
  float delta[BLOCK];
  std::memset(m.g_rows, 0, sizeof(float) * BLOCK * m.lanes);
  for (int u = 0; u < n; u++) delta[u] = split_gradient(a, at + u * stride, m.g_rows + u * m.lanes);
  pack_columns<COLUMN>(a.q + at, stride, n, a.width, a.scale, m.q_columns);
  pack_columns<COLUMN>(m.g_rows, m.lanes, n, a.width, 1.f, m.g_columns);
  pack_rows(a.q + at, stride, n, BLOCK, a.width, m.lanes, m.q_rows);
  block_by_panels(m.q_columns, m.k_panels, m.panels, a.width, m.scores);
  block_by_panels(m.g_columns, m.v_panels, m.panels, a.width, m.slopes);
  for (int u = 0; u < BLOCK; u++) {
    float *s = m.scores + u * P, *t = m.slopes + u * P;
    if (u < n && lse[u] != INFINITY) {
      slope_row(s, t, m.mask, bias ? bias + u * a.keys : nullptr,
                dbias ? dbias + (i + u) * a.keys : nullptr, add, lse[u], delta[u], m.panels,
                a.keys);
      continue;
    }
    for (int64_t p = 0; p < m.panels; p++) {
      std::memset(s + p * PANEL, 0, sizeof(float) * P);
      std::memset(t + p * PANEL, 0, sizeof(float) * P);
    }
    if (u < n && dbias && !add) std::memset(dbias + (i + u) * a.keys, 0, sizeof(float) * a.keys);
  }
  block_by_rows<false>(m.slopes, m.k_rows, m.panels, m.lanes, m.o);
  for (int u = 0; u < n; u++)
    for (int64_t d = 0; d < a.width; d += W)
      store_some(a.dq + at + u * stride + d, load(m.o + u * m.lanes + d) * a.scale, a.width - d);
  add_transposed(m.scores, m.g_rows, m.panels, m.lanes, m.dv);
  add_transposed(m.slopes, m.q_rows, m.panels, m.lanes, m.dk);
}

// One unit: a head of a bias slot and a chunk of those who share it, in order.
static void attention_backward(const void *job_, int64_t unit, float *scratch) {
  const AttentionJob &job = *static_cast<const AttentionJob *>(job_);
  const PmsAttention &a = *job.args;
  const BiasUsers &shared = job.users;
  const int64_t chunk = unit % shared.chunks, h = unit / shared.chunks % a.heads,
                slot = unit / shared.chunks / a.heads;
  const int64_t first = chunk * shared.users / shared.chunks,
                last = (chunk + 1) * shared.users / shared.chunks;
  Scratch m(a, true, scratch);
  for (int64_t user = first; user < last; user++) {
    int64_t b, r;
    shared.place(slot, user, &b, &r);
    const int64_t at = b * a.k_stride[0] + r * a.k_stride[1] + h * a.k_stride[3];
    float *dbias = nullptr;
    if (a.dbias && chunk == 0)
      dbias = a.dbias + b * a.bias_stride[0] + r * a.bias_stride[1] + h * a.queries * a.keys;
    else if (a.dbias)
      dbias = job.partial +
              (((chunk - 1) * shared.slots + slot) * a.heads + h) * a.queries * a.keys;
    const Present row = present(a, r);
    pack_panels(a.k + at, a.k_stride[2], row, a.keys, a.width, m.k_panels);
    pack_panels(a.v + at, a.k_stride[2], row, a.keys, a.width, m.v_panels);
    pack_rows(a.k + at, a.k_stride[2], a.keys, m.keys, a.width, m.lanes, m.k_rows);
    pack_mask(a, b, r, m.keys, m.mask);
    std::memset(m.dk, 0, sizeof(float) * m.keys * m.lanes);
    std::memset(m.dv, 0, sizeof(float) * m.keys * m.lanes);
    for (int64_t i = 0; i < a.queries; i += BLOCK)
      backward_block(a, m, b, r, h, i, dbias, user > first);
    for (int64_t j = 0; j < a.keys; j++)
      for (int64_t d = 0; d < a.width; d += W) {
        const int64_t to = at + j * a.k_stride[2] + d;
        store_some(a.dk + to, load(m.dk + j * m.lanes + d) * a.scale, a.width - d);
        store_some(a.dv + to, load(m.dv + j * m.lanes + d), a.width - d);
      }
  }
}

// Adds the chunks' parts of one head of one bias slot to the first, in order.
static void attention_reduce(const void *job_, int64_t unit, float *) {
  const AttentionJob &job = *static_cast<const AttentionJob *>(job_);
  const PmsAttention &a = *job.args;
  const int64_t h = unit % a.heads, slot = unit / a.heads, size = a.queries * a.keys;
  int64_t b, r;
  job.users.place(slot, 0, &b, &r);
  float *to = a.dbias + b * a.bias_stride[0] + r * a.bias_stride[1] + h * size;
  for (int64_t chunk = 1; chunk < job.users.chunks; chunk++) {
    const float *part = job.partial + (((chunk - 1) * job.users.slots + slot) * a.heads + h) * size;
    for (int64_t i = 0; i < size; i++) to[i] += part[i];
  }
}

}  // namespace PMS_ISA
}  // namespace pms
