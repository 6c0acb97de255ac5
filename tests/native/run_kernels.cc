// SPDX-License-Identifier: Apache-2.0
// Every kernel on every instruction set over exact-size heap buffers, for the sanitizers to watch,
// and against plain loops in double. Built by test_sanitizers.py; prints and returns 1 on an error.
#include <vector>

#include "check.h"

namespace {

struct Shape {
  int64_t b, r, q, k, h, d, bias_b, bias_r;  // bias_b 0: no bias
  int mask;                                  // 0 none, 1 keep, 2 additive
  bool gate, ending;
};

void expect(double ours, double exact, double tolerance, const char *what, const Shape &s) {
  ::expect(ours, exact, tolerance, what, {s.q, s.k, s.d});
}

void set_strides(const Shape &s, int64_t tokens, int64_t stride[4]) {
  stride[3] = s.d;
  stride[s.ending ? 1 : 2] = s.h * s.d;
  stride[s.ending ? 2 : 1] = s.h * s.d * (s.ending ? s.r : tokens);
  stride[0] = s.h * s.d * s.r * tokens;
}

// The gradient of q by plain loops is enough to tell a wrong recomputation; the Python tests
// compare all gradients.
void check(const Shape &s, const PmsAttention &a) {
  std::vector<double> p(s.k);
  for (int64_t b = 0; b < s.b; b++)
    for (int64_t r = 0; r < s.r; r++)
      for (int64_t h = 0; h < s.h; h++)
        for (int64_t i = 0; i < s.q; i++) {
          const int64_t at = b * a.q_stride[0] + r * a.q_stride[1] + i * a.q_stride[2] + h * s.d;
          const int64_t keys = b * a.k_stride[0] + r * a.k_stride[1] + h * s.d;
          const int64_t mask = b * a.mask_stride[0] + r * a.mask_stride[1];
          double top = -INFINITY, sum = 0, delta = 0;
          for (int64_t j = 0; j < s.k; j++) {
            double x = 0;
            for (int64_t d = 0; d < s.d; d++)
              x += double(a.q[at + d]) * a.k[keys + j * a.k_stride[2] + d];
            x *= a.scale;
            if (a.bias)
              x += a.bias[b * a.bias_stride[0] + r * a.bias_stride[1] + (h * s.q + i) * s.k + j];
            if (a.mask) x = a.mask[mask + j] <= -1e8f ? -INFINITY : x + a.mask[mask + j];
            if (a.keep && !a.keep[mask + j]) x = -INFINITY;
            p[j] = x;
            top = std::max(top, x);
          }
          for (int64_t j = 0; j < s.k; j++)
            sum += p[j] = top == -INFINITY ? 0 : std::exp(p[j] - top);
          for (int64_t j = 0; j < s.k; j++) p[j] /= sum > 0 ? sum : 1;
          for (int64_t d = 0; d < s.d; d++) {
            double o = 0;
            for (int64_t j = 0; j < s.k; j++) o += p[j] * a.v[keys + j * a.k_stride[2] + d];
            const double open = a.gate ? 1 / (1 + std::exp(-double(a.gate[at + d]))) : 1;
            expect(a.out[at + d], o * open, 1e-5, "out", s);
            delta += o * open * a.dout[at + d];
          }
          for (int64_t d = 0; d < s.d; d++) {
            double dq = 0;
            for (int64_t j = 0; j < s.k; j++) {
              double dp = 0;
              for (int64_t e = 0; e < s.d; e++) {
                const double open = a.gate ? 1 / (1 + std::exp(-double(a.gate[at + e]))) : 1;
                dp += open * a.dout[at + e] * a.v[keys + j * a.k_stride[2] + e];
              }
              dq += p[j] * (dp - delta) * a.k[keys + j * a.k_stride[2] + d];
            }
            expect(a.dq[at + d], dq * a.scale, 5e-5, "dq", s);
          }
        }
}

void attention(const Shape &s, int isa, int threads) {
  const int64_t queries = s.b * s.r * s.q * s.h * s.d, keys = s.b * s.r * s.k * s.h * s.d;
  const int64_t biases = std::max<int64_t>(s.bias_b * s.bias_r, 1) * s.h * s.q * s.k;
  Floats q(queries), gate(queries), dout(queries), out(queries, false), dq(queries, false),
      dgate(queries, false), k(keys), v(keys), dk(keys, false), dv(keys, false), bias(biases),
      dbias(biases, false), mask(s.r * s.k), lse(s.b * s.r * s.h * s.q, false);
  std::vector<uint8_t> keep(s.r * s.k);
  for (int64_t j = 0; j < s.r * s.k; j++) {
    keep[j] = j >= s.k && j % 3 != 0;  // nothing in the first row
    if (!keep[j]) mask[j] = -1e9f;
  }
  PmsAttention a = {};
  a.q = q; a.k = k; a.v = v; a.out = out; a.lse = lse; a.dout = dout;
  a.dq = dq; a.dk = dk; a.dv = dv; a.scale = 0.3f;
  a.batch = s.b; a.rows = s.r; a.queries = s.q; a.keys = s.k; a.heads = s.h; a.width = s.d;
  set_strides(s, s.q, a.q_stride);
  set_strides(s, s.k, a.k_stride);
  if (s.bias_b) {
    const int64_t size = s.h * s.q * s.k;
    a.bias = bias; a.dbias = dbias;
    a.bias_stride[1] = s.bias_r > 1 ? size : 0;
    a.bias_stride[0] = s.bias_b > 1 ? s.bias_r * size : 0;
  }
  a.mask_stride[1] = s.k;
  if (s.mask == 1) a.keep = keep.data();
  if (s.mask == 2) a.mask = mask;
  if (s.gate) { a.gate = gate; a.dgate = dgate; }
  if (pms_attention_forward(&a, isa, threads) || pms_attention_backward(&a, isa, threads))
    expect(1, 0, 0, "status", s);
  check(s, a);
  for (const Floats *g : {&dq, &dk, &dv})
    for (int64_t i = 0; i < g->size; i++) expect(std::isfinite((*g)[i]), 1, 0, "finite", s);
  for (int64_t i = 0; s.bias_b && i < biases; i++)
    expect(std::isfinite(dbias[i]), 1, 0, "dbias", s);
}

// Windows of q queries and k keys over `tokens` tokens, against windows that were cut out first.
void windows(int64_t tokens, int64_t q, int64_t k, int64_t h, int64_t d, int isa, int threads) {
  const int64_t n = tokens * h * d, w = (tokens + q - 1) / q, left = (k - q) / 2;
  Floats x(2 * n), y(2 * n), v(2 * n), gate(2 * n), bias(w * h * q * k), out(2 * n, false);
  PmsAttention a = {};
  a.q = x; a.k = y; a.v = v; a.gate = gate; a.bias = bias; a.out = out; a.scale = 0.3f;
  a.batch = 2; a.rows = w; a.heads = h; a.queries = q; a.keys = k; a.width = d;
  a.tokens = tokens; a.window_left = left;
  const int64_t stride[4] = {n, q * h * d, h * d, d};
  for (int i = 0; i < 4; i++) a.q_stride[i] = a.k_stride[i] = stride[i];
  a.bias_stride[1] = h * q * k;
  const Shape s = {2, w, q, k, h, d, 1, w, 0, true, false};
  if (pms_attention_forward(&a, isa, threads) || !pms_attention_backward(&a, isa, threads))
    expect(1, 0, 0, "status", s);
  for (int64_t at = 0; at < 2 * tokens; at++)
    for (int64_t e = 0; e < h; e++) {
      const int64_t b = at / tokens, t = at % tokens, r = t / q;
      std::vector<double> o(d);
      double sum = 0;
      for (int64_t j = 0; j < k; j++) {
        const int64_t key = r * q - left + j;
        if (key < 0 || key >= tokens) continue;
        double z = 0;
        for (int64_t c = 0; c < d; c++)
          z += double(x[(at * h + e) * d + c]) * y[((b * tokens + key) * h + e) * d + c];
        z = std::exp(z * 0.3f + bias[((r * h + e) * q + t % q) * k + j]);
        sum += z;
        for (int64_t c = 0; c < d; c++) o[c] += z * v[((b * tokens + key) * h + e) * d + c];
      }
      for (int64_t c = 0; c < d; c++) {
        const int64_t i = (at * h + e) * d + c;
        expect(out[i], o[c] / sum / (1 + std::exp(-double(gate[i]))), 1e-5, "windows", s);
      }
    }
}

void layer_norm(int64_t count, int64_t channels, bool channel_first, int isa, int threads) {
  const int64_t n = count * channels;
  Floats x(n), dy(n), y(n, false), dx(n, false), weight(channels), bias(channels),
      dweight(channels, false), dbias(channels, false);
  PmsLayerNorm a = {x, weight, bias, y, dy, dx, dweight, dbias, count, channels, channel_first,
                    1e-5f};
  const Shape s = {1, 1, count, 0, 0, channels, 0, 0, 0, false, false};
  if (pms_layer_norm_forward(&a, isa, threads) || pms_layer_norm_backward(&a, isa, threads))
    expect(1, 0, 0, "status", s);
  for (int64_t i = 0; i < count; i++) {
    double mean = 0, variance = 0;
    auto value = [&](int64_t c) { return channel_first ? x[c * count + i] : x[i * channels + c]; };
    for (int64_t c = 0; c < channels; c++) mean += value(c) / double(channels);
    for (int64_t c = 0; c < channels; c++)
      variance += (value(c) - mean) * (value(c) - mean) / channels;
    for (int64_t c = 0; c < channels; c++)
      expect(y[i * channels + c],
             (value(c) - mean) / std::sqrt(variance + 1e-5) * weight[c] + bias[c], 1e-5, "norm", s);
  }
  for (int64_t i = 0; i < n; i++) expect(std::isfinite(dx[i]), 1, 0, "dx", s);
}

void gate(int64_t size, int swish, int isa, int threads) {
  Floats x(size), g(size), dy(size), y(size, false), dx(size, false), dg(size, false);
  PmsGate a = {x, g, y, dy, dx, dg, size, swish};
  const Shape s = {};
  if (pms_gate_forward(&a, isa, threads) || pms_gate_backward(&a, isa, threads))
    expect(1, 0, 0, "status", s);
  for (int64_t i = 0; i < size; i++) {
    const double open = 1 / (1 + std::exp(-double(g[i])));
    expect(y[i], x[i] * open * (swish ? g[i] : 1.), 1e-5, "gate", s);
    expect(std::isfinite(dx[i]) && std::isfinite(dg[i]), 1, 0, "gate gradient", s);
  }
}

void outer_sum(int64_t n, int64_t m, int64_t c, int isa, int threads) {
  Floats left(n * c), right(m * c), dy(n * m * c), y(n * m * c, false), dleft(n * c, false),
      dright(m * c, false);
  PmsOuterSum a = {left, right, y, dy, dleft, dright, n, m, c};
  const Shape s = {};
  if (pms_outer_sum_forward(&a, isa, threads) || pms_outer_sum_backward(&a, isa, threads))
    expect(1, 0, 0, "status", s);
  for (int64_t i = 0; i < n * m * c; i++)
    expect(y[i], left[i / (m * c) * c + i % c] + right[i % (m * c)], 1e-6, "outer sum", s);
  for (int64_t i = 0; i < n * c; i++) expect(std::isfinite(dleft[i]), 1, 0, "dleft", s);
  for (int64_t i = 0; i < m * c; i++) expect(std::isfinite(dright[i]), 1, 0, "dright", s);
}

// Two tensors, the second of which has neither gradient nor average; beside doubles.
void adam(int64_t n, int isa, int threads) {
  Floats w(n), g(n), m(n), v(n), mean(n), idle(5);
  std::vector<double> expected(n), average(n), bound(n);
  for (int64_t i = 0; i < n; i++) {
    v[i] *= v[i];
    const double slope = 0.5 * g[i] + 0.1 * w[i], first = m[i] + (slope - m[i]) * 0.25;
    const double second = v[i] * 0.5 + slope * slope * 0.5;
    const double step = first / (std::sqrt(second) * 1.5 + 1e-8) * 0.01;  // large where second is small
    expected[i] = w[i] * 0.99 - step;
    bound[i] = 1e-6 * (1 + std::abs(step));
    average[i] = expected[i] * 0.125 + mean[i] * 0.875;
  }
  const PmsAdamTensor tensors[2] = {{w, g, m, v, mean, n, 0.1f, 0.99f, 0.01f, 1.5f},
                                    {idle, nullptr, nullptr, nullptr, nullptr, 5, 0, 1, 0, 0}};
  const int64_t units = (n + pms_adam_unit() - 1) / pms_adam_unit(), first_unit[2] = {0, units};
  const PmsAdam a = {tensors, first_unit, 2, 0.5f, 0.25f, 0.5f, 1e-8f, 0.875f, 0.125f, 0.5f};
  const Shape s = {};
  double squares = 0, exact = 0;
  for (int64_t i = 0; i < n; i++) exact += double(g[i]) * g[i];
  if (pms_gradient_norm(&a, units + 1, &squares, isa, threads)) expect(1, 0, 0, "status", s);
  expect(squares / exact, 1, 1e-12, "sum of squares", s);
  if (pms_adam(&a, units + 1, isa, threads)) expect(1, 0, 0, "status", s);
  for (int64_t i = 0; i < n; i++) {
    expect(w[i], expected[i], bound[i], "adam weight", s);
    expect(mean[i], average[i], bound[i], "adam average", s);
  }
}

}  // namespace

