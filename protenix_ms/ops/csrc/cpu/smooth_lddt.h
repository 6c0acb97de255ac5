// SPDX-License-Identifier: Apache-2.0
// Smooth lDDT and its gradient in one pass over pairs of atoms, for one instruction set.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

constexpr int LDDT_PLANES = 8;  // x y z of the sample and of the known structure, reach, resolved

// e^-0.5, e^-1, e^-2, e^-4: sigmoid(t - error) = 1 / (1 + e^error e^-t), with one exponential.
constexpr float THRESHOLDS[4] = {0.60653066f, 0.36787944f, 0.13533528f, 0.018315639f};

static int64_t smooth_lddt_scratch(const PmsSmoothLddt *a) {
  return LDDT_PLANES * round_up(a->atoms, W);
}

// Distance with what keeps its derivative finite between equal points, angstrom^2.
static inline Vec length(const Vec d[3]) {
  return root(d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + 1e-12f);
}

// One unit is LDDT_ROWS atoms of one sample, as rows of pairs; their gradient needs the pairs in
// which they are columns too, whose radius is that of the other atom.
static void smooth_lddt(const void *job_, int64_t unit, float *scratch) {
  const PmsSmoothLddt &a = *static_cast<const PmsSmoothLddt *>(job_);
  const int64_t n = a.atoms, step = round_up(n, W), parts = (n + LDDT_ROWS - 1) / LDDT_ROWS;
  const int64_t sample = unit / parts, first = unit % parts * LDDT_ROWS;
  const int64_t end = first + LDDT_ROWS < n ? first + LDDT_ROWS : n;
  std::memset(scratch, 0, sizeof(float) * LDDT_PLANES * step);  // padding reaches nothing
  for (int64_t j = 0; j < n; j++) {
    for (int k = 0; k < 3; k++) {
      scratch[k * step + j] = a.x[(sample * n + j) * 3 + k];
      scratch[(3 + k) * step + j] = a.known[j * 3 + k];
    }
    scratch[6 * step + j] = a.reach[j];
    scratch[7 * step + j] = a.resolved[j];
  }
  alignas(64) int32_t lanes[W];
  for (int i = 0; i < W; i++) lanes[i] = i;
  IntVec lane;
  std::memcpy(&lane, lanes, sizeof(lane));
  const Vec none = Vec{};
  for (int64_t l = first; l < end; l++) {
    const Vec reach = all(a.reach[l]), resolved = all(a.resolved[l]);
    Vec score = none, pairs = none, pull[3] = {none, none, none};
    for (int64_t j = 0; j < n; j += W) {
      Vec d[3], t[3];
      for (int k = 0; k < 3; k++) {
        d[k] = scratch[k * step + l] - load(scratch + k * step + j);
        t[k] = scratch[(3 + k) * step + l] - load(scratch + (3 + k) * step + j);
      }
      const Vec away = length(d), truth = length(t), apart = away - truth;
      const IntVec self = lane == static_cast<int32_t>(l - j);
      Vec own = truth < reach ? load(scratch + 7 * step + j) : none;
      Vec other = truth < load(scratch + 6 * step + j) ? resolved : none;
      own = self ? none : own;
      other = self ? none : other;
      const Vec error = apart < none ? -apart : apart, most = all(80.f);
      const Vec e = exponential(error > most ? most : error);
      Vec kept = none, slope = none;
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        const Vec one = 1.f / (1.f + e * THRESHOLDS[k]);
        kept += one;
        slope += one * (one - 1.f);
      }
      score += own * kept;
      pairs += own;
      const Vec sign = apart > none ? all(1.f) : (apart < none ? all(-1.f) : none);
      const Vec share = 0.25f * (own + other) * slope * sign / away;
      for (int k = 0; k < 3; k++) pull[k] += share * d[k];
    }
    a.score[sample * n + l] = 0.25f * sum_of(score);
    if (!sample) a.pairs[l] = sum_of(pairs);
    for (int k = 0; k < 3; k++) a.gradient[(sample * n + l) * 3 + k] = sum_of(pull[k]);
  }
}

}  // namespace PMS_ISA
}  // namespace pms
