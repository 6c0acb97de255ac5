// SPDX-License-Identifier: Apache-2.0
// MindSpore's calling convention for compiled operators (ops.Custom, func_type "aot"): pointers,
// ranks, shapes and dtype names of all inputs, then all outputs. An absent input is a tensor of
// rank 1; settings travel as a small float32 tensor. A non-zero return is raised by MindSpore.
#include <string.h>

#include "kernels.h"

namespace {

struct Call {
  int count;
  void **data;
  int *ranks;
  int64_t **shapes;
  const char **dtypes;
  const float *f(int i) const { return static_cast<const float *>(data[i]); }
  float *to(int i) const { return static_cast<float *>(data[i]); }
  bool present(int i) const { return ranks[i] > 1; }
  // Right number of arguments, and every one float32 but a mask, which may be boolean.
  bool valid(int expected, int mask = -1) const {
    if (count != expected) return false;
    for (int i = 0; i < count; i++)
      if (strcmp(dtypes[i], "float32") != 0 && (i != mask || strcmp(dtypes[i], "bool") != 0))
        return false;
    return true;
  }
};

void contiguous(const int64_t *shape, bool ending, int64_t stride[4]) {
  const int64_t head = shape[4], token = shape[3] * head;
  stride[3] = head;
  stride[ending ? 1 : 2] = token;            // the third axis of the buffer
  stride[ending ? 2 : 1] = shape[2] * token; // the second
  stride[0] = shape[1] * shape[2] * token;
}

void shared(const int64_t *shape, int64_t size, int64_t stride[2]) {
  stride[1] = shape[1] == 1 ? 0 : size;
  stride[0] = shape[0] == 1 ? 0 : shape[1] * size;
}

bool same(const Call &call, int i, int j) {
  if (call.ranks[i] != call.ranks[j]) return false;
  for (int d = 0; d < call.ranks[i]; d++)
    if (call.shapes[i][d] != call.shapes[j][d]) return false;
  return true;
}

// Whether input i is [1 or batch, 1 or rows, *rest].
bool shared_by(const Call &call, int i, const PmsAttention &a, const int64_t *rest, int count) {
  const int64_t *shape = call.shapes[i];
  if (call.ranks[i] != 2 + count) return false;
  for (int d = 0; d < count; d++)
    if (shape[2 + d] != rest[d]) return false;
  return (shape[0] == 1 || shape[0] == a.batch) && (shape[1] == 1 || shape[1] == a.rows);
}

// Inputs 0-6: q, k, v [b, r, s, h, d] (the ending node: [b, s, r, h, d]), bias [b', r', h, q, k],
// mask [b', r', k], gate as q, settings (scale, threads, ending).
bool read_attention(const Call &call, PmsAttention *a) {
  if (call.ranks[0] != 5 || call.ranks[1] != 5 || !same(call, 1, 2)) return false;
  const int64_t *q = call.shapes[0], *k = call.shapes[1];
  const float *settings = call.f(6);
  const bool ending = settings[2] != 0.f;
  a->scale = settings[0];
  a->batch = q[0];
  a->rows = q[ending ? 2 : 1];
  a->queries = q[ending ? 1 : 2];
  a->keys = k[ending ? 1 : 2];
  a->heads = q[3];
  a->width = q[4];
  if (k[0] != a->batch || k[ending ? 2 : 1] != a->rows || k[3] != q[3] || k[4] != q[4])
    return false;
  const int64_t logits[3] = {a->heads, a->queries, a->keys};
  if (call.present(3) && !shared_by(call, 3, *a, logits, 3)) return false;
  if (call.present(4) && !shared_by(call, 4, *a, &a->keys, 1)) return false;
  if (call.present(5) && !same(call, 0, 5)) return false;
  contiguous(q, ending, a->q_stride);
  contiguous(k, ending, a->k_stride);
  a->q = call.f(0);
  a->k = call.f(1);
  a->v = call.f(2);
  if (call.present(3)) {
    a->bias = call.f(3);
    shared(call.shapes[3], a->heads * a->queries * a->keys, a->bias_stride);
  }
  if (call.present(4)) {
    if (strcmp(call.dtypes[4], "float32") == 0) a->mask = call.f(4);
    else a->keep = static_cast<const uint8_t *>(call.data[4]);
    shared(call.shapes[4], a->keys, a->mask_stride);
  }
  if (call.present(5)) a->gate = call.f(5);
  return true;
}

}  // namespace

