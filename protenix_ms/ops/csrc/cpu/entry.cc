// SPDX-License-Identifier: Apache-2.0
// The plain C entry points: choice of instruction set, cutting of the work into units.
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

using pms::Kernels;

namespace {

const Kernels *choose(int isa) {
  if (isa == PMS_AUTO) isa = pms_best_isa();
  if (isa > pms_best_isa()) return nullptr;
#ifdef PMS_X86
  if (isa == PMS_AVX512) return pms::avx512_kernels();
  if (isa == PMS_AVX2) return pms::avx2_kernels();
#endif
  return pms::plain_kernels();
}

constexpr int64_t FEW_UNITS = 8;
constexpr int64_t ENOUGH_UNITS = 32;  // for any number of cores these kernels will meet

int64_t at_least_one(int64_t n) { return n < 1 ? 1 : n; }

// Query parts when there are too few (row, head) pairs, at least 96 queries each.
int64_t query_splits(const PmsAttention &a) {
  const int64_t pairs = at_least_one(a.batch * a.rows * a.heads);
  const int64_t wanted = (ENOUGH_UNITS + pairs - 1) / pairs, most = at_least_one(a.queries / 96);
  return wanted < most ? wanted : most;
}

pms::BiasUsers bias_users(const PmsAttention &a) {
  pms::BiasUsers u;
  u.rows = a.rows;
  u.over_batch = a.dbias && a.batch > 1 && a.bias_stride[0] == 0;
  u.over_rows = a.dbias && a.rows > 1 && a.bias_stride[1] == 0;
  u.users = (u.over_batch ? a.batch : 1) * (u.over_rows ? a.rows : 1);
  u.slots = a.batch * a.rows / at_least_one(u.users);
  const int64_t wanted = ENOUGH_UNITS / at_least_one(u.slots * a.heads);
  u.chunks = at_least_one(wanted < u.users ? wanted : u.users);
  return u;
}

bool empty(const PmsAttention &a) {
  return a.batch <= 0 || a.rows <= 0 || a.heads <= 0 || a.queries <= 0 || a.width <= 0;
}

double attention_work(const PmsAttention &a, int products) {
  return static_cast<double>(a.batch) * a.rows * a.heads * a.queries * a.keys *
         (products * a.width + 16);
}

// Fixed parts, so that sums over them do not depend on the threads.
int64_t vectors_per_unit(const PmsLayerNorm &a) {
  const int64_t even = (a.count + 63) / 64;
  return (at_least_one(even) + 63) / 64 * 64;
}

int machines_isa() {
#ifdef PMS_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
    return PMS_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return PMS_AVX2;
#endif
  return PMS_PLAIN;
}

// What PROTENIX_MS_ISA allows; a word that it does not know allows everything.
int allowed_isa() {
  const char *word = getenv("PROTENIX_MS_ISA");
  if (word && !strcmp(word, "plain")) return PMS_PLAIN;
  if (word && !strcmp(word, "avx2")) return PMS_AVX2;
  return PMS_AVX512;
}

}  // namespace

int pms_best_isa() {
  static const int best = machines_isa() < allowed_isa() ? machines_isa() : allowed_isa();
  return best;
}

int pms_attention_forward(const PmsAttention *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels || args->keys < 0) return PMS_BAD_ARGUMENT;
  if (empty(*args)) return PMS_OK;
  pms::AttentionJob job = {args, query_splits(*args), {}, nullptr};
  return pms::parallel_for(kernels->attention_forward, &job,
                           args->batch * args->rows * args->heads * job.splits,
                           kernels->attention_scratch(args, false), threads,
                           attention_work(*args, 2));
}

int pms_attention_backward(const PmsAttention *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels || args->keys < 0 || args->tokens) return PMS_BAD_ARGUMENT;
  if (empty(*args)) return PMS_OK;
  pms::AttentionJob job = {args, 1, bias_users(*args), nullptr};
  const pms::BiasUsers &u = job.users;
  if (args->dbias && u.chunks > 1) {
    job.partial = static_cast<float *>(malloc(sizeof(float) * (u.chunks - 1) * u.slots *
                                              args->heads * args->queries * args->keys));
    if (!job.partial) return PMS_NO_MEMORY;
  }
  const double work = attention_work(*args, 5);
  int status = pms::parallel_for(kernels->attention_backward, &job,
                                 u.slots * args->heads * u.chunks,
                                 kernels->attention_scratch(args, true), threads, work);
  if (status == PMS_OK && job.partial)
    status = pms::parallel_for(kernels->attention_reduce, &job, u.slots * args->heads, 0, threads,
                               work / args->width);
  free(job.partial);
  return status;
}

