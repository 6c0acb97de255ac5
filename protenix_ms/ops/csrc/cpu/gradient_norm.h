// SPDX-License-Identifier: Apache-2.0
// The sum of squares of many gradients in one pass over memory, for one instruction set.
#pragma once
#include "adam.h"

namespace pms {
namespace PMS_ISA {

// One unit is one of `adam`; its sum is in double, of 16 interleaved sums that are added in order.
static void gradient_norm(const void *job_, int64_t unit, float *) {
  const NormJob &job = *static_cast<const NormJob *>(job_);
  const AdamPart part = part_of(*job.args, unit);
  const float *x = part.tensor->gradient;
  constexpr int LANES = 16;
  double sum[LANES] = {}, total = 0;
  if (x) {
    int64_t i = part.first;
    for (; i + LANES <= part.end; i += LANES)
      for (int j = 0; j < LANES; j++) sum[j] += static_cast<double>(x[i + j]) * x[i + j];
    for (; i < part.end; i++) sum[0] += static_cast<double>(x[i]) * x[i];
  }
  for (double s : sum) total += s;
  job.parts[unit] = total;
}

}  // namespace PMS_ISA
}  // namespace pms
