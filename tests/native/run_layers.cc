// SPDX-License-Identifier: Apache-2.0
// Whole layers, and the smooth lDDT, on every instruction set over exact-size heap buffers, against
// plain loops in double; and what becomes of the memory that the kernels keep between calls.
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "check.h"

// Only where the address sanitizer is part of the program.
extern "C" size_t __sanitizer_get_current_allocated_bytes() __attribute__((weak));

namespace {

constexpr float EPSILON = 1e-5f;
constexpr double CLOSE = 2e-5;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> normalised(const float *x, int64_t step, int64_t channels, const float *weight,
                               const float *bias) {
  std::vector<double> y(channels);
  double mean = 0, variance = 0;
  for (int64_t c = 0; c < channels; c++) mean += x[c * step] / double(channels);
  for (int64_t c = 0; c < channels; c++)
    variance += (x[c * step] - mean) * (x[c * step] - mean) / double(channels);
  for (int64_t c = 0; c < channels; c++)
    y[c] = (x[c * step] - mean) / std::sqrt(variance + EPSILON) * weight[c] + bias[c];
  return y;
}

// W x, W [rows][size of x].
std::vector<double> product(const float *w, int64_t rows, const std::vector<double> &x) {
  std::vector<double> y(rows);
  for (int64_t r = 0; r < rows; r++)
    for (size_t k = 0; k < x.size(); k++) y[r] += w[r * x.size() + k] * x[k];
  return y;
}

// A matrix of weights that keeps the size of what it multiplies.
Floats matrix(int64_t rows, int64_t depth) {
  Floats w(rows * depth);
  for (int64_t i = 0; i < w.size; i++) w[i] /= std::sqrt(float(depth));
  return w;
}

// Any kind but attention, on `count` positions.
void layer(int kind, int64_t count, int64_t channels, int64_t hidden, int isa, int threads) {
  const int64_t c = channels, h = hidden, rows0 = kind == PMS_GATED_OUTPUT ? c : h,
                depth0 = kind == PMS_GATED_OUTPUT ? h : c;
  const bool as_x = kind == PMS_TRANSITION || kind == PMS_GATED_OUTPUT;
  const int64_t size = count * (as_x ? c : h);
  Floats x(count * c), x2(h * count), nw(c), nb(c), nw2(h), nb2(h), bias(h), y(size, false),
      y2(kind == PMS_EDGES ? size : 0, false);
  const Floats w[4] = {matrix(rows0, depth0), matrix(rows0, c),
                       kind == PMS_TRANSITION ? matrix(c, h) : matrix(h, c), matrix(h, c)};
  PmsPairLayer a = {};
  a.kind = kind; a.x = x; a.x2 = x2; a.bias = bias; a.y = y; a.y2 = y2;
  a.norm = {nw, nb, EPSILON}; a.norm2 = {nw2, nb2, EPSILON};
  a.count = count; a.channels = c; a.hidden = h;
  for (int i = 0; i < 4; i++) a.weights[i] = w[i];
  const auto sizes = {int64_t(kind), count, c, h};
  expect(pms_pair_layer(&a, isa, threads), PMS_OK, 0, "status", sizes);
  for (int64_t p = 0; p < count; p++) {
    const auto n = normalised(x + p * c, 1, c, nw, nb);
    const auto v = product(w[1], rows0, n);
    if (kind == PMS_GATED_OUTPUT) {
      const auto o = product(w[0], c, normalised(x2 + p, count, h, nw2, nb2));
      for (int64_t i = 0; i < c; i++)
        expect(y[p * c + i], x[p * c + i] + o[i] * sigmoid(v[i]), CLOSE, "gated output", sizes);
      continue;
    }
    const std::vector<double> raw(x + p * c, x + p * c + c);
    auto u = product(w[0], h, kind == PMS_LINEAR ? raw : n);
    if (kind == PMS_LINEAR)
      for (int64_t i = 0; i < h; i++) expect(y[p * h + i], u[i] + bias[i], CLOSE, "linear", sizes);
    if (kind == PMS_PROJECTION)
      for (int64_t i = 0; i < h; i++) expect(y[i * count + p], u[i], CLOSE, "projection", sizes);
    if (kind == PMS_EDGES) {
      const auto u2 = product(w[2], h, n), v2 = product(w[3], h, n);
      for (int64_t i = 0; i < h; i++) {
        expect(y[i * count + p], u[i] * sigmoid(v[i]), CLOSE, "edges", sizes);
        expect(y2[i * count + p], u2[i] * sigmoid(v2[i]), CLOSE, "second edges", sizes);
      }
    }
    if (kind == PMS_TRANSITION) {
      for (int64_t i = 0; i < h; i++) u[i] *= sigmoid(u[i]) * v[i];
      const auto o = product(w[2], c, u);
      for (int64_t i = 0; i < c; i++)
        expect(y[p * c + i], x[p * c + i] + o[i], CLOSE, "transition", sizes);
    }
  }
}

// All gradients are to be finite; the Python tests compare them.
void transition_gradient(int64_t count, int64_t c, int64_t h, int isa, int threads) {
  const Floats x(count * c), dy(count * c), nw(c), nb(c), dx(count * c, false), dnw(c, false),
      dnb(c, false);
  const Floats w[3] = {matrix(h, c), matrix(h, c), matrix(c, h)};
  const Floats dw[3] = {Floats(h * c, false), Floats(h * c, false), Floats(c * h, false)};
  const PmsTransitionGradient a = {x, dy, {nw, nb, EPSILON}, {w[0], w[1], w[2]}, dx, dnw, dnb,
                                   {dw[0], dw[1], dw[2]}, count, c, h};
  const auto sizes = {count, c, h};
  expect(pms_transition_gradient(&a, isa, threads), PMS_OK, 0, "status", sizes);
  for (const Floats *gradient : {&dx, &dnw, &dnb, &dw[0], &dw[1], &dw[2]})
    for (int64_t i = 0; i < gradient->size; i++)
      expect(std::isfinite((*gradient)[i]), 1, 0, "finite transition gradient", sizes);
}

void triangle_attention(int64_t n, int64_t c, int64_t heads, int64_t width, bool ending, int isa,
                        int threads) {
  const int64_t h = heads * width;
  Floats x(n * n * c), nw(c), nb(c), bias(heads * n * n), y(n * n * c, false);
  const Floats w[5] = {matrix(h, c), matrix(h, c), matrix(h, c), matrix(h, c), matrix(c, h)};
  PmsPairLayer a = {};
  a.kind = PMS_TRIANGLE_ATTENTION; a.x = x; a.bias = bias; a.y = y; a.norm = {nw, nb, EPSILON};
  a.count = n * n; a.channels = c; a.hidden = h; a.tokens = n; a.heads = heads; a.ending = ending;
  a.scale = 0.3f;
  for (int i = 0; i < 5; i++) a.weights[i] = w[i];
  const auto sizes = {n, c, heads, width, int64_t(ending)};
  expect(pms_pair_layer(&a, isa, threads), PMS_OK, 0, "status", sizes);
  for (int64_t r = 0; r < n; r++) {
    auto at = [&](int64_t i) { return (ending ? i * n + r : r * n + i) * c; };
    std::vector<std::vector<double>> q(n), k(n), v(n), g(n);
    for (int64_t i = 0; i < n; i++) {
      const auto z = normalised(x + at(i), 1, c, nw, nb);
      q[i] = product(w[0], h, z); k[i] = product(w[1], h, z);
      v[i] = product(w[2], h, z); g[i] = product(w[3], h, z);
    }
    for (int64_t i = 0; i < n; i++) {
      std::vector<double> o(h), p(n);
      for (int64_t head = 0; head < heads; head++) {
        const int64_t first = head * width, last = first + width;
        double top = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n; j++) {
          p[j] = bias[(head * n + i) * n + j];
          for (int64_t d = first; d < last; d++) p[j] += a.scale * q[i][d] * k[j][d];
          top = std::max(top, p[j]);
        }
        for (int64_t j = 0; j < n; j++) sum += p[j] = std::exp(p[j] - top);
        for (int64_t d = first; d < last; d++) {
          for (int64_t j = 0; j < n; j++) o[d] += p[j] / sum * v[j][d];
          o[d] *= sigmoid(g[i][d]);
        }
      }
      const auto out = product(w[4], c, o);
      for (int64_t d = 0; d < c; d++)
        expect(y[at(i) + d], x[at(i) + d] + out[d], CLOSE, "triangle attention", sizes);
    }
  }
}