// Outputs: out as q, lse [b, r, h, q].
PMS_API int pms_ms_attention(int count, void **data, int *ranks, int64_t **shapes,
                             const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsAttention a = {};
  if (!call.valid(9, 4) || !read_attention(call, &a)) return PMS_BAD_ARGUMENT;
  a.out = call.to(7);
  a.lse = call.to(8);
  return pms_attention_forward(&a, PMS_AUTO, static_cast<int>(call.f(6)[1]));
}

// q, k, v, gate [b, tokens, h, d], bias [w, h, queries, keys], settings (scale, threads, unused):
// attention within windows of `queries` tokens and the keys around them. Output as q.
PMS_API int pms_ms_window_attention(int count, void **data, int *ranks, int64_t **shapes,
                                    const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  if (!call.valid(7) || ranks[0] != 4 || ranks[4] != 4) return PMS_BAD_ARGUMENT;
  for (int i = 1; i < 4; i++)
    if (!same(call, 0, i)) return PMS_BAD_ARGUMENT;
  const int64_t *q = shapes[0], *bias = shapes[4];
  PmsAttention a = {};
  a.batch = q[0];
  a.tokens = q[1];
  a.heads = q[2];
  a.width = q[3];
  a.rows = bias[0];
  a.queries = bias[2];
  a.keys = bias[3];
  if (bias[1] != a.heads || a.queries <= 0 || a.keys < a.queries || a.tokens <= 0 ||
      a.rows != (a.tokens + a.queries - 1) / a.queries)
    return PMS_BAD_ARGUMENT;
  a.window_left = (a.keys - a.queries) / 2;
  const int64_t token = a.heads * a.width;
  const int64_t strides[4] = {a.tokens * token, a.queries * token, token, a.width};
  memcpy(a.q_stride, strides, sizeof(strides));
  memcpy(a.k_stride, strides, sizeof(strides));
  a.bias_stride[1] = a.heads * a.queries * a.keys;
  a.q = call.f(0);
  a.k = call.f(1);
  a.v = call.f(2);
  a.gate = call.f(3);
  a.bias = call.f(4);
  a.scale = call.f(5)[0];
  a.out = call.to(6);
  return pms_attention_forward(&a, PMS_AUTO, static_cast<int>(call.f(5)[1]));
}

// Inputs as of `attention`, then out, lse, dout. Outputs: gradients of inputs 0-3 and 5, which are
// untouched ones of rank 1 where the input is absent.
PMS_API int pms_ms_attention_grad(int count, void **data, int *ranks, int64_t **shapes,
                                  const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsAttention a = {};
  if (!call.valid(15, 4) || !read_attention(call, &a)) return PMS_BAD_ARGUMENT;
  a.out = call.to(7);
  a.lse = call.to(8);
  a.dout = call.f(9);
  a.dq = call.to(10);
  a.dk = call.to(11);
  a.dv = call.to(12);
  if (a.bias) a.dbias = call.to(13);
  else call.to(13)[0] = 0.f;
  if (a.gate) a.dgate = call.to(14);
  else call.to(14)[0] = 0.f;
  return pms_attention_backward(&a, PMS_AUTO, static_cast<int>(call.f(6)[1]));
}

