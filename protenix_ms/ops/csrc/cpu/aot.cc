// SPDX-License-Identifier: Apache-2.0
// The kernels as operators of MindSpore (ops.Custom, func_type "aot").
//
// MindSpore calls `pms_ms_<name>` with pointers, ranks, shapes and dtype names of all inputs, then
// of all outputs; it raises an error for any other return value than 0. Each operator below is a
// signature, which every call has to match, and the arguments of its kernel.
#include <string.h>

#include "kernels.h"

namespace {

// A signature lists inputs, "->" and outputs, one letter an axis: "nc mc s -> nmc".
//   a lower-case letter  an extent, the same wherever the letter stands
//   an upper-case letter 1, or the extent of the lower-case letter, which stands before it
//   a digit              that extent
//   *                    any number of leading axes; the same product wherever it stands
//   s                    alone: the settings, three numbers: scale or epsilon, threads, flag
//   &                    alone: the shape of the first input, or two numbers, see `out`
// Before the axes:
//   ?                    may be absent: a tensor of rank 1
//   ~                    float32 or boolean; all others are float32
//   =                    as many numbers as these axes have, in any shape
// Of two signatures the second is for calls whose flag is set.
class Call {
 public:
  Call(int count, void **data, int *ranks, int64_t **shapes, const char **dtypes)
      : count_(count), data_(data), ranks_(ranks), shapes_(shapes), dtypes_(dtypes) {}

  bool matches(const char *const *signatures, int many) {
    for (int64_t &extent : extents_) extent = -1;
    settings_ = nullptr;
    const char *text = signatures[0];
    for (int i = 0; next_term(&text, i); i++)
      if (text[0] == 's' && (text[1] == ' ' || !text[1])) {
        if (i >= count_ || ranks_[i] != 1 || shapes_[i][0] != 3 || !is(i, "float32")) return false;
        settings_ = f(i);
      }
    if (!settings_) return false;
    text = signatures[many > 1 && flag()];
    int i = 0;
    for (; next_term(&text, i); i++)
      if (i >= count_ || !tensor_matches(i, text)) return false;
    return i == count_;
  }

  int64_t operator[](char letter) const { return extents_[static_cast<int>(letter)]; }
  const float *f(int i) const { return static_cast<const float *>(data_[i]); }
  const uint8_t *bytes(int i) const { return static_cast<const uint8_t *>(data_[i]); }
  bool is(int i, const char *dtype) const { return strcmp(dtypes_[i], dtype) == 0; }
  bool present(int i) const { return ranks_[i] > 1; }
  int rank(int i) const { return ranks_[i]; }
  const int64_t *shape(int i) const { return shapes_[i]; }
  float number() const { return settings_[0]; }
  int threads() const { return static_cast<int>(settings_[1]); }
  bool flag() const { return settings_[2] != 0.f; }

  // Output i. Where two numbers stand for it, the first input is written over, and they are its
  // address: MindSpore hands over a copy of some tensors, and Python has to know.
  float *out(int i) const {
    void *to = data_[outputs_ + i];
    if (!over_ || i) return static_cast<float *>(to);
    static_assert(sizeof(void *) == 2 * sizeof(float), "an address takes two numbers");
    memcpy(to, &data_[0], sizeof(void *));
    return static_cast<float *>(data_[0]);
  }

 private:
  // Moves to the term of tensor i; the first call moves to the first one.
  bool next_term(const char **text, int i) {
    const char *at = *text;
    if (i)
      while (*at && *at != ' ') at++;
    while (*at == ' ') at++;
    if (*at == '-') {
      outputs_ = i;
      at += 3;
    }
    *text = at;
    return *at != 0;
  }

  bool same_shape(int i, int j) const {
    return ranks_[i] == ranks_[j] && !memcmp(shapes_[i], shapes_[j], sizeof(int64_t) * ranks_[i]);
  }

  bool extent_matches(char axis, int64_t extent) {
    if (axis >= '0' && axis <= '9') return extent == axis - '0';
    if (axis >= 'A' && axis <= 'Z') return extent == 1 || extent == (*this)[axis - 'A' + 'a'];
    int64_t &known = extents_[static_cast<int>(axis)];
    if (known < 0) known = extent;
    return known == extent;
  }

