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

// One tile of queries and some candidates, their stride longer than their dimensions.
struct Problem {
  Problem(std::size_t wanted, std::size_t rows) : dim(wanted), stride(dim + 16), count(rows) {
    std::mt19937 random(static_cast<unsigned>(dim + rows));
    std::normal_distribution<float> normal;
    columns.resize(dim * kTile);
    candidates.resize(count * stride);
    bias.resize(count);
    keys.resize(std::max(count, kTile));
    scores.resize(count * kTile);
    for (std::vector<float>* values : {&columns, &candidates, &bias, &scores})
      for (float& value : *values) value = normal(random);
    for (std::int32_t& key : keys) key = static_cast<std::int32_t>(random() % 90);
  }

  double score(std::size_t j, std::size_t i) const {
    if (keys[i] == keys[j]) return kNoScore;
    double sum = -static_cast<double>(bias[j]);
    for (std::size_t t = 0; t < dim; ++t)
      sum += static_cast<double>(columns[t * kTile + i]) * candidates[j * stride + t];
    return sum;
  }

  std::size_t dim, stride, count;
  std::vector<float> columns, candidates, bias, scores;
  std::vector<std::int32_t> keys;
};

void is_close(double found, double right, double tolerance, const std::string& what) {
  if (!(std::abs(found - right) <= tolerance * (1.0 + std::abs(right))))
    check(false, what + " is " + std::to_string(found) + ", not " + std::to_string(right));
}

void scores_are_products(const shortlist::SoftmaxKernels& kernels, const Problem& p, const std::string& name) {
  std::vector<float> found(p.count * kTile), most(kTile, -1.0f);
  kernels.scores(p.columns.data(), p.keys.data(),
                 {p.candidates.data(), p.count, p.dim, p.stride, p.bias.data(), p.keys.data()}, found.data());
  kernels.largest(found.data(), p.count, most.data());
  for (std::size_t i = 0; i < kTile; ++i) {
    float largest = -1.0f;
    for (std::size_t j = 0; j < p.count; ++j) {
      is_close(found[j * kTile + i], p.score(j, i), 1e-5, name + ": a score");
      largest = std::max(largest, found[j * kTile + i]);
    }
    check(most[i] == largest, name + ": the largest score");
  }
}

void functions_are_those_of_the_library(const shortlist::SoftmaxKernels& kernels, Problem p, const std::string& name) {
  for (float& score : p.scores) score *= 20.0f;
  std::vector<float> powers = p.scores, shares = p.scores, most(kTile), sums(kTile), losses(kTile);
  for (std::size_t i = 0; i < kTile; ++i) most[i] = static_cast<float>(i % 3);
  kernels.exponentials(powers.data(), p.count, most.data(), sums.data());
  kernels.sigmoids(shares.data(), p.count, losses.data());
  for (std::size_t i = 0; i < kTile; ++i) {
    double sum = 0.0, loss = 0.0;
    for (std::size_t j = 0; j < p.count; ++j) {
      const double score = p.scores[j * kTile + i];
      const double power = std::exp(static_cast<double>(p.scores[j * kTile + i] - most[i]));
      sum += power;
      loss += std::max(score, 0.0) + std::log1p(std::exp(-std::abs(score)));
      check(std::abs(powers[j * kTile + i] - power) <= 1e-6 * power + 1e-37, name + ": an exponential");
      const double share = 1.0 / (1.0 + std::exp(-score));
      check(std::abs(shares[j * kTile + i] - share) <= 1e-6 * share + 1e-37, name + ": a logistic function");
    }
    is_close(sums[i], sum, 1e-5, name + ": the sum of exponentials");
    check(std::abs(losses[i] - loss) <= 1e-5 * loss, name + ": the sum of log(1 + exp)");
  }
}

void products_are_added(const shortlist::SoftmaxKernels& kernels, const Problem& p, const std::string& name) {
  const std::size_t dim = (p.dim + 15) / 16 * 16;
  std::vector<float> of_rows(p.count * p.stride, 1.0f), of_lanes(kTile * p.stride, 1.0f), right(kTile * p.stride, 2.0f);
  for (std::size_t k = 0; k < right.size(); ++k) right[k] = p.columns[k % p.columns.size()];
  kernels.add_products(p.scores.data(), kTile, 1, p.count, kTile, right.data(), p.stride, of_rows.data(), p.stride,
                       dim);
  kernels.add_products(p.scores.data(), 1, kTile, kTile, p.count, p.candidates.data(), p.stride, of_lanes.data(),
                       p.stride, dim);
  for (std::size_t t = 0; t < p.stride; ++t) {
    for (std::size_t j = 0; j < p.count; ++j) {
      double sum = 1.0;
      for (std::size_t i = 0; i < kTile && t < dim; ++i) {
        sum += static_cast<double>(p.scores[j * kTile + i]) * right[i * p.stride + t];
      }
      is_close(of_rows[j * p.stride + t], sum, 1e-4, name + ": a product for a row");
    }
    for (std::size_t i = 0; i < kTile; ++i) {
      double sum = 1.0;
      for (std::size_t j = 0; j < p.count && t < dim; ++j) {
        sum += static_cast<double>(p.scores[j * kTile + i]) * p.candidates[j * p.stride + t];
      }
      is_close(of_lanes[i * p.stride + t], sum, 1e-4, name + ": a product for a lane");
    }
  }
}

}  // namespace

int main() {
  for (const shortlist::Kernels* level : shortlist::available_kernels()) {
    check(level->name == std::string(shortlist::softmax_kernels(level->name).name), "a level has its own softmax");
    const shortlist::SoftmaxKernels& kernels = shortlist::softmax_kernels(level->name);
    for (const std::size_t dim : {1, 15, 16, 33, 48, 144}) {
      for (const std::size_t count : {1, 7, 8, 61}) {
        const std::string name =
            std::string(kernels.name) + ", " + std::to_string(dim) + " dimensions, " + std::to_string(count) + " rows";
        scores_are_products(kernels, Problem(dim, count), name);
        functions_are_those_of_the_library(kernels, Problem(dim, count), name);
        products_are_added(kernels, Problem(dim, count), name);
      }
    }
  }
  return shortlist::testing::finish();
}