namespace {

// Inputs 0-3: x, weight, bias [channels], settings (epsilon, threads, channel_first). Channels are
// x's last axis; with channel_first x is [channels, count], and the output [count, channels].
bool read_layer_norm(const Call &call, PmsLayerNorm *a, int *threads) {
  const int rank = call.ranks[0];
  if (rank < 1) return false;
  const float *settings = call.f(3);
  int64_t size = 1;
  for (int i = 0; i < rank; i++) size *= call.shapes[0][i];
  a->channel_first = settings[2] != 0.f;
  a->channels = call.shapes[0][a->channel_first ? 0 : rank - 1];
  a->count = a->channels ? size / a->channels : 0;
  a->epsilon = settings[0];
  *threads = static_cast<int>(settings[1]);
  a->x = call.f(0);
  a->weight = call.f(1);
  a->bias = call.f(2);
  return call.shapes[1][0] == a->channels && call.shapes[2][0] == a->channels;
}

}  // namespace

PMS_API int pms_ms_layer_norm(int count, void **data, int *ranks, int64_t **shapes,
                              const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsLayerNorm a = {};
  int threads;
  if (!call.valid(5) || !read_layer_norm(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.y = call.to(4);
  return pms_layer_norm_forward(&a, PMS_AUTO, threads);
}

// Inputs as above, then dy. Outputs: dx, dweight, dbias.
PMS_API int pms_ms_layer_norm_grad(int count, void **data, int *ranks, int64_t **shapes,
                                   const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsLayerNorm a = {};
  int threads;
  if (!call.valid(8) || !read_layer_norm(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.dy = call.f(4);
  a.dx = call.to(5);
  a.dweight = call.to(6);
  a.dbias = call.to(7);
  return pms_layer_norm_backward(&a, PMS_AUTO, threads);
}

namespace {

// Inputs 0-2: x, gate of one shape, settings (unused, threads, swish).
bool read_gate(const Call &call, PmsGate *a, int *threads) {
  if (!same(call, 0, 1)) return false;
  a->size = 1;
  for (int i = 0; i < call.ranks[0]; i++) a->size *= call.shapes[0][i];
  a->x = call.f(0);
  a->gate = call.f(1);
  *threads = static_cast<int>(call.f(2)[1]);
  a->swish = call.f(2)[2] != 0.f;
  return true;
}

}  // namespace

PMS_API int pms_ms_gate(int count, void **data, int *ranks, int64_t **shapes,
                        const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsGate a = {};
  int threads;
  if (!call.valid(4) || !read_gate(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.y = call.to(3);
  return pms_gate_forward(&a, PMS_AUTO, threads);
}

// Inputs as above, then dy. Outputs: dx, dgate.
PMS_API int pms_ms_gate_grad(int count, void **data, int *ranks, int64_t **shapes,
                             const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsGate a = {};
  int threads;
  if (!call.valid(6) || !read_gate(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.dy = call.f(3);
  a.dx = call.to(4);
  a.dgate = call.to(5);
  return pms_gate_backward(&a, PMS_AUTO, threads);
}

// Inputs 0-2: left [n, c], right [m, c], settings (unused, threads, unused).
static bool read_outer_sum(const Call &call, PmsOuterSum *a, int *threads) {
  if (call.ranks[0] != 2 || call.ranks[1] != 2 || call.shapes[0][1] != call.shapes[1][1])
    return false;
  a->rows = call.shapes[0][0];
  a->columns = call.shapes[1][0];
  a->channels = call.shapes[0][1];
  a->left = call.f(0);
  a->right = call.f(1);
  *threads = static_cast<int>(call.f(2)[1]);
  return true;
}

PMS_API int pms_ms_outer_sum(int count, void **data, int *ranks, int64_t **shapes,
                             const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsOuterSum a = {};
  int threads;
  if (!call.valid(4) || !read_outer_sum(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.y = call.to(3);
  return pms_outer_sum_forward(&a, PMS_AUTO, threads);
}

// Inputs as above, then dy. Outputs: dleft, dright.
PMS_API int pms_ms_outer_sum_grad(int count, void **data, int *ranks, int64_t **shapes,
                                  const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsOuterSum a = {};
  int threads;
  if (!call.valid(6) || !read_outer_sum(call, &a, &threads)) return PMS_BAD_ARGUMENT;
  a.dy = call.f(3);
  a.dleft = call.to(4);
  a.dright = call.to(5);
  return pms_outer_sum_backward(&a, PMS_AUTO, threads);
}

namespace {

// Whether i is [length], or [rows, depth], or holds so many numbers.
bool vector(const Call &call, int i, int64_t length) {
  return call.ranks[i] == 1 && call.shapes[i][0] == length;
}
bool matrix(const Call &call, int i, int64_t rows, int64_t depth) {
  return call.ranks[i] == 2 && call.shapes[i][0] == rows && call.shapes[i][1] == depth;
}
bool holds(const Call &call, int i, int64_t size) {
  for (int d = 0; d < call.ranks[i]; d++) {
    const int64_t length = call.shapes[i][d];
    if (length == 0 || size % length) return size == 0;
    size /= length;
  }
  return size == 1;
}

constexpr int SETTINGS = 3;  // numbers of a settings tensor

int threads_of(const Call &call, int settings) {
  return static_cast<int>(call.f(settings)[1]);
}

// Whether output i is as x, the first input, or two numbers that stand for it: then x itself is
// written over, and they are its address, since MindSpore hands over a copy of some tensors.
bool stands_for_first(const Call &call, int i) { return vector(call, i, 2); }
bool follows(const Call &call, int i) { return same(call, 0, i) || stands_for_first(call, i); }
float *successor(const Call &call, int i) {
  if (!stands_for_first(call, i)) return call.to(i);
  static_assert(sizeof(void *) == 2 * sizeof(float), "an address takes two numbers");
  memcpy(call.data[i], &call.data[0], sizeof(void *));
  return call.to(0);
}

// Inputs of a whole layer: x [*, channels], norm weight and bias, what `extra` counts, `weights`
// matrices, settings (epsilon, threads, ending). Then `outputs`.
bool read_pair_layer(const Call &call, int extra, int weights, int outputs, PmsPairLayer *a) {
  const int last = 3 + extra + weights, rank = call.count ? call.ranks[0] : 0;
  if (!call.valid(last + 1 + outputs) || rank < 2 || !vector(call, last, SETTINGS)) return false;
  a->channels = call.shapes[0][rank - 1];
  a->count = 1;
  for (int i = 0; i < rank - 1; i++) a->count *= call.shapes[0][i];
  a->x = call.f(0);
  const float *settings = call.f(last);
  a->norm = {call.f(1), call.f(2), settings[0]};
  if (!vector(call, 1, a->channels) || !vector(call, 2, a->channels)) return false;
  for (int i = 0; i < weights; i++) {
    if (call.ranks[3 + extra + i] != 2) return false;
    a->weights[i] = call.f(3 + extra + i);
  }
  a->hidden = call.shapes[3 + extra][0];
  a->ending = settings[2] != 0.f;
  a->y = successor(call, last + 1);
  if (outputs > 1) a->y2 = call.to(last + 2);
  return true;
}

}  // namespace

// x, norm, norm, W. Output [hidden, count].
PMS_API int pms_ms_projection(int count, void **data, int *ranks, int64_t **shapes,
                              const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsPairLayer a = {};
  if (!read_pair_layer(call, 0, 1, 1, &a) || !matrix(call, 3, a.hidden, a.channels) ||
      !matrix(call, 5, a.hidden, a.count))
    return PMS_BAD_ARGUMENT;
  a.kind = PMS_PROJECTION;
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 4));
}

// x [m, channels], W, offset [hidden] or [1] for none, settings. Output [m, hidden].
PMS_API int pms_ms_linear(int count, void **data, int *ranks, int64_t **shapes,
                          const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  if (!call.valid(5) || ranks[0] != 2 || ranks[1] != 2 || !vector(call, 3, SETTINGS))
    return PMS_BAD_ARGUMENT;
  PmsPairLayer a = {};
  a.kind = PMS_LINEAR;
  a.count = shapes[0][0];
  a.channels = shapes[0][1];
  a.hidden = shapes[1][0];
  const bool offset = vector(call, 2, a.hidden);
  if (!matrix(call, 1, a.hidden, a.channels) || !(offset || vector(call, 2, 1)) ||
      !matrix(call, 4, a.count, a.hidden))
    return PMS_BAD_ARGUMENT;
  a.x = call.f(0);
  a.weights[0] = call.f(1);
  a.bias = offset ? call.f(2) : nullptr;
  a.y = call.to(4);
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 3));
}

// x, norm, norm, gate, value, output. Output as x.
PMS_API int pms_ms_transition(int count, void **data, int *ranks, int64_t **shapes,
                              const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsPairLayer a = {};
  if (!read_pair_layer(call, 0, 3, 1, &a) || !matrix(call, 3, a.hidden, a.channels) ||
      !matrix(call, 4, a.hidden, a.channels) || !matrix(call, 5, a.channels, a.hidden) ||
      !follows(call, 7))
    return PMS_BAD_ARGUMENT;
  a.kind = PMS_TRANSITION;
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 6));
}

// x, norm, norm, value and gate of a, value and gate of b. Outputs a, b [hidden, count].
PMS_API int pms_ms_edges(int count, void **data, int *ranks, int64_t **shapes,
                         const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsPairLayer a = {};
  if (!read_pair_layer(call, 0, 4, 2, &a)) return PMS_BAD_ARGUMENT;
  for (int i = 3; i < 7; i++)
    if (!matrix(call, i, a.hidden, a.channels)) return PMS_BAD_ARGUMENT;
  if (!holds(call, 8, a.hidden * a.count) || !same(call, 8, 9)) return PMS_BAD_ARGUMENT;
  a.kind = PMS_EDGES;
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 7));
}

// x, norm, norm, product [hidden, n, n], its norm, its norm, output, gate. Output as x.
PMS_API int pms_ms_gated_output(int count, void **data, int *ranks, int64_t **shapes,
                                const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsPairLayer a = {};
  if (!read_pair_layer(call, 3, 2, 1, &a) || ranks[3] != 3) return PMS_BAD_ARGUMENT;
  a.hidden = shapes[3][0];
  if (!holds(call, 3, a.hidden * a.count) || !vector(call, 4, a.hidden) ||
      !vector(call, 5, a.hidden) || !matrix(call, 6, a.channels, a.hidden) ||
      !matrix(call, 7, a.channels, a.channels) || !follows(call, 9))
    return PMS_BAD_ARGUMENT;
  a.kind = PMS_GATED_OUTPUT;
  a.x2 = call.f(3);
  a.norm2 = {call.f(4), call.f(5), a.norm.epsilon};
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 8));
}