  bool tensor_matches(int i, const char *term) {
    const int rank = ranks_[i];
    const int64_t *shape = shapes_[i];
    if (*term == '?' && rank == 1) return is(i, "float32");
    if (*term == '?') term++;
    const bool boolean = *term == '~' && is(i, "bool");
    if (*term == '~') term++;
    if (!boolean && !is(i, "float32")) return false;
    if (*term == 's' && (term[1] == ' ' || !term[1])) return f(i) == settings_;
    if (*term == '&') {
      over_ = !same_shape(0, i);
      return !over_ || (rank == 1 && shape[0] == 2);
    }
    int64_t size = 1, wanted = 1;
    if (*term == '=') {
      for (int d = 0; d < rank; d++) size *= shape[d];
      while (*++term && *term != ' ') wanted *= (*this)[*term];
      return size == wanted;
    }
    int axes = 0, d = 0;
    while (term[axes] && term[axes] != ' ') axes++;
    if (*term == '*') {
      for (; d < rank - axes + 1; d++) size *= shape[d];
      if (rank < axes - 1 || !extent_matches('*', size)) return false;
      term++;
    } else if (rank != axes) {
      return false;
    }
    for (; d < rank; d++, term++)
      if (!extent_matches(*term, shape[d])) return false;
    return true;
  }

  int count_;
  void **data_;
  int *ranks_;
  int64_t **shapes_;
  const char **dtypes_;
  int64_t extents_[128];  // by letter, -1 where it is not known
  const float *settings_ = nullptr;
  int outputs_ = 0;
  bool over_ = false;
};

}  // namespace

// Defines the operator NAME with its signature, or two; the body sees the matching `call`.
#define PMS_OPERATOR(NAME, ...)                                                                  \
  static int NAME(const Call &call);                                                             \
  PMS_API int pms_ms_##NAME(int count, void **data, int *ranks, int64_t **shapes,                \
                            const char **dtypes, void *, void *) {                               \
    static const char *const signatures[] = {__VA_ARGS__};                                       \
    Call call(count, data, ranks, shapes, dtypes);                                               \
    const bool fits = call.matches(signatures, sizeof(signatures) / sizeof(signatures[0]));      \
    return fits ? NAME(call) : PMS_BAD_ARGUMENT;                                                 \
  }                                                                                              \
  static int NAME(const Call &call)

namespace {

// Element strides of [batch, row, token, head], of a buffer whose second and third axes change
// places for an ending node.
void strides(const int64_t *shape, bool ending, int64_t stride[4]) {
  const int64_t token = shape[3] * shape[4];
  stride[0] = shape[1] * shape[2] * token;
  stride[ending ? 2 : 1] = shape[2] * token;
  stride[ending ? 1 : 2] = token;
  stride[3] = shape[4];
}

void shared_strides(const int64_t *shape, int64_t size, int64_t stride[2]) {
  stride[0] = shape[0] == 1 ? 0 : shape[1] * size;
  stride[1] = shape[1] == 1 ? 0 : size;
}

PmsAttention attention_arguments(const Call &call) {
  PmsAttention a = {};
  a.q = call.f(0);
  a.k = call.f(1);
  a.v = call.f(2);
  a.scale = call.number();
  a.batch = call['b'];
  a.rows = call['r'];
  a.heads = call['h'];
  a.queries = call['q'];
  a.keys = call['k'];
  a.width = call['d'];
  strides(call.shape(0), call.flag(), a.q_stride);
  strides(call.shape(1), call.flag(), a.k_stride);
  if (call.present(3)) {
    a.bias = call.f(3);
    shared_strides(call.shape(3), a.heads * a.queries * a.keys, a.bias_stride);
  }
  if (call.present(4)) {
    if (call.is(4, "bool")) a.keep = call.bytes(4);
    else a.mask = call.f(4);
    shared_strides(call.shape(4), a.keys, a.mask_stride);
  }
  if (call.present(5)) a.gate = call.f(5);
  return a;
}

}  // namespace

// q, k, v, bias, mask, gate -> output, log-sum-exp [batch, row, head, query].
PMS_OPERATOR(attention, "brqhd brkhd brkhd ?BRhqk ?~BRk ?brqhd s -> brqhd =brhq",
             "bqrhd bkrhd bkrhd ?BRhqk ?~BRk ?bqrhd s -> bqrhd =brhq") {
  PmsAttention a = attention_arguments(call);
  a.out = call.out(0);
  a.lse = call.out(1);
  return pms_attention_forward(&a, PMS_AUTO, call.threads());
}

