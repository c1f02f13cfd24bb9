// The loops of the softmax over vectors of any width. A level is a struct with the types `Floats` and `Integers` of
// `kWidth` lanes, and with how many queries (`kRows`) times vectors of candidates (`kVectors`) its registers hold.
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

  // Scores of R queries from `row` with kStep candidates from `column` of a tile; kNoScore for those of equal keys.
  template <std::size_t R>
  static void scores(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t row,
                     std::size_t tile, std::size_t column, Floats (&sums)[R][kVectors]) {
    const float* columns = candidates.columns + tile * candidates.dim * kTile + column;
    const float* values = queries.values + row * candidates.stride;
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = Floats{};
    }
    for (std::size_t t = 0; t < candidates.dim; ++t) {
      Floats loaded[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) loaded[v] = load(columns + t * kTile + v * kWidth);
      for (std::size_t r = 0; r < R; ++r) {
        const float value = values[r * candidates.stride + t];
        for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] += loaded[v] * value;
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t at = tile * kTile + column + v * kWidth;
      const Floats bias = load(candidates.bias + at);
      const Integers keys = load(candidates.keys + at);
      for (std::size_t r = 0; r < R; ++r) {
        const Floats none = Floats{} + kNoScore;
        sums[r][v] = keys == queries.keys[row + r] ? none : sums[r][v] - bias;
      }
    }
  }

  template <std::size_t R>
  static void log_sums_of(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t row,
                          float* log_sums) {
    Floats most[R];
    Floats total[R];
    for (std::size_t r = 0; r < R; ++r) most[r] = Floats{} + kNoScore, total[r] = Floats{};
    for (std::size_t tile = 0; tile < candidates.tiles; ++tile) {
      for (std::size_t column = 0; column < kTile; column += kStep) {
        Floats sums[R][kVectors];
        scores<R>(queries, candidates, row, tile, column, sums);
        for (std::size_t r = 0; r < R; ++r) {
          Floats now = most[r];
          for (std::size_t v = 0; v < kVectors; ++v) now = larger(now, sums[r][v]);
          total[r] *= exp_of(most[r] - now);
          for (std::size_t v = 0; v < kVectors; ++v) total[r] += exp_of(sums[r][v] - now);
          most[r] = now;
        }
      }
    }
    for (std::size_t r = 0; r < R; ++r) {
      float largest = kNoScore;
      for (std::size_t lane = 0; lane < kWidth; ++lane) largest = most[r][lane] > largest ? most[r][lane] : largest;
      double sum = 0.0;
      for (std::size_t lane = 0; lane < kWidth; ++lane) {
        sum += static_cast<double>(total[r][lane]) * std::exp(static_cast<double>(most[r][lane]) - largest);
      }
      log_sums[row + r] = largest + static_cast<float>(std::log(sum));
    }
  }

  static void log_sums(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t first,
                       float* log_sums) {
    std::size_t row = first;
    for (; row + kRows <= first + kTile; row += kRows) log_sums_of<kRows>(queries, candidates, row, log_sums);
    for (; row < first + kTile; ++row) log_sums_of<1>(queries, candidates, row, log_sums);
  }

  template <std::size_t R>
  static void shares_of(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t row,
                        std::size_t tile, const float* log_sums, const float* slopes, float* shares) {
    for (std::size_t column = 0; column < kTile; column += kStep) {
      Floats sums[R][kVectors];
      scores<R>(queries, candidates, row, tile, column, sums);
      for (std::size_t r = 0; r < R; ++r) {
        for (std::size_t v = 0; v < kVectors; ++v) {
          const Floats negative = exp_of(sums[r][v] - log_sums[row + r]) * slopes[row + r];
          const Floats none = Floats{} + 0.5f * kNoScore;  // also where a query has no negatives at all
          store(shares + r * kTile + column + v * kWidth, sums[r][v] > none ? negative : Floats{});
        }
      }
    }
  }

  // out (R rows) += sum over k < kTile of left[i * row_step + k * step] * right row k.
  template <std::size_t R, std::size_t V>
  static void add_products(const float* left, std::size_t row_step, std::size_t step, const float* right, float* out,
                           std::size_t stride) {
    Floats sums[R][V];
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < V; ++v) sums[r][v] = load(out + r * stride + v * kWidth);
    }
    for (std::size_t k = 0; k < kTile; ++k) {
      Floats loaded[V];
      for (std::size_t v = 0; v < V; ++v) loaded[v] = load(right + k * stride + v * kWidth);
      for (std::size_t r = 0; r < R; ++r) {
        const float value = left[r * row_step + k * step];
        for (std::size_t v = 0; v < V; ++v) sums[r][v] += loaded[v] * value;
      }
    }
    for (std::size_t r = 0; r < R; ++r) {
      for (std::size_t v = 0; v < V; ++v) store(out + r * stride + v * kWidth, sums[r][v]);
    }
  }

  static void add_products(const float* left, std::size_t row_step, std::size_t step, const float* right, float* out,
                           std::size_t dim, std::size_t stride) {
    constexpr std::size_t kPair = 16 / kWidth > 2 ? 16 / kWidth : 2;  // dim is a multiple of 16
    constexpr std::size_t kSingle = 16 / kWidth > 1 ? 16 / kWidth : 1;
    constexpr std::size_t kTall = kTile % Level::kTall == 0 ? Level::kTall : 4;
    std::size_t t = 0;
    for (; t + kPair * kWidth <= dim; t += kPair * kWidth) {
      for (std::size_t i = 0; i < kTile; i += kTall) {
        add_products<kTall, kPair>(left + i * row_step, row_step, step, right + t, out + i * stride + t, stride);
      }
    }
    for (; t < dim; t += kSingle * kWidth) {
      for (std::size_t i = 0; i < kTile; i += kTall) {
        add_products<kTall, kSingle>(left + i * row_step, row_step, step, right + t, out + i * stride + t, stride);
      }
    }
  }

  static void gradients(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t tile,
                        const float* log_sums, const float* slopes, float* query_gradients,
                        float* candidate_gradients) {
    const std::size_t dim = candidates.dim;
    const std::size_t stride = candidates.stride;
    float shares[kTile * kTile];
    for (std::size_t first = 0; first < queries.count; first += kTile) {
      std::size_t row = 0;
      for (; row + kRows <= kTile; row += kRows) {
        shares_of<kRows>(queries, candidates, first + row, tile, log_sums, slopes, shares + row * kTile);
      }
      for (; row < kTile; ++row) {
        shares_of<1>(queries, candidates, first + row, tile, log_sums, slopes, shares + row * kTile);
      }
      add_products(shares, kTile, 1, candidates.values + tile * kTile * stride, query_gradients + first * stride, dim,
                   stride);
      add_products(shares, 1, kTile, queries.values + first * stride, candidate_gradients + tile * kTile * stride, dim,
                   stride);
    }
  }

  static constexpr SoftmaxKernels kernels(const char* name) { return {name, log_sums, gradients}; }
};

}  // namespace
}  // namespace shortlist
