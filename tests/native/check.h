// SPDX-License-Identifier: Apache-2.0
// What the drivers of the kernels share: exact-size heap buffers and a count of wrong numbers.
#pragma once
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <random>

#include "kernels.h"

inline std::mt19937 generator(7);

// Heap memory of exactly n floats, so that one step outside is seen.
struct Floats {
  std::unique_ptr<float[]> data;
  int64_t size;
  explicit Floats(int64_t n, bool random = true) : data(new float[n]), size(n) {
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < n; i++) data[i] = random ? normal(generator) : NAN;
  }
  operator float *() const { return data.get(); }
};

inline int failures = 0;

// Counts a failure unless `ours` is right; says which for the first ten, with the sizes at hand.
inline void expect(double ours, double exact, double tolerance, const char *what,
                   std::initializer_list<int64_t> sizes) {
  if (std::abs(ours - exact) <= tolerance * std::max(1., std::abs(exact))) return;
  if (failures++ >= 10) return;
  std::printf("%s: %g, should be %g, sizes", what, ours, exact);
  for (int64_t size : sizes) std::printf(" %ld", long(size));
  std::printf("\n");
}

// Whole layers and the smooth lDDT (run_layers.cc).
void layers(int isa, int threads);
// Working memory kept between calls: callers at once, a child process, no growth.
void borrowed_memory();