// Every fifth number is compared, all are to be finite.
void edge_product(int64_t channels, int64_t n, int incoming, int isa, int threads) {
  Floats a(channels * n * n), y(channels * n * n, false);
  const Floats b = matrix(channels * n, n);
  const PmsProduct p = {a, b, y, channels, n, n, n, incoming, !incoming};
  const auto sizes = {channels, n, int64_t(incoming)};
  expect(pms_product(&p, isa, threads), PMS_OK, 0, "status", sizes);
  for (int64_t at = 0; at < y.size; at++) {
    expect(std::isfinite(y[at]), 1, 0, "finite edge product", sizes);
    if (at % 5) continue;
    const int64_t first = at / (n * n) * n * n, i = at / n % n, j = at % n;
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
      sum += incoming ? double(a[first + k * n + i]) * b[first + k * n + j]
                      : double(a[first + i * n + k]) * b[first + j * n + k];
    expect(y[at], sum, CLOSE, "edge product", sizes);
  }
}

// Every seventh pair is compared, all numbers are to be finite.
void outer_product(int64_t rows, int64_t n, int64_t h, int64_t c, int isa, int threads) {
  Floats x(n * n * c), left(rows * n * h), right(h * rows * n), bias(c), y(n * n * c, false);
  const Floats w = matrix(c, h * h);
  const PmsOuterProduct a = {x, left, right, w, bias, y, rows, n, h, c, 1.f / rows};
  const auto sizes = {rows, n, h, c};
  expect(pms_outer_product(&a, isa, threads), PMS_OK, 0, "status", sizes);
  for (int64_t i = 0; i < y.size; i++) expect(std::isfinite(y[i]), 1, 0, "finite outer", sizes);
  for (int64_t pair = 0; pair < n * n; pair += 7) {
    std::vector<double> outer(h * h);
    for (int64_t s = 0; s < rows; s++)
      for (int64_t d = 0; d < h * h; d++)
        outer[d] += double(left[(s * n + pair / n) * h + d / h]) *
                    right[(d % h * rows + s) * n + pair % n];
    const auto o = product(w, c, outer);
    for (int64_t d = 0; d < c; d++)
      expect(y[pair * c + d], x[pair * c + d] + (o[d] + bias[d]) / rows, CLOSE, "outer", sizes);
  }
}