// With any argument only the best instruction set and several threads: enough for races.
int main(int arguments, char **) {
  for (int isa = arguments > 1 ? pms_best_isa() : PMS_PLAIN; isa <= pms_best_isa(); isa++) {
    for (int threads = arguments > 1 ? 3 : 1; threads <= 3; threads += 2) {
      //            b  r  q   k    h  d  bias  mask gate   ending
      attention({1, 5, 29, 29, 2, 32, 1, 1, 0, true, false}, isa, threads);
      attention({1, 3, 13, 13, 2, 24, 1, 1, 1, true, true}, isa, threads);
      attention({2, 3, 32, 128, 1, 16, 1, 3, 2, false, false}, isa, threads);
      attention({2, 2, 7, 33, 2, 17, 2, 1, 1, true, false}, isa, threads);
      attention({2, 2, 12, 16, 1, 64, 2, 2, 0, false, true}, isa, threads);
      attention({1, 1, 1, 1, 1, 8, 0, 0, 0, false, false}, isa, threads);
      attention({1, 1, 205, 65, 1, 48, 1, 1, 0, false, false}, isa, threads);
      attention({1, 1, 53, 531, 2, 20, 0, 0, 1, true, false}, isa, threads);
      windows(7, 4, 16, 2, 8, isa, threads);
      windows(100, 32, 128, 2, 17, isa, threads);
      gate(1, 0, isa, threads);
      gate(70000, 1, isa, threads);
      adam(1, isa, threads);
      adam(70003, isa, threads);
      outer_sum(3, 5, 7, isa, threads);
      outer_sum(40, 33, 50, isa, threads);
      for (bool channel_first : {false, true}) {
        layer_norm(1, 1, channel_first, isa, threads);
        layer_norm(131, 33, channel_first, isa, threads);
        layer_norm(4200, 48, channel_first, isa, threads);
      }
      layers(isa, threads);
    }
  }
  borrowed_memory();
  std::printf("%d failures, instruction sets up to %d\n", failures, pms_best_isa());
  return failures != 0;
}
