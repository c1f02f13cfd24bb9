// The softmax of training on every level, against the sums written out.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/dispatch.h"
#include "train/softmax.h"
#include "train/softmax_kernels.h"

using shortlist::kNoScore;
using shortlist::kTile;
using shortlist::testing::check;

namespace {

// Two tiles of queries and three of candidates, the last one half empty.
struct Problem {
  explicit Problem(std::size_t wanted) : dim(wanted), stride(dim % 32 == 0 ? dim + 16 : dim) {
    std::mt19937 random(static_cast<unsigned>(dim));
    std::normal_distribution<float> normal;
    queries.resize(rows * stride);
    candidates.resize(columns * stride);
    tiles.resize(columns * dim);
    bias.assign(columns, -kNoScore);
    keys.resize(columns);
    for (float& value : queries) value = normal(random);
    for (std::size_t j = 0; j < columns; ++j) {
      keys[j] = static_cast<std::int32_t>(random() % 90);
      if (j < columns - kTile / 2) bias[j] = normal(random);
      for (std::size_t t = 0; t < dim; ++t) {
        candidates[j * stride + t] = normal(random);
        tiles[(j / kTile * dim + t) * kTile + j % kTile] = candidates[j * stride + t];
      }
    }
  }

  double score(std::size_t i, std::size_t j) const {
    if (keys[i] == keys[j]) return -INFINITY;
    double sum = -static_cast<double>(bias[j]);
    for (std::size_t t = 0; t < dim; ++t)
      sum += static_cast<double>(queries[i * stride + t]) * candidates[j * stride + t];
    return sum;
  }

  std::size_t rows = 2 * kTile, columns = 3 * kTile, dim, stride;
  std::vector<float> queries, candidates, tiles, bias;
  std::vector<std::int32_t> keys;
};

void matches_the_sums(const shortlist::SoftmaxKernels& kernels, std::size_t dim) {
  const Problem p(dim);
  const std::string name = std::string(kernels.name) + ", " + std::to_string(dim) + " dimensions";
  const shortlist::SoftmaxQueries queries{p.queries.data(), p.keys.data(), p.rows};
  const shortlist::SoftmaxCandidates candidates{p.candidates.data(), p.tiles.data(), p.bias.data(), p.keys.data(),
                                                p.columns / kTile,   p.dim,          p.stride};
  std::vector<float> log_sums(p.rows);
  for (std::size_t first = 0; first < p.rows; first += kTile)
    kernels.log_sums(queries, candidates, first, log_sums.data());
  std::vector<float> slopes(p.rows);
  for (std::size_t i = 0; i < p.rows; ++i) slopes[i] = static_cast<float>(i % 5) - 1.0f;
  std::vector<float> of_queries(p.rows * p.stride, 0.0f), of_candidates(p.columns * p.stride, 0.0f);
  for (std::size_t tile = 0; tile < p.columns / kTile; ++tile) {
    kernels.gradients(queries, candidates, tile, log_sums.data(), slopes.data(), of_queries.data(),
                      of_candidates.data());
  }
  std::vector<double> right_queries(of_queries.size(), 0.0), right_candidates(of_candidates.size(), 0.0);
  double worst = 0.0;
  for (std::size_t i = 0; i < p.rows; ++i) {
    double sum = 0.0;
    for (std::size_t j = 0; j < p.columns; ++j) sum += std::exp(p.score(i, j));
    worst = std::max(worst, std::abs(std::log(sum) - log_sums[i]));
    for (std::size_t j = 0; j < p.columns; ++j) {
      const double share = slopes[i] * std::exp(p.score(i, j)) / sum;
      for (std::size_t t = 0; t < p.dim; ++t) {
        right_queries[i * p.stride + t] += share * p.candidates[j * p.stride + t];
        right_candidates[j * p.stride + t] += share * p.queries[i * p.stride + t];
      }
    }
  }
  check(worst < 1e-4, name + ": log sums differ by " + std::to_string(worst));
  worst = 0.0;
  for (std::size_t i = 0; i < of_queries.size(); ++i)
    worst = std::max(worst, std::abs(right_queries[i] - of_queries[i]));
  check(worst < 1e-3, name + ": gradients of queries differ by " + std::to_string(worst));
  worst = 0.0;
  for (std::size_t i = 0; i < of_candidates.size(); ++i) {
    worst = std::max(worst, std::abs(right_candidates[i] - of_candidates[i]));
  }
  check(worst < 1e-3, name + ": gradients of candidates differ by " + std::to_string(worst));
}

}  // namespace

int main() {
  for (const shortlist::Kernels* level : shortlist::available_kernels()) {
    check(level->name == std::string(shortlist::softmax_kernels(level->name).name), "a level has its own softmax");
    for (const std::size_t dim : {16, 32, 48, 64, 144}) matches_the_sums(shortlist::softmax_kernels(level->name), dim);
  }
  return shortlist::testing::finish();
}
