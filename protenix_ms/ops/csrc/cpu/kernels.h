// SPDX-License-Identifier: Apache-2.0
// The plain C interface of the CPU kernels, and the table each instruction set fills in.
//
// All numbers are float32. Strides count elements. Every kernel splits its work into units whose
// arithmetic does not depend on who runs them, so results are the same bytes for any thread count.
#pragma once
#include <cstddef>
#include <cstdint>

#define PMS_API extern "C" __attribute__((visibility("default")))

enum PmsStatus { PMS_OK = 0, PMS_NO_MEMORY = 1, PMS_BAD_ARGUMENT = 2 };
enum PmsIsa { PMS_AUTO = 0, PMS_PLAIN = 1, PMS_AVX2 = 2, PMS_AVX512 = 3 };

// softmax(scale q k^T + bias + mask) v, times sigmoid(gate) where there is a gate.
// q-like tensors (q, gate, out and their gradients) share q_stride, k-like ones k_stride; channels
// are contiguous. bias: [heads, queries, keys] contiguous at bias_stride * (batch, row); a stride
// of 0 shares it. mask is additive, keep is 1 for a key that counts; [keys] contiguous at
// mask_stride * (batch, row). A key is absent where keep is 0 or mask <= -1e8; a query without any
// key gives 0 and has no gradient.
struct PmsAttention {
  const float *q, *k, *v, *bias, *mask;
  const uint8_t *keep;
  const float *gate;
  float *out, *lse;  // lse [batch, rows, heads, queries]: log of the softmax's denominator
  const float *dout;
  float *dq, *dk, *dv, *dbias, *dgate;  // backward only; dbias laid out as bias
  int64_t batch, rows, heads, queries, keys, width;
  int64_t q_stride[4], k_stride[4];  // batch, row, token, head
  int64_t bias_stride[2], mask_stride[2];
  float scale;
  // Rows that are windows over one axis of `tokens`, 0 for rows of their own; forward only. Row r
  // has the queries from token r * queries on and the keys that begin `window_left` before them;
  // those outside the axis are absent. Row strides belong to that.
  int64_t tokens, window_left;
};

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias of `count` vectors. y and dy are
// [count, channels]; x and dx too, or [channels, count] if channel_first.
struct PmsLayerNorm {
  const float *x, *weight, *bias;  // weight, bias may be null: 1 and 0
  float *y;
  const float *dy;
  float *dx, *dweight, *dbias;  // backward only
  int64_t count, channels;
  int channel_first;
  float epsilon;
};

// y = x * sigmoid(gate), or x * gate * sigmoid(gate) with `swish`; all of one size.
struct PmsGate {
  const float *x, *gate;
  float *y;
  const float *dy;
  float *dx, *dgate;  // backward only
  int64_t size;
  int swish;
};

// y[i, j] = left[i] + right[j], vectors of `channels`.
struct PmsOuterSum {
  const float *left, *right;
  float *y;
  const float *dy;
  float *dleft, *dright;  // backward only
  int64_t rows, columns, channels;
};

// Turns channels i and i + half of every head of a token by the token's angle i, or back.
struct PmsRotation {
  const float *x, *cos, *sin;  // [tokens, heads, 2 half], [tokens, half]
  float *y;
  int64_t tokens, heads, half;
  int back;
};

// Scale and offset of a layer normalisation; null for neither.
struct PmsNorm {
  const float *weight, *bias;
  float epsilon;
};

enum PmsPairKind {
  PMS_PROJECTION, PMS_LINEAR, PMS_TRANSITION, PMS_EDGES, PMS_GATED_OUTPUT, PMS_TRIANGLE_ATTENTION
};

// A whole layer over `count` positions of `channels`, without gradient; pair_layers.h says what
// each kind computes. Weights are [out][in].
struct PmsPairLayer {
  int kind;
  const float *x, *x2;         // x [count, channels]
  PmsNorm norm, norm2;
  const float *weights[5];
  const float *bias;           // triangle attention: [heads, tokens, tokens]; linear: [hidden]
  float *y, *y2;
  int64_t count, channels, hidden;
  int64_t tokens, heads;       // triangle attention: count = tokens^2
  int ending;                  // linear: gelu of the result
  float scale;
};

// The gradient of a transition, all of it from x: weights are those of the forward pass, W0 and W1
// [hidden][channels], W2 [channels][hidden].
struct PmsTransitionGradient {
  const float *x, *dy;
  PmsNorm norm;
  const float *weights[3];
  float *dx, *dnorm_weight, *dnorm_bias, *dweights[3];
  int64_t count, channels, hidden;
};