// As above, then output, log-sum-exp, gradient of the output -> gradients of q, k, v, bias, gate.
PMS_OPERATOR(attention_grad,
             "brqhd brkhd brkhd ?BRhqk ?~BRk ?brqhd s brqhd =brhq brqhd -> "
             "brqhd brkhd brkhd ?BRhqk ?brqhd",
             "bqrhd bkrhd bkrhd ?BRhqk ?~BRk ?bqrhd s bqrhd =brhq bqrhd -> "
             "bqrhd bkrhd bkrhd ?BRhqk ?bqrhd") {
  PmsAttention a = attention_arguments(call);
  a.out = const_cast<float *>(call.f(7));
  a.lse = const_cast<float *>(call.f(8));
  a.dout = call.f(9);
  a.dq = call.out(0);
  a.dk = call.out(1);
  a.dv = call.out(2);
  if (a.bias) a.dbias = call.out(3);
  else call.out(3)[0] = 0.f;
  if (a.gate) a.dgate = call.out(4);
  else call.out(4)[0] = 0.f;
  return pms_attention_backward(&a, PMS_AUTO, call.threads());
}

// q, k, v, gate, bias: window w has the q tokens from w * q on and the k around them.
PMS_OPERATOR(window_attention, "bthd bthd bthd bthd whqk s -> bthd") {
  PmsAttention a = {};
  a.batch = call['b'];
  a.tokens = call['t'];
  a.heads = call['h'];
  a.width = call['d'];
  a.rows = call['w'];
  a.queries = call['q'];
  a.keys = call['k'];
  if (a.queries <= 0 || a.keys < a.queries || a.tokens <= 0 ||
      a.rows != (a.tokens + a.queries - 1) / a.queries)
    return PMS_BAD_ARGUMENT;
  a.window_left = (a.keys - a.queries) / 2;
  const int64_t token = a.heads * a.width;
  const int64_t stride[4] = {a.tokens * token, a.queries * token, token, a.width};
  memcpy(a.q_stride, stride, sizeof(stride));
  memcpy(a.k_stride, stride, sizeof(stride));
  a.bias_stride[1] = a.heads * a.queries * a.keys;
  a.q = call.f(0);
  a.k = call.f(1);
  a.v = call.f(2);
  a.gate = call.f(3);
  a.bias = call.f(4);
  a.scale = call.number();
  a.out = call.out(0);
  return pms_attention_forward(&a, PMS_AUTO, call.threads());
}

static PmsLayerNorm layer_norm_arguments(const Call &call) {
  PmsLayerNorm a = {};
  a.x = call.f(0);
  a.weight = call.f(1);
  a.bias = call.f(2);
  a.channels = call['c'];
  a.count = call[call.flag() ? 'm' : '*'];
  a.channel_first = call.flag();
  a.epsilon = call.number();
  return a;
}

// x, weight, bias -> y; with the flag, x is [channels, count].
PMS_OPERATOR(layer_norm, "*c c c s -> *c", "cm c c s -> mc") {
  PmsLayerNorm a = layer_norm_arguments(call);
  a.y = call.out(0);
  return pms_layer_norm_forward(&a, PMS_AUTO, call.threads());
}

PMS_OPERATOR(layer_norm_grad, "*c c c s *c -> *c c c", "cm c c s mc -> cm c c") {
  PmsLayerNorm a = layer_norm_arguments(call);
  a.dy = call.f(4);
  a.dx = call.out(0);
  a.dweight = call.out(1);
  a.dbias = call.out(2);
  return pms_layer_norm_backward(&a, PMS_AUTO, call.threads());
}

// x, gate; the flag is for x * silu(gate).
PMS_OPERATOR(gate, "* * s -> *") {
  const PmsGate a = {call.f(0), call.f(1), call.out(0), nullptr, nullptr, nullptr, call['*'],
                     call.flag()};
  return pms_gate_forward(&a, PMS_AUTO, call.threads());
}

PMS_OPERATOR(gate_grad, "* * s * -> * *") {
  const PmsGate a = {call.f(0), call.f(1), nullptr, call.f(3), call.out(0), call.out(1), call['*'],
                     call.flag()};
  return pms_gate_backward(&a, PMS_AUTO, call.threads());
}