int pms_layer_norm_forward(const PmsLayerNorm *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels) return PMS_BAD_ARGUMENT;
  pms::LayerNormJob job = {args, vectors_per_unit(*args), nullptr};
  const int64_t units = (args->count + job.per_unit - 1) / job.per_unit;
  return pms::parallel_for(kernels->layer_norm_forward, &job, units,
                           kernels->layer_norm_scratch(args, false), threads,
                           8. * args->count * args->channels);
}

int pms_layer_norm_backward(const PmsLayerNorm *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels) return PMS_BAD_ARGUMENT;
  pms::LayerNormJob job = {args, vectors_per_unit(*args), nullptr};
  const int64_t units = (args->count + job.per_unit - 1) / job.per_unit;
  const int64_t c = args->channels;
  job.partial = static_cast<float *>(malloc(sizeof(float) * (2 * c * units + 1)));
  if (!job.partial) return PMS_NO_MEMORY;
  const int status = pms::parallel_for(kernels->layer_norm_backward, &job, units,
                                       kernels->layer_norm_scratch(args, true), threads,
                                       16. * args->count * c);
  for (int64_t i = 0; i < c; i++) {
    float dweight = 0.f, dbias = 0.f;
    for (int64_t u = 0; u < units; u++) {
      dweight += job.partial[2 * u * c + i];
      dbias += job.partial[(2 * u + 1) * c + i];
    }
    args->dweight[i] = dweight;
    args->dbias[i] = dbias;
  }
  free(job.partial);
  return status;
}

namespace {

// A pass that memory bounds: a number is worth about ten multiply-adds.
int streamed(pms::Work Kernels::*work, const void *job, int64_t units, int64_t numbers, int isa,
             int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels) return PMS_BAD_ARGUMENT;
  return pms::parallel_for(kernels->*work, job, units, 0, threads, 10. * numbers);
}

int64_t gate_units(const PmsGate &a) { return (a.size + pms::GATE_UNIT - 1) / pms::GATE_UNIT; }

}  // namespace

int pms_gate_forward(const PmsGate *args, int isa, int threads) {
  return streamed(&Kernels::gate_forward, args, gate_units(*args), args->size, isa, threads);
}

int pms_gate_backward(const PmsGate *args, int isa, int threads) {
  return streamed(&Kernels::gate_backward, args, gate_units(*args), 2 * args->size, isa, threads);
}

int pms_rotation(const PmsRotation *args, int isa, int threads) {
  return streamed(&Kernels::rotation, args, args->tokens,
                  2 * args->tokens * args->heads * args->half, isa, threads);
}

int pms_outer_sum_forward(const PmsOuterSum *args, int isa, int threads) {
  return streamed(&Kernels::outer_sum_forward, args, args->rows,
                  args->rows * args->columns * args->channels, isa, threads);
}

int pms_outer_sum_backward(const PmsOuterSum *args, int isa, int threads) {
  return streamed(&Kernels::outer_sum_backward, args, args->rows + args->columns,
                  2 * args->rows * args->columns * args->channels, isa, threads);
}

namespace {

// The matrices of a layer.
pms::Packing matrices(const PmsPairLayer &a) {
  const int64_t c = a.channels, h = a.hidden;
  switch (a.kind) {
    case PMS_PROJECTION:
    case PMS_LINEAR: return {1, {}, {}, {h}, {c}};
    case PMS_TRANSITION: return {3, {}, {}, {h, h, c}, {c, c, h}};
    case PMS_EDGES: return {4, {}, {}, {h, h, h, h}, {c, c, c, c}};
    case PMS_GATED_OUTPUT: return {2, {}, {}, {c, c}, {h, c}};
    default: return {5, {}, {}, {h, h, h, h, c}, {c, c, c, c, h}};
  }
}

// Whether rows of attention are as its kernel takes them: heads of whole vectors of any width.
bool rows_fit(const PmsPairLayer &a) {
  return a.heads > 0 && a.hidden % (16 * a.heads) == 0 && a.count == a.tokens * a.tokens;
}

// Weights packed into one borrowed block, which ends with this object.
class Packed {
 public:
  // Packs the matrices at `from`, which lie [rows][depth], or [depth][rows], and sets `to`.
  Packed(const Kernels *kernels, const pms::Packing &matrices, const float *const *from,
         const float **to, int threads, bool transposed = false) {
    pms::Packing packing = matrices;
    int64_t blocks = 0, floats = 0, start[5];
    for (int i = 0; i < packing.count; i++) {
      const int64_t n = (packing.rows[i] + kernels->tile_rows - 1) / kernels->tile_rows;
      start[i] = floats;
      blocks += n;
      floats += n * kernels->tile_rows * packing.depth[i];
      multiply_adds += static_cast<double>(packing.rows[i]) * packing.depth[i];
    }
    memory_ = pms::borrow(floats);
    if (!memory_) return;
    for (int i = 0; i < packing.count; i++) {
      packing.from[i] = from[i];
      to[i] = packing.to[i] = memory_ + start[i];
    }
    const pms::Work pack = transposed ? kernels->pack_transposed : kernels->pack_weights;
    ready = pms::parallel_for(pack, &packing, blocks, 0, threads, 10. * floats) == PMS_OK;
  }
  ~Packed() {
    if (memory_) pms::give_back(memory_);
  }
  Packed(const Packed &) = delete;
  Packed &operator=(const Packed &) = delete;