// norm(x) * sigmoid(scale) + shift, all of one position.
std::vector<double> adapted(const std::vector<float> &x, const float *scale, const float *shift) {
  const int64_t c = x.size();
  const Floats one(c), zero(c);
  for (int64_t i = 0; i < c; i++) { one[i] = 1.f; zero[i] = 0.f; }
  auto y = normalised(x.data(), 1, c, one, zero);
  for (int64_t i = 0; i < c; i++) y[i] = y[i] * sigmoid(scale[i]) + shift[i];
  return y;
}

void conditioned(int kind, int64_t count, int64_t shared, int64_t c, int64_t h, bool second,
                 int isa, int threads) {
  Floats x(count * c), o(count * h), bias(c);
  const Floats s[5] = {Floats(shared * c), Floats(shared * c), Floats(shared * c),
                       Floats(shared * c), Floats(shared * c)};
  const bool qkvg = kind == PMS_QKVG, attended = kind == PMS_ATTENDED;
  const Floats w[4] = {attended ? matrix(c, h) : matrix(qkvg ? c : h, c), matrix(qkvg ? c : h, c),
                       qkvg ? matrix(c, c) : matrix(c, h), matrix(c, c)};
  const Floats y[4] = {Floats(count * c, false), Floats(count * c, false),
                       Floats(count * c, false), Floats(count * c, false)};
  PmsConditioned a = {};
  a.kind = kind; a.x = x; a.o = o; a.scale = s[0]; a.shift = s[1]; a.gate = s[4]; a.bias = bias;
  if (second) { a.scale2 = s[2]; a.shift2 = s[3]; }
  for (int i = 0; i < 4; i++) { a.weights[i] = w[i]; a.y[i] = y[i]; }
  a.count = count; a.channels = c; a.hidden = h; a.shared = shared; a.epsilon = EPSILON;
  const auto sizes = {int64_t(kind), count, c, h};
  expect(pms_conditioned(&a, isa, threads), PMS_OK, 0, "status", sizes);
  for (int64_t p = 0; p < count; p++) {
    const int64_t at = p % shared * c;
    const auto u = adapted({x + p * c, x + p * c + c}, s[0] + at, s[1] + at);
    if (qkvg) {
      const auto v = second ? adapted({u.begin(), u.end()}, s[2] + at, s[3] + at) : u;
      for (int i = 0; i < 4; i++) {
        const auto exact = product(w[i], c, i % 3 ? v : u);  // query and gate read the first
        for (int64_t d = 0; d < c; d++)
          expect(y[i][p * c + d], exact[d] + (i ? 0 : bias[d]), CLOSE, "projections", sizes);
      }
      continue;
    }
    std::vector<double> in(o + p * h, o + p * h + h);
    const auto g = attended ? in : product(w[0], h, u), v = attended ? in : product(w[1], h, u);
    for (int64_t i = 0; !attended && i < h; i++) in[i] = g[i] * sigmoid(g[i]) * v[i];
    const auto out = product(w[attended ? 0 : 2], c, in);
    for (int64_t d = 0; d < c; d++)
      expect(y[0][p * c + d], x[p * c + d] + sigmoid(s[4][at + d]) * out[d], CLOSE, "conditioned",
             sizes);
  }
}