// x [n, n, channels], norm, norm, bias [heads, n, n], q, k, v, gate, output. Output as x.
PMS_API int pms_ms_triangle_attention(int count, void **data, int *ranks, int64_t **shapes,
                                      const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsPairLayer a = {};
  if (!read_pair_layer(call, 1, 5, 1, &a) || ranks[0] != 3 || ranks[3] != 3)
    return PMS_BAD_ARGUMENT;
  a.tokens = shapes[0][0];
  a.heads = shapes[3][0];
  if (shapes[3][1] != a.tokens || shapes[3][2] != a.tokens || a.heads <= 0)
    return PMS_BAD_ARGUMENT;
  for (int i = 4; i < 8; i++)
    if (!matrix(call, i, a.hidden, a.channels)) return PMS_BAD_ARGUMENT;
  if (!matrix(call, 8, a.channels, a.hidden) || !follows(call, 10)) return PMS_BAD_ARGUMENT;
  a.kind = PMS_TRIANGLE_ATTENTION;
  a.bias = call.f(3);
  a.scale = 1.f / __builtin_sqrtf(static_cast<float>(a.hidden / a.heads));
  return pms_pair_layer(&a, PMS_AUTO, threads_of(call, 9));
}

namespace {

// a [batch, rows, depth] and b [batch, depth, columns], or without a batch, each with its last two
// axes in turn where it is `turned`; settings (unused, threads, unused). Output [batch, rows,
// columns].
int product(const Call &call, bool turned_a, bool turned_b) {
  const int rank = call.ranks[0], last = rank - 1, row = rank - 2;
  if (!call.valid(4) || (rank != 2 && rank != 3) || call.ranks[1] != rank ||
      call.ranks[3] != rank || !vector(call, 2, SETTINGS))
    return PMS_BAD_ARGUMENT;
  const int64_t *a = call.shapes[0], *b = call.shapes[1], *y = call.shapes[3];
  const int64_t batch = rank == 3 ? a[0] : 1;
  const PmsProduct p = {call.f(0), call.f(1), call.to(3), batch, a[turned_a ? last : row],
                        b[turned_b ? row : last], a[turned_a ? row : last], turned_a, turned_b};
  const bool fits = (rank == 2 || (b[0] == batch && y[0] == batch)) && y[row] == p.rows &&
                    y[last] == p.columns && b[turned_b ? last : row] == p.depth;
  return fits ? pms_product(&p, PMS_AUTO, threads_of(call, 2)) : PMS_BAD_ARGUMENT;
}

}  // namespace