// y[c, i, j] = sum over k of a[c, i, k] b[c, k, j]; a turned matrix lies as [c, k, i] or [c, j, k].
struct PmsProduct {
  const float *a, *b;
  float *y;
  int64_t batch, rows, columns, depth;
  int turned_a, turned_b;
};

// y[i, j] = x[i, j] + scale (W vec(sum over rows s of left[s, i] right[s, j]^T) + bias), with left
// [rows, tokens, hidden] and right [hidden, rows, tokens]; x, y [tokens, tokens, channels].
struct PmsOuterProduct {
  const float *x, *left, *right, *weight, *bias;
  float *y;
  int64_t rows, tokens, hidden, channels;
  float scale;
};

enum PmsConditionedKind { PMS_QKVG, PMS_ATTENDED, PMS_CONDITIONED_TRANSITION };

// A layer of the conditioned transformer over `count` positions, without gradient; conditioned.h
// says what each kind computes. Position i reads row i % shared of the conditioning.
struct PmsConditioned {
  int kind;
  const float *x, *o;  // [count, channels], [count, hidden]
  const float *scale, *shift, *scale2, *shift2, *gate;  // [shared, channels]
  const float *weights[4], *bias;
  float *y[4];
  int64_t count, channels, hidden, shared;
  float epsilon;
};

// Smooth lDDT of `samples` structures (AF3 Algorithm 27): score[s, l], the sum over atoms m with
// |known_l - known_m| < reach_l that are resolved of how well the distance is kept; its derivative
// gradient[s, l, 3] summed over all rows; pairs[l] counts the atoms m.
struct PmsSmoothLddt {
  const float *x, *known, *resolved, *reach;
  float *score, *gradient, *pairs;
  int64_t samples, atoms;
};

// One tensor of an update, changed in place. Without a gradient only the average follows, without
// an average only the rest.
struct PmsAdamTensor {
  float *weight;
  const float *gradient;
  float *first, *second, *average;
  int64_t size;
  float decay, keep;       // L2 term of the gradient; 1 - rate * decay of AdamW, else 1
  float rate, root_scale;  // rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
};

struct PmsAdam {
  const PmsAdamTensor *tensors;
  const int64_t *first_unit;  // of every tensor, in units of pms_adam_unit() numbers
  int64_t count;
  float beta2, new_first, new_second, epsilon;  // new_first 1 - beta1, new_second 1 - beta2
  float average, new_average;                   // decay, and 1 - it
  float clip;                                   // multiplies every gradient
};

// `isa` PMS_AUTO picks the best the machine has; `threads` 0 takes every core it may run on.
PMS_API int pms_attention_forward(const PmsAttention *args, int isa, int threads);
PMS_API int pms_attention_backward(const PmsAttention *args, int isa, int threads);
PMS_API int pms_layer_norm_forward(const PmsLayerNorm *args, int isa, int threads);
PMS_API int pms_layer_norm_backward(const PmsLayerNorm *args, int isa, int threads);
PMS_API int pms_gate_forward(const PmsGate *args, int isa, int threads);
PMS_API int pms_gate_backward(const PmsGate *args, int isa, int threads);
PMS_API int pms_rotation(const PmsRotation *args, int isa, int threads);
PMS_API int pms_outer_sum_forward(const PmsOuterSum *args, int isa, int threads);
PMS_API int pms_outer_sum_backward(const PmsOuterSum *args, int isa, int threads);
PMS_API int pms_pair_layer(const PmsPairLayer *args, int isa, int threads);
PMS_API int pms_transition_gradient(const PmsTransitionGradient *args, int isa, int threads);
PMS_API int pms_product(const PmsProduct *args, int isa, int threads);
PMS_API int pms_outer_product(const PmsOuterProduct *args, int isa, int threads);
PMS_API int pms_conditioned(const PmsConditioned *args, int isa, int threads);
PMS_API int pms_smooth_lddt(const PmsSmoothLddt *args, int isa, int threads);
PMS_API int pms_adam(const PmsAdam *args, int64_t units, int isa, int threads);
PMS_API int pms_gradient_norm(const PmsAdam *args, int64_t units, double *sum_of_squares, int isa,
                              int threads);  // reads gradients and sizes only
PMS_API int64_t pms_adam_unit();
PMS_API int pms_best_isa();  // at most what the environment variable PROTENIX_MS_ISA names

