// Clusters: the nearest centroid of every row, and k-means that finds the clusters that are there.
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "partition/kmeans.h"
#include "partition/nearest.h"

using namespace shortlist;
using shortlist::testing::check;

namespace {

using Generator = std::mt19937;

std::vector<float> normal(std::size_t count, double mean, double deviation, Generator& generator) {
  std::normal_distribution<double> value(mean, deviation);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(value(generator));
  return values;
}

double squared_distance(const float* a, const float* b, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) squares += (double{a[t]} - b[t]) * (double{a[t]} - b[t]);
  return squares;
}

double least_distance(const float* row, const std::vector<float>& centroids, std::size_t dim) {
  double least = squared_distance(row, centroids.data(), dim);
  for (std::size_t c = 1; c < centroids.size() / dim; ++c) {
    least = std::min(least, squared_distance(row, &centroids[c * dim], dim));
  }
  return least;
}

// Nearly always the nearest, to rounding, and never one much farther, wherever the rows
// lie: `mean` is large beside their distances.
void check_nearest(std::size_t count, std::size_t dim, double mean, Generator& generator) {
  constexpr std::size_t kRows = 1000;
  const std::vector<float> centroids = normal(count * dim, mean, 1.0, generator);
  const std::vector<float> rows = normal(kRows * dim, mean, 1.0, generator);
  std::vector<std::uint32_t> nearest(kRows, 0xffffffffu);
  Nearest(centroids.data(), count, dim).find(rows.data(), kRows, nearest.data());
  const std::string what =
      std::to_string(count) + " centroids, dim " + std::to_string(dim) + ", mean " + std::to_string(mean);
  std::size_t right = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    check(nearest[row] < count, "no such centroid, " + what);
    if (nearest[row] >= count) return;
    const double found = squared_distance(&rows[row * dim], &centroids[nearest[row] * dim], dim);
    const double least = least_distance(&rows[row * dim], centroids, dim);
    right += found <= least * (1.0 + 1e-5) + 1e-5 * mean ? 1 : 0;
    check(found <= 1.1 * least + 0.05 * static_cast<double>(dim), "far from the nearest, " + what);
  }
  check(right >= kRows * 98 / 100, std::to_string(right) + " of 1000 right, " + what);
}

// Rows far apart but for those of one cluster: more centroids than clusters find every cluster.
void check_clusters(std::size_t clusters, std::size_t asked, std::size_t sample, Generator& generator) {
  constexpr std::size_t kDim = 24;
  constexpr std::size_t kEach = 40;
  const std::vector<float> centres = normal(clusters * kDim, 0.0, 10.0, generator);
  std::vector<float> rows = normal(clusters * kEach * kDim, 0.0, 0.1, generator);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] += centres[i % (clusters * kDim)];
  const std::size_t num_rows = clusters * kEach;
  const std::string what = std::to_string(asked) + " for " + std::to_string(clusters) + " clusters";
  const KMeansOptions options{asked, sample, 8, 5, 1};
  const KMeans found = kmeans(rows.data(), num_rows, kDim, options);
  check(found.num_clusters <= asked, "how many, " + what);
  const Members members(found.assignment.data(), num_rows, found.num_clusters);
  std::size_t pure = 0;
  for (std::size_t c = 0; c < found.num_clusters; ++c) {
    check(members.starts[c] < members.starts[c + 1], "an empty cluster, " + what);
    bool same = true;
    for (std::size_t i = members.starts[c]; i < members.starts[c + 1]; ++i) {
      same = same && members.order[i] % clusters == members.order[members.starts[c]] % clusters;
    }
    if (same) pure += members.starts[c + 1] - members.starts[c];
  }
  check(pure >= num_rows * 85 / 100, std::to_string(pure) + " of " + std::to_string(num_rows) + " apart, " + what);

  KMeansOptions parallel = options;
  parallel.threads = 3;
  const KMeans again = kmeans(rows.data(), num_rows, kDim, parallel);
  check(std::equal(found.assignment.begin(), found.assignment.end(), again.assignment.begin(), again.assignment.end()),
        "another result on three threads, " + what);
}

void check_equal_rows() {
  const std::vector<float> rows(1000 * 3, 0.5f);
  const KMeans found = kmeans(rows.data(), 1000, 3, {400, 1000, 3, 1, 1});
  check(found.num_clusters == 1, "equal rows are in one cluster");
  check(std::count(found.assignment.begin(), found.assignment.end(), 0u) == 1000, "all of them");
}

}  // namespace

int main() {
  Generator generator(11);
  for (const std::size_t dim : {1, 3, 8, 33, 100}) {
    for (const std::size_t count : {1, 16, 17, 256, 257, 1000}) {
      for (const double mean : {0.0, 100.0}) check_nearest(count, dim, mean, generator);
    }
  }
  check_clusters(20, 60, 800, generator);
  check_clusters(200, 700, 8000, generator);
  check_clusters(200, 700, 3000, generator);
  check_equal_rows();
  return shortlist::testing::finish();
}