  bool ready = false;
  double multiply_adds = 0;  // of one position

 private:
  float *memory_;
};

}  // namespace

int pms_pair_layer(const PmsPairLayer *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels || args->kind < 0 || args->kind > PMS_TRIANGLE_ATTENTION) return PMS_BAD_ARGUMENT;
  const PmsPairLayer &a = *args;
  const bool rows = a.kind == PMS_TRIANGLE_ATTENTION;
  if (a.channels <= 0 || a.hidden <= 0 || (rows && !rows_fit(a))) return PMS_BAD_ARGUMENT;
  if (a.count <= 0) return PMS_OK;
  pms::PairJob job = {args, {}, 1};
  const Packed packed(kernels, matrices(a), a.weights, job.weights, threads);
  if (!packed.ready) return PMS_NO_MEMORY;
  int64_t units = rows ? a.tokens : (a.count + kernels->positions - 1) / kernels->positions;
  if (a.kind == PMS_LINEAR) units *= (a.hidden + pms::LINEAR_ROWS - 1) / pms::LINEAR_ROWS;
  else if (!rows && units >= pms::MANY_PANELS) job.panels = pms::UNIT_PANELS;
  units = (units + job.panels - 1) / job.panels;
  const double products = packed.multiply_adds + (rows ? 2. * a.tokens * a.hidden : 0.);
  return pms::parallel_for(kernels->pair_layers[a.kind], &job, units, kernels->pair_scratch(args),
                           threads, a.count * products);
}

int pms_outer_product(const PmsOuterProduct *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels) return PMS_BAD_ARGUMENT;
  const PmsOuterProduct &a = *args;
  if (a.tokens <= 0 || a.channels <= 0 || a.hidden <= 0 || a.rows <= 0) return PMS_BAD_ARGUMENT;
  const int64_t pairs = a.hidden * a.hidden;
  pms::OuterJob job = {args, nullptr};
  const Packed packed(kernels, {1, {}, {}, {a.channels}, {pairs}}, &a.weight, &job.weight, threads);
  if (!packed.ready) return PMS_NO_MEMORY;
  const int64_t panels = (a.tokens + kernels->positions - 1) / kernels->positions,
                groups = (a.tokens + pms::OUTER_TOKENS - 1) / pms::OUTER_TOKENS;
  return pms::parallel_for(
      kernels->outer_product, &job, panels * groups, kernels->outer_scratch(args), threads,
      static_cast<double>(a.tokens) * a.tokens * pairs * (a.rows + a.channels));
}

int pms_product(const PmsProduct *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  const PmsProduct &p = *args;
  if (!kernels || p.batch < 0 || p.rows < 0 || p.columns < 0 || p.depth <= 0)
    return PMS_BAD_ARGUMENT;
  pms::ProductJob job = {args, pms::PRODUCT_PANELS, pms::PRODUCT_ROWS};
  const auto units = [&] {
    const int64_t wide = job.panels * kernels->positions;
    return p.batch * ((p.rows + job.rows - 1) / job.rows) * ((p.columns + wide - 1) / wide);
  };
  while (units() < FEW_UNITS && job.panels > 4) job.panels /= 2;  // a gradient of weights is small
  while (units() < FEW_UNITS && job.rows > 24) job.rows /= 2;
  return pms::parallel_for(kernels->product, &job, units(), kernels->product_scratch(), threads,
                           static_cast<double>(p.batch) * p.rows * p.columns * p.depth);
}