#define PMS_MS_PRODUCT(NAME, TURNED_A, TURNED_B)                                            \
  PMS_API int NAME(int count, void **data, int *ranks, int64_t **shapes, const char **dtypes, \
                   void *, void *) {                                                        \
    return product({count, data, ranks, shapes, dtypes}, TURNED_A, TURNED_B);               \
  }
PMS_MS_PRODUCT(pms_ms_product, false, false)
PMS_MS_PRODUCT(pms_ms_product_turned_b, false, true)
PMS_MS_PRODUCT(pms_ms_product_turned_a, true, false)
PMS_MS_PRODUCT(pms_ms_product_turned_both, true, true)
#undef PMS_MS_PRODUCT

// x [n, n, c], left [rows, n, h], right [h, rows, n], W [c, h^2], bias [c], settings (scale,
// threads, unused). Output as x.
PMS_API int pms_ms_outer_product(int count, void **data, int *ranks, int64_t **shapes,
                                 const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  if (!call.valid(7) || ranks[0] != 3 || ranks[1] != 3 || ranks[2] != 3 ||
      !vector(call, 5, SETTINGS))
    return PMS_BAD_ARGUMENT;
  const PmsOuterProduct a = {call.f(0), call.f(1), call.f(2), call.f(3), call.f(4), successor(call, 6),
                             shapes[1][0], shapes[0][0], shapes[1][2], shapes[0][2],
                             call.f(5)[0]};
  const bool fits = shapes[0][1] == a.tokens && shapes[1][1] == a.tokens &&
                    shapes[2][0] == a.hidden && shapes[2][1] == a.rows &&
                    shapes[2][2] == a.tokens && matrix(call, 3, a.channels, a.hidden * a.hidden) &&
                    vector(call, 4, a.channels) && follows(call, 6);
  return fits ? pms_outer_product(&a, PMS_AUTO, threads_of(call, 5)) : PMS_BAD_ARGUMENT;
}

