// SPDX-License-Identifier: Apache-2.0
// Adam and the moving average of many tensors in one pass over memory, for one instruction set.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace pms {
namespace PMS_ISA {

// What one unit is: ADAM_UNIT numbers of one tensor; tensor t has units first_unit[t] and on.
struct AdamPart {
  const PmsAdamTensor *tensor;
  int64_t first, end;
};
static AdamPart part_of(const PmsAdam &a, int64_t unit) {
  int64_t low = 0, high = a.count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (a.first_unit[middle] <= unit ? low : high) = middle;
  }
  const PmsAdamTensor &t = a.tensors[low];
  const int64_t first = (unit - a.first_unit[low]) * ADAM_UNIT;
  return {&t, first, first + ADAM_UNIT < t.size ? first + ADAM_UNIT : t.size};
}

static void adam(const void *job_, int64_t unit, float *) {
  const PmsAdam &a = *static_cast<const PmsAdam *>(job_);
  const AdamPart part = part_of(a, unit);
  const PmsAdamTensor &t = *part.tensor;
  const int64_t end = part.end;
  for (int64_t i = part.first; i < end; i += W) {
    const int64_t n = end - i;
    Vec w = load_some(t.weight + i, n);
    if (t.gradient) {
      const Vec g = load_some(t.gradient + i, n) * a.clip + w * t.decay;
      const Vec was = load_some(t.first + i, n);
      const Vec mean = was + (g - was) * a.new_first;
      const Vec square = load_some(t.second + i, n) * a.beta2 + g * g * a.new_second;
      w = w * t.keep - mean / (root(square) * t.root_scale + a.epsilon) * t.rate;
      store_some(t.first + i, mean, n);
      store_some(t.second + i, square, n);
      store_some(t.weight + i, w, n);
    }
    if (t.average)
      store_some(t.average + i, w * a.new_average + load_some(t.average + i, n) * a.average, n);
  }
}

}  // namespace PMS_ISA
}  // namespace pms
