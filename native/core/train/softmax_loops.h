// The loops of the softmax over vectors of any width. A level is a struct with the types `Floats` and `Integers` of
// `kWidth` lanes, and with how many rows (`kRows`) times vectors (`kVectors`) of sums its registers hold.
// Included by one file for each instruction set, inside its anonymous namespace; so nothing here may be used elsewhere.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "train/softmax_kernels.h"

namespace shortlist {
namespace {

template <class Level>
struct SoftmaxLoops {
  using Floats = typename Level::Floats;
  using Integers = typename Level::Integers;
  static constexpr std::size_t kWidth = Level::kWidth;
  static constexpr std::size_t kRows = Level::kRows;
  static constexpr std::size_t kVectors = Level::kVectors;
  static constexpr std::size_t kStep = kVectors * kWidth;
  static_assert(kTile % kStep == 0);

  static Floats load(const float* from) {
    Floats values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
  static Integers load(const std::int32_t* from) {
    Integers values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
  static void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }
  static Floats larger(Floats a, Floats b) { return a > b ? a : b; }

  // exp to about one unit in the last place; 0 below -87, e^88 above 88.
  static Floats exp_of(Floats x) {
    constexpr float kShift = 12582912.0f;  // adding it rounds to a whole number
    const Floats least = Floats{} - 87.0f;
    const Floats most = Floats{} + 88.0f;
    const auto vanishes = x < least;
    x = x < least ? least : x;
    x = x > most ? most : x;
    const Floats shifted = x * 1.44269504f + kShift;
    const Floats whole = shifted - kShift;
    const Floats rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;  // log 2 in two parts
    Floats power = rest * (1.0f / 720) + (1.0f / 120);
    power = power * rest + (1.0f / 24);
    power = power * rest + (1.0f / 6);
    power = power * rest + 0.5f;
    power = power * rest + 1.0f;
    power = power * rest + 1.0f;
    Integers bits, exponent;
    std::memcpy(&bits, &power, sizeof bits);
    std::memcpy(&exponent, &shifted, sizeof exponent);
    bits += exponent << 23;  // the low bits of `shifted` are the whole number; those of the shift leave at the top
    Floats result;
    std::memcpy(&result, &bits, sizeof result);
    return vanishes ? Floats{} : result;
  }

  // log(1 + x) for x in [0, 1], by log(1 + x) = 2 artanh(x / (2 + x)): exact to rounding for small x, too.
  static Floats log_of_one_and(Floats x) {
    const Floats u = x / (x + 2.0f);
    const Floats square = u * u;
    Floats sum = square * (1.0f / 13) + (1.0f / 11);
    sum = sum * square + (1.0f / 9);
    sum = sum * square + (1.0f / 7);
    sum = sum * square + (1.0f / 5);
    sum = sum * square + (1.0f / 3);
    sum = sum * square + 1.0f;
    return 2.0f * u * sum;
  }

  // Scores of R candidates from `row` on with the kStep queries from `lane` on.
  template <std::size_t R>
  static void scores_of(const float* columns, const std::int32_t* keys, const CandidateRows& candidates,
                        std::size_t row, std::size_t lane, float* out) {
    const float* values = candidates.values + row * candidates.stride;
    Floats sums[R][kVectors];
    for (std::size_t r = 0; r < R; ++r) {
      const float bias = candidates.bias == nullptr ? 0.0f : candidates.bias[row + r];
      for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = Floats{} - bias;
    }
    for (std::size_t t = 0; t < candidates.dim; ++t) {
      Floats loaded[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) loaded[v] = load(columns + t * kTile + lane + v * kWidth);
      for (std::size_t r = 0; r < R; ++r) {
        const float value = values[r * candidates.stride + t];
        for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] += loaded[v] * value;
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      if (candidates.keys != nullptr) {
        const Integers own = load(keys + lane + v * kWidth);
        const Floats none = Floats{} + kNoScore;
        for (std::size_t r = 0; r < R; ++r) sums[r][v] = own == candidates.keys[row + r] ? none : sums[r][v];
      }
      for (std::size_t r = 0; r < R; ++r) store(out + (row + r) * kTile + lane + v * kWidth, sums[r][v]);
    }
  }

  static void scores(const float* columns, const std::int32_t* keys, const CandidateRows& candidates, float* out) {
    std::size_t row = 0;
    for (; row + kRows <= candidates.count; row += kRows) {
      for (std::size_t lane = 0; lane < kTile; lane += kStep) {
        scores_of<kRows>(columns, keys, candidates, row, lane, out);
      }
    }
    for (; row < candidates.count; ++row) {
      for (std::size_t lane = 0; lane < kTile; lane += kStep) scores_of<1>(columns, keys, candidates, row, lane, out);
    }
  }

  static void largest(const float* scores, std::size_t count, float* most) {
    for (std::size_t lane = 0; lane < kTile; lane += kStep) {
      Floats now[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) now[v] = load(most + lane + v * kWidth);
      for (std::size_t row = 0; row < count; ++row) {
        for (std::size_t v = 0; v < kVectors; ++v) {
          now[v] = larger(now[v], load(scores + row * kTile + lane + v * kWidth));
        }
      }
      for (std::size_t v = 0; v < kVectors; ++v) store(most + lane + v * kWidth, now[v]);
    }
  }

  static void exponentials(float* scores, std::size_t count, const float* most, float* sums) {
    for (std::size_t lane = 0; lane < kTile; lane += kStep) {
      Floats sum[kVectors] = {}, from[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) from[v] = load(most + lane + v * kWidth);
      for (std::size_t row = 0; row < count; ++row) {
        for (std::size_t v = 0; v < kVectors; ++v) {
          float* at = scores + row * kTile + lane + v * kWidth;
          const Floats value = exp_of(load(at) - from[v]);
          sum[v] += value;
          store(at, value);
        }
      }
      for (std::size_t v = 0; v < kVectors; ++v) store(sums + lane + v * kWidth, sum[v]);
    }
  }

  static void sigmoids(float* scores, std::size_t count, float* sums) {
    for (std::size_t lane = 0; lane < kTile; lane += kWidth) {
      Floats sum{};
      for (std::size_t row = 0; row < count; ++row) {
        float* at = scores + row * kTile + lane;
        const Floats score = load(at);
        const auto above = score > Floats{};
        const Floats fraction = exp_of(above ? -score : score);
        const Floats share = 1.0f / (fraction + 1.0f);
        sum += (above ? score : Floats{}) + log_of_one_and(fraction);
        store(at, above ? share : fraction * share);
      }
      store(sums + lane, sum);
    }
  }

  template <std::size_t R, std::size_t V>
  static void products_of(const float* left, std::size_t row_step, std::size_t step, std::size_t depth,
                          const float* right, std::size_t right_stride, float* out, std::size_t out_stride) {
    Floats sums[R][V];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < V; ++v) sums[r][v] = load(out + r * out_stride + v * kWidth);
    }
    for (std::size_t k = 0; k < depth; ++k) {
      Floats loaded[V];
      for (std::size_t v = 0; v < V; ++v) loaded[v] = load(right + k * right_stride + v * kWidth);
      for (std::size_t r = 0; r < R; ++r) {
        const float value = left[r * row_step + k * step];
        for (std::size_t v = 0; v < V; ++v) sums[r][v] += loaded[v] * value;
      }
    }
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < V; ++v) store(out + r * out_stride + v * kWidth, sums[r][v]);
    }
  }

  template <std::size_t V>
  static void columns_of(const float* left, std::size_t row_step, std::size_t step, std::size_t rows, std::size_t depth,
                         const float* right, std::size_t right_stride, float* out, std::size_t out_stride) {
    std::size_t i = 0;
    for (; i + Level::kTall <= rows; i += Level::kTall) {
      products_of<Level::kTall, V>(left + i * row_step, row_step, step, depth, right, right_stride,
                                   out + i * out_stride, out_stride);
    }
    for (; i < rows; ++i) {
      products_of<1, V>(left + i * row_step, row_step, step, depth, right, right_stride, out + i * out_stride,
                        out_stride);
    }
  }

  static void add_products(const float* left, std::size_t row_step, std::size_t step, std::size_t rows,
                           std::size_t depth, const float* right, std::size_t right_stride, float* out,
                           std::size_t out_stride, std::size_t dim) {
    constexpr std::size_t kSingle = 16 / kWidth;
    constexpr std::size_t kPair = kSingle < 2 ? 2 : kSingle;
    std::size_t t = 0;
    for (; t + kPair * kWidth <= dim; t += kPair * kWidth) {
      columns_of<kPair>(left, row_step, step, rows, depth, right + t, right_stride, out + t, out_stride);
    }
    for (; t < dim; t += kSingle * kWidth) {
      columns_of<kSingle>(left, row_step, step, rows, depth, right + t, right_stride, out + t, out_stride);
    }
  }

  static constexpr SoftmaxKernels kernels(const char* name) {
    return {name, scores, largest, exponentials, sigmoids, add_products};
  }
};

}  // namespace
}  // namespace shortlist