namespace {

// Inputs of a conditioned layer: x [b, n, channels], then `shared` arrays of conditioning
// [1 or b, n, channels].
bool read_conditioned(const Call &call, int shared, PmsConditioned *a) {
  if (call.ranks[0] != 3) return false;
  const int64_t *shape = call.shapes[0];
  a->x = call.f(0);
  a->count = shape[0] * shape[1];
  a->channels = shape[2];
  for (int i = 1; i <= shared; i++) {
    const int64_t *s = call.shapes[i];
    if (call.ranks[i] != 3 || !same(call, i, 1) || (s[0] != 1 && s[0] != shape[0]) ||
        s[1] != shape[1] || s[2] != shape[2])
      return false;
    a->shared = s[0] * s[1];
  }
  return true;
}

}  // namespace

// x, scale, shift, scale2, shift2 (the first two once more for none), query, key, value, gate
// [c, c], query's offset [c], settings (epsilon, threads, second scale). Outputs four as x.
PMS_API int pms_ms_qkvg(int count, void **data, int *ranks, int64_t **shapes,
                        const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsConditioned a = {};
  if (!call.valid(15) || !read_conditioned(call, 4, &a) || !vector(call, 9, a.channels) ||
      !vector(call, 10, SETTINGS))
    return PMS_BAD_ARGUMENT;
  for (int i = 0; i < 4; i++) {
    if (!matrix(call, 5 + i, a.channels, a.channels) || !same(call, 0, 11 + i))
      return PMS_BAD_ARGUMENT;
    a.weights[i] = call.f(5 + i);
    a.y[i] = call.to(11 + i);
  }
  a.kind = PMS_QKVG;
  a.scale = call.f(1);
  a.shift = call.f(2);
  if (call.f(10)[2] != 0.f) {
    a.scale2 = call.f(3);
    a.shift2 = call.f(4);
  }
  a.bias = call.f(9);
  a.epsilon = call.f(10)[0];
  return pms_conditioned(&a, PMS_AUTO, threads_of(call, 10));
}