// x of heads, cosine, sine; the flag turns back.
PMS_OPERATOR(rotate, "thd te te s -> thd") {
  if (call['d'] != 2 * call['e']) return PMS_BAD_ARGUMENT;
  const PmsRotation a = {call.f(0), call.f(1), call.f(2), call.out(0), call['t'], call['h'],
                         call['e'], call.flag()};
  return pms_rotation(&a, PMS_AUTO, call.threads());
}

PMS_OPERATOR(outer_sum, "nc mc s -> nmc") {
  const PmsOuterSum a = {call.f(0), call.f(1), call.out(0), nullptr, nullptr, nullptr, call['n'],
                         call['m'], call['c']};
  return pms_outer_sum_forward(&a, PMS_AUTO, call.threads());
}

PMS_OPERATOR(outer_sum_grad, "nc mc s nmc -> nc mc") {
  const PmsOuterSum a = {call.f(0), call.f(1), nullptr, call.f(3), call.out(0), call.out(1),
                         call['n'], call['m'], call['c']};
  return pms_outer_sum_backward(&a, PMS_AUTO, call.threads());
}

static int product(const Call &call, bool turned_a, bool turned_b) {
  if (call.rank(0) > 3) return PMS_BAD_ARGUMENT;
  const PmsProduct a = {call.f(0), call.f(1), call.out(0), call['*'], call['i'], call['j'],
                        call['k'], turned_a, turned_b};
  return pms_product(&a, PMS_AUTO, call.threads());
}

PMS_OPERATOR(product, "*ik *kj s -> *ij") { return product(call, false, false); }
PMS_OPERATOR(product_turned_b, "*ik *jk s -> *ij") { return product(call, false, true); }
PMS_OPERATOR(product_turned_a, "*ki *kj s -> *ij") { return product(call, true, false); }
PMS_OPERATOR(product_turned_both, "*ki *jk s -> *ij") { return product(call, true, true); }

// Runs a whole layer of x, norm weight, norm bias, ..., `weights` matrices from input `first` on.
static int pair_layer(const Call &call, PmsPairKind kind, int first, int weights,
                      PmsPairLayer a = {}) {
  a.kind = kind;
  a.x = call.f(0);
  a.channels = call['c'];
  a.hidden = call['h'];
  a.count = call['*'] >= 0 ? call['*'] : call.shape(0)[0] * call.shape(0)[1];
  a.norm = {call.f(1), call.f(2), call.number()};
  a.norm2.epsilon = call.number();
  a.ending = call.flag();
  for (int i = 0; i < weights; i++) a.weights[i] = call.f(first + i);
  a.y = call.out(0);
  return pms_pair_layer(&a, PMS_AUTO, call.threads());
}

// x, norm weight, norm bias, W.
PMS_OPERATOR(projection, "*c c c hc s -> =h*") { return pair_layer(call, PMS_PROJECTION, 3, 1); }

// x, W, offset, which is one number where there is none; the flag is for a gelu, beside an offset.
PMS_OPERATOR(linear, "mc hc H s -> mh") {
  PmsPairLayer a = {};
  a.kind = PMS_LINEAR;
  a.count = call['m'];
  a.channels = call['c'];
  a.hidden = call['h'];
  a.x = call.f(0);
  a.weights[0] = call.f(1);
  a.bias = call.shape(2)[0] == a.hidden ? call.f(2) : nullptr;
  a.ending = call.flag();
  a.y = call.out(0);
  return pms_pair_layer(&a, PMS_AUTO, call.threads());
}

// x, norm weight, norm bias, gate, value, output.
PMS_OPERATOR(transition, "*c c c hc hc ch s -> &") { return pair_layer(call, PMS_TRANSITION, 3, 3); }

// x, norm weight, norm bias, value and gate of a, value and gate of b -> a, b.
PMS_OPERATOR(edges, "*c c c hc hc hc hc s -> =h* =h*") {
  PmsPairLayer a = {};
  a.y2 = call.out(1);
  return pair_layer(call, PMS_EDGES, 3, 4, a);
}

// x, norm weight, norm bias, product of edges, weight and bias of its norm, output, gate.
PMS_OPERATOR(gated_output, "ijc c c hij h h ch cc s -> &") {
  PmsPairLayer a = {};
  a.x2 = call.f(3);
  a.norm2 = {call.f(4), call.f(5), 0.f};
  return pair_layer(call, PMS_GATED_OUTPUT, 6, 2, a);
}