namespace pms {

// A job is cut into units; `scratch` is the running thread's own memory, 64-byte aligned.
typedef void (*Work)(const void *job, int64_t unit, float *scratch);

// Runs units 0..units-1 on at most `threads` threads, fewer if `work` (rough count of
// multiply-adds in all) would not pay for them. Returns a PmsStatus.
int parallel_for(Work work, const void *job, int64_t units, int64_t scratch_floats, int threads,
                 double multiply_adds);

// 64-byte aligned working memory, kept for the next call when given back; null without memory.
float *borrow(int64_t floats);
void give_back(float *memory);

// Which (batch, row) pairs share one bias: `users` of each of `slots`, in a fixed order. The
// backward pass sums a shared bias gradient in `chunks` fixed parts, then over parts.
struct BiasUsers {
  int64_t slots, users, chunks;
  int64_t rows;
  bool over_batch, over_rows;
  void place(int64_t slot, int64_t user, int64_t *b, int64_t *r) const {
    if (over_batch && over_rows) { *b = user / rows; *r = user % rows; }
    else if (over_batch) { *b = user; *r = slot; }
    else if (over_rows) { *b = slot; *r = user; }
    else { *b = slot / rows; *r = slot % rows; }
  }
};

struct AttentionJob {
  const PmsAttention *args;
  int64_t splits;  // forward: parts of the queries
  BiasUsers users;
  float *partial;  // backward: [chunks - 1, slots, heads, queries, keys]
};

struct LayerNormJob {
  const PmsLayerNorm *args;
  int64_t per_unit;  // vectors
  float *partial;    // backward: [units, 2, channels]
};

// Matrices [rows][depth] to pack.
struct Packing {
  int count;
  const float *from[5];
  float *to[5];
  int64_t rows[5], depth[5];
};

struct PairJob {
  const PmsPairLayer *args;
  const float *weights[5];  // packed
  int64_t panels;           // of a unit
};

struct ConditionedJob {
  const PmsConditioned *args;
  const float *weights[4];  // packed
};

struct OuterJob {
  const PmsOuterProduct *args;
  const float *weight;  // packed
};

struct TransitionJob {
  const PmsTransitionGradient *args;
  const float *weights[2], *turned[3];  // packed: W0, W1; W2, W0, W1 transposed
  float *sums;                          // [parts][transition_sums]
  int64_t parts;
};

struct NormJob {
  const PmsAdam *args;
  double *parts;  // [units]
};

struct ProductJob {
  const PmsProduct *args;
  int64_t panels, rows;  // of a unit; every number is the same sum whatever they are
};

constexpr int64_t OUTER_TOKENS = 4;
constexpr int64_t UNIT_PANELS = 4;    // of a large pair: each fetches what the next one reads
constexpr int64_t MANY_PANELS = 512;  // of a large pair, enough units for many cores
constexpr int64_t PRODUCT_PANELS = 16, PRODUCT_ROWS = 384;  // a multiple of any TILE_ROWS
constexpr int64_t LINEAR_ROWS = 192;  // of the weight at a time, a multiple of any TILE_ROWS

constexpr int64_t GATE_UNIT = 1 << 14, ADAM_UNIT = 1 << 14;
constexpr int64_t LDDT_ROWS = 64;

// What one instruction set provides.
struct Kernels {
  int64_t (*attention_scratch)(const PmsAttention *, bool backward);  // floats
  Work attention_forward, attention_backward, attention_reduce;
  int64_t (*layer_norm_scratch)(const PmsLayerNorm *, bool backward);
  Work layer_norm_forward, layer_norm_backward;
  Work gate_forward, gate_backward, rotation, outer_sum_forward, outer_sum_backward;
  int64_t positions, tile_rows;  // of a panel and of a block of packed weights
  Work pack_weights;
  int64_t (*pair_scratch)(const PmsPairLayer *);
  Work pair_layers[6];  // by PmsPairKind
  int64_t (*product_scratch)();
  Work product;
  Work adam;
  int64_t (*outer_scratch)(const PmsOuterProduct *);
  Work outer_product;
  int64_t (*conditioned_scratch)(const PmsConditioned *);
  Work conditioned[3];  // by PmsConditionedKind
  int64_t (*smooth_lddt_scratch)(const PmsSmoothLddt *);
  Work smooth_lddt;
  Work gradient_norm;
  Work pack_transposed;
  int64_t (*transition_scratch)(const PmsTransitionGradient *);
  int64_t (*transition_sums)(const PmsTransitionGradient *);
  Work transition_backward, transition_reduce;
};
const Kernels *plain_kernels();
const Kernels *avx2_kernels();
const Kernels *avx512_kernels();

}  // namespace pms