// x, gate, o [b, n, h], W [c, h], settings (unused, threads, unused). Output as x.
PMS_API int pms_ms_attended(int count, void **data, int *ranks, int64_t **shapes,
                            const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsConditioned a = {};
  if (!call.valid(6) || !read_conditioned(call, 1, &a) || ranks[2] != 3 ||
      shapes[2][0] != shapes[0][0] || shapes[2][1] != shapes[0][1] ||
      !matrix(call, 3, a.channels, shapes[2][2]) || !vector(call, 4, SETTINGS) ||
      !same(call, 0, 5))
    return PMS_BAD_ARGUMENT;
  a.kind = PMS_ATTENDED;
  a.gate = call.f(1);
  a.o = call.f(2);
  a.hidden = shapes[2][2];
  a.weights[0] = call.f(3);
  a.y[0] = call.to(5);
  return pms_conditioned(&a, PMS_AUTO, threads_of(call, 4));
}

// x, scale, shift, gate, gate's and value's W [h, c], output's [c, h], settings (epsilon, threads,
// unused). Output as x.
PMS_API int pms_ms_conditioned_transition(int count, void **data, int *ranks, int64_t **shapes,
                                          const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  PmsConditioned a = {};
  if (!call.valid(9) || !read_conditioned(call, 3, &a) || ranks[4] != 2) return PMS_BAD_ARGUMENT;
  a.hidden = shapes[4][0];
  if (!matrix(call, 4, a.hidden, a.channels) || !matrix(call, 5, a.hidden, a.channels) ||
      !matrix(call, 6, a.channels, a.hidden) || !vector(call, 7, SETTINGS) || !same(call, 0, 8))
    return PMS_BAD_ARGUMENT;
  a.kind = PMS_CONDITIONED_TRANSITION;
  a.scale = call.f(1);
  a.shift = call.f(2);
  a.gate = call.f(3);
  for (int i = 0; i < 3; i++) a.weights[i] = call.f(4 + i);
  a.y[0] = call.to(8);
  a.epsilon = call.f(7)[0];
  return pms_conditioned(&a, PMS_AUTO, threads_of(call, 7));
}

// x [b, a, 3], known [a, 3], resolved [a], reach [a], settings (unused, threads, unused). Outputs
// score [b, a], gradient as x, pairs [a].
PMS_API int pms_ms_smooth_lddt(int count, void **data, int *ranks, int64_t **shapes,
                               const char **dtypes, void *, void *) {
  const Call call = {count, data, ranks, shapes, dtypes};
  if (!call.valid(8) || ranks[0] != 3 || shapes[0][2] != 3) return PMS_BAD_ARGUMENT;
  const int64_t a = shapes[0][1];
  if (!matrix(call, 1, a, 3) || !vector(call, 2, a) || !vector(call, 3, a) ||
      !vector(call, 4, SETTINGS) || !holds(call, 5, shapes[0][0] * a) || !same(call, 0, 6) ||
      !vector(call, 7, a))
    return PMS_BAD_ARGUMENT;
  const PmsSmoothLddt args = {call.f(0), call.f(1), call.f(2), call.f(3), call.to(5), call.to(6),
                              call.to(7), shapes[0][0], a};
  return pms_smooth_lddt(&args, PMS_AUTO, threads_of(call, 4));
}