// x, norm weight, norm bias, bias of the e heads, query, key, value, gate, output; the flag is for
// an ending node.
PMS_OPERATOR(triangle_attention, "nnc c c enn hc hc hc hc ch s -> &") {
  PmsPairLayer a = {};
  a.tokens = call['n'];
  a.heads = call['e'];
  if (a.heads <= 0) return PMS_BAD_ARGUMENT;
  a.bias = call.f(3);
  a.scale = 1.f / __builtin_sqrtf(static_cast<float>(call['h'] / a.heads));
  return pair_layer(call, PMS_TRIANGLE_ATTENTION, 4, 5, a);
}

// x, left, right, W of p = h^2 inputs, offset; the number is the scale.
PMS_OPERATOR(outer_product, "nnc mnh hmn cp c s -> &") {
  if (call['p'] != call['h'] * call['h']) return PMS_BAD_ARGUMENT;
  const PmsOuterProduct a = {call.f(0), call.f(1), call.f(2), call.f(3), call.f(4), call.out(0),
                             call['m'], call['n'], call['h'], call['c'], call.number()};
  return pms_outer_product(&a, PMS_AUTO, call.threads());
}

// Runs a layer of the conditioned transformer, on x [b, n, c] with conditioning [1 or b, n, c].
static int conditioned(const Call &call, PmsConditionedKind kind, int first, int weights,
                       PmsConditioned a) {
  if (call['e'] != 1 && call['e'] != call['b']) return PMS_BAD_ARGUMENT;
  a.kind = kind;
  a.x = call.f(0);
  a.count = call['b'] * call['n'];
  a.shared = call['e'] * call['n'];
  a.channels = call['c'];
  a.hidden = call['h'];
  a.epsilon = call.number();
  for (int i = 0; i < weights; i++) a.weights[i] = call.f(first + i);
  a.y[0] = call.out(0);
  return pms_conditioned(&a, PMS_AUTO, call.threads());
}

// x, scale, shift, scale and shift of a second norm (which the flag says to read), query, key,
// value, gate, offset of the query -> query, key, value, gate.
PMS_OPERATOR(qkvg, "bnc enc enc enc enc cc cc cc cc c s -> bnc bnc bnc bnc") {
  PmsConditioned a = {};
  a.scale = call.f(1);
  a.shift = call.f(2);
  if (call.flag()) {
    a.scale2 = call.f(3);
    a.shift2 = call.f(4);
  }
  a.bias = call.f(9);
  for (int i = 1; i < 4; i++) a.y[i] = call.out(i);
  return conditioned(call, PMS_QKVG, 5, 4, a);
}

// x, gate before its sigmoid, output of the attention, W.
PMS_OPERATOR(attended, "bnc enc bnh ch s -> bnc") {
  PmsConditioned a = {};
  a.gate = call.f(1);
  a.o = call.f(2);
  return conditioned(call, PMS_ATTENDED, 3, 1, a);
}

// x, scale, shift, gate before its sigmoid, gate, value, output.
PMS_OPERATOR(conditioned_transition, "bnc enc enc enc hc hc ch s -> bnc") {
  PmsConditioned a = {};
  a.scale = call.f(1);
  a.shift = call.f(2);
  a.gate = call.f(3);
  return conditioned(call, PMS_CONDITIONED_TRANSITION, 4, 3, a);
}

// x, known x, 1 where it is known, radius -> score, its gradient, number of pairs.
PMS_OPERATOR(smooth_lddt, "ba3 a3 a a s -> ba ba3 a") {
  const PmsSmoothLddt a = {call.f(0), call.f(1), call.f(2), call.f(3), call.out(0), call.out(1),
                           call.out(2), call['b'], call['a']};
  return pms_smooth_lddt(&a, PMS_AUTO, call.threads());
}

// As of `transition`, then the gradient of the result -> gradients of x, the norm and the weights.
PMS_OPERATOR(transition_grad, "*c c c hc hc ch s *c -> *c c c hc hc ch") {
  const PmsTransitionGradient a = {
      call.f(0), call.f(7), {call.f(1), call.f(2), call.number()},
      {call.f(3), call.f(4), call.f(5)}, call.out(0), call.out(1), call.out(2),
      {call.out(3), call.out(4), call.out(5)}, call['*'], call['c'], call['h']};
  return pms_transition_gradient(&a, PMS_AUTO, call.threads());
}