int pms_conditioned(const PmsConditioned *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  const PmsConditioned &a = *args;
  if (!kernels || a.kind < 0 || a.kind > PMS_CONDITIONED_TRANSITION) return PMS_BAD_ARGUMENT;
  if (a.channels <= 0 || (a.hidden <= 0 && a.kind != PMS_QKVG)) return PMS_BAD_ARGUMENT;
  if (a.count <= 0) return PMS_OK;
  if (a.shared <= 0) return PMS_BAD_ARGUMENT;
  const int64_t c = a.channels, h = a.hidden;
  pms::Packing matrices = {3, {}, {}, {h, h, c}, {c, c, h}};
  if (a.kind == PMS_QKVG) matrices = {4, {}, {}, {c, c, c, c}, {c, c, c, c}};
  if (a.kind == PMS_ATTENDED) matrices = {1, {}, {}, {c}, {h}};
  pms::ConditionedJob job = {args, {}};
  const Packed packed(kernels, matrices, a.weights, job.weights, threads);
  if (!packed.ready) return PMS_NO_MEMORY;
  const int64_t units = (a.count + kernels->positions - 1) / kernels->positions;
  return pms::parallel_for(kernels->conditioned[a.kind], &job, units,
                           kernels->conditioned_scratch(args), threads,
                           a.count * packed.multiply_adds);
}

int pms_smooth_lddt(const PmsSmoothLddt *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  if (!kernels) return PMS_BAD_ARGUMENT;
  const int64_t n = args->atoms, parts = (n + pms::LDDT_ROWS - 1) / pms::LDDT_ROWS;
  return pms::parallel_for(kernels->smooth_lddt, args, args->samples * parts,
                           kernels->smooth_lddt_scratch(args), threads,
                           50. * args->samples * n * n);
}

int64_t pms_adam_unit() { return pms::ADAM_UNIT; }

int pms_adam(const PmsAdam *args, int64_t units, int isa, int threads) {
  if (args->count < 0) return PMS_BAD_ARGUMENT;
  return streamed(&Kernels::adam, args, units, 4 * units * pms::ADAM_UNIT, isa, threads);
}

int pms_gradient_norm(const PmsAdam *args, int64_t units, double *sum_of_squares, int isa,
                      int threads) {
  *sum_of_squares = 0.;
  if (args->count <= 0 || units <= 0) return args->count < 0 ? PMS_BAD_ARGUMENT : PMS_OK;
  double *parts = static_cast<double *>(malloc(sizeof(double) * units));
  if (!parts) return PMS_NO_MEMORY;
  const pms::NormJob job = {args, parts};
  const int status =
      streamed(&Kernels::gradient_norm, &job, units, units * pms::ADAM_UNIT, isa, threads);
  for (int64_t unit = 0; unit < units && status == PMS_OK; unit++) *sum_of_squares += parts[unit];
  free(parts);
  return status;
}

int pms_transition_gradient(const PmsTransitionGradient *args, int isa, int threads) {
  const Kernels *kernels = choose(isa);
  const PmsTransitionGradient &a = *args;
  const int64_t c = a.channels, h = a.hidden;
  if (!kernels || c <= 0 || h <= 0 || a.count < 0) return PMS_BAD_ARGUMENT;
  // At least two groups a part, and not more parts than would make their sums a burden.
  const int64_t groups = a.count / (8 * kernels->positions);
  pms::TransitionJob job = {args, {}, {}, nullptr, at_least_one(groups < 16 ? groups : 16)};
  const float *turned[3] = {a.weights[2], a.weights[0], a.weights[1]};
  const Packed packed(kernels, {2, {}, {}, {h, h}, {c, c}}, a.weights, job.weights, threads),
      turned_packed(kernels, {3, {}, {}, {h, c, c}, {c, h, h}}, turned, job.turned, threads, true);
  if (packed.ready && turned_packed.ready)
    job.sums = pms::borrow(job.parts * kernels->transition_sums(args));
  if (!job.sums) return PMS_NO_MEMORY;
  int status = pms::parallel_for(kernels->transition_backward, &job, job.parts,
                                 kernels->transition_scratch(args), threads, 8. * a.count * c * h);
  if (status == PMS_OK)
    status = pms::parallel_for(kernels->transition_reduce, &job, h + 1, 0, threads,
                               30. * job.parts * c * h);
  pms::give_back(job.sums);
  return status;
}