// All numbers are to be finite and the pairs counted; the Python tests compare the rest.
void smooth_lddt(int64_t samples, int64_t n, int isa, int threads) {
  Floats x(samples * n * 3), known(n * 3), resolved(n), reach(n), score(samples * n, false),
      gradient(x.size, false), pairs(n, false);
  for (int64_t i = 0; i < n; i++) { resolved[i] = i % 3 != 0; reach[i] = 1e3f; }
  const PmsSmoothLddt a = {x, known, resolved, reach, score, gradient, pairs, samples, n};
  expect(pms_smooth_lddt(&a, isa, threads), PMS_OK, 0, "status", {samples, n});
  for (const Floats *found : {&score, &gradient})
    for (int64_t i = 0; i < found->size; i++)
      expect(std::isfinite((*found)[i]), 1, 0, "finite lddt", {samples, n});
  for (int64_t i = 0; i < n; i++)
    expect(pairs[i], n - (n + 2) / 3 - (i % 3 != 0), 0, "pairs", {samples, n});
}

// A linear layer of ones on one position: nothing to draw, and weights of any size to pack.
void ones(int64_t size, int threads) {
  std::vector<float> x(size, 1.f), w(size * size, 1.f), y(size);
  PmsPairLayer a = {};
  a.kind = PMS_LINEAR; a.x = x.data(); a.weights[0] = w.data(); a.y = y.data();
  a.count = 1; a.channels = a.hidden = size;
  if (pms_pair_layer(&a, PMS_AUTO, threads)) failures++;
  for (float value : y)
    if (value != float(size)) failures++;
}

void refuse(PmsPairLayer a, const char *what) {
  expect(pms_pair_layer(&a, PMS_AUTO, 1), PMS_BAD_ARGUMENT, 0, what, {a.count, a.hidden});
}

}  // namespace

void layers(int isa, int threads) {
  for (int kind : {PMS_PROJECTION, PMS_LINEAR, PMS_TRANSITION, PMS_EDGES, PMS_GATED_OUTPUT}) {
    layer(kind, 1, 1, 1, isa, threads);
    layer(kind, 17, 20, 7, isa, threads);
    layer(kind, 70, 48, 200, isa, threads);
  }
  transition_gradient(1, 1, 1, isa, threads);
  transition_gradient(17, 20, 7, isa, threads);
  transition_gradient(1100, 48, 40, isa, threads);
  for (bool ending : {false, true}) {
    triangle_attention(1, 20, 1, 16, ending, isa, threads);
    triangle_attention(13, 5, 3, 16, ending, isa, threads);
    triangle_attention(37, 48, 2, 32, ending, isa, threads);
    edge_product(3, 5, ending, isa, threads);
    edge_product(2, 131, ending, isa, threads);
    edge_product(1, 261, ending, isa, threads);
  }
  outer_product(1, 1, 1, 1, isa, threads);
  outer_product(5, 9, 7, 20, isa, threads);
  outer_product(131, 37, 10, 13, isa, threads);
  for (int kind : {PMS_QKVG, PMS_ATTENDED, PMS_CONDITIONED_TRANSITION})
    for (bool second : {false, true}) {
      conditioned(kind, 1, 1, 1, 1, second, isa, threads);
      conditioned(kind, 35, 7, 20, 9, second, isa, threads);
      conditioned(kind, 70, 70, 48, 130, second, isa, threads);
    }
  smooth_lddt(1, 1, isa, threads);
  smooth_lddt(3, 131, isa, threads);
  refuse({PMS_TRIANGLE_ATTENTION, nullptr, nullptr, {}, {}, {}, nullptr, nullptr, nullptr, 4, 8,
          24, 2, 1, 0, 1.f}, "a head that is no whole vector");
  refuse({PMS_TRIANGLE_ATTENTION, nullptr, nullptr, {}, {}, {}, nullptr, nullptr, nullptr, 5, 8,
          16, 2, 1, 0, 1.f}, "positions that are no square");
}

void borrowed_memory() {
  auto round = [] { for (int64_t size : {300, 17, 512, 1, 129, 64}) ones(size, 2); };
  round();
  std::thread others[2];
  for (std::thread &other : others) other = std::thread(round);
  round();
  for (std::thread &other : others) other.join();
  const pid_t child = fork();
  if (child == 0) {
    failures = 0;
    round();
    _exit(failures != 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  expect(status, 0, 0, "kernels in a child process", {});
  if (!__sanitizer_get_current_allocated_bytes) return;
  for (int i = 0; i < 4; i++) round();  // which blocks the threads left is chance
  const size_t before = __sanitizer_get_current_allocated_bytes();
  for (int i = 0; i < 20; i++) round();
  ones(4200, 2);  // packed weights of 70 MB are not kept
  const size_t after = __sanitizer_get_current_allocated_bytes();
  expect(after > before ? double(after - before) : 0, 0, 4 << 20, "bytes kept after more calls",
         {});
}
