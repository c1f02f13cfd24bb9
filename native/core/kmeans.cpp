#include "kmeans.h"

#include <algorithm>
#include <vector>

#include "dispatch.h"
#include "float_blocks.h"
#include "random.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 4096;
constexpr std::size_t kClustersPerPiece = 16;

void assign(const float* rows, std::size_t num_rows, std::size_t dim, KMeans& result, std::size_t threads) {
  const FloatBlocks blocks(result.centroids.data(), result.num_clusters, dim);
  const Kernels& kernels = active_kernels();
  parallel_for((num_rows + kRowsPerPiece - 1) / kRowsPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * kRowsPerPiece;
    const std::size_t count = std::min(kRowsPerPiece, num_rows - first);
    float scores[kRowsPerPiece];
    kernels.f32_best(blocks.blocks.data(), blocks.count(), dim, blocks.bias.data(), rows + first * dim, dim, count,
                     &result.assignment[first], scores);
  });
}

// Moves every centroid to the mean of its rows; an empty cluster takes a random row of one that has rows to spare.
void update(const float* rows, std::size_t num_rows, std::size_t dim, KMeans& result, Random& random,
            std::size_t threads) {
  const Members members(result.assignment.data(), num_rows, result.num_clusters);
  const std::size_t pieces = (result.num_clusters + kClustersPerPiece - 1) / kClustersPerPiece;
  parallel_for(pieces, threads, [&](std::size_t piece, std::size_t) {
    std::vector<double> sum(dim);
    const std::size_t last = std::min(result.num_clusters, (piece + 1) * kClustersPerPiece);
    for (std::size_t cluster = piece * kClustersPerPiece; cluster < last; ++cluster) {
      const std::uint32_t begin = members.starts[cluster];
      const std::uint32_t end = members.starts[cluster + 1];
      if (begin == end) continue;
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::uint32_t i = begin; i < end; ++i) {
        const float* row = rows + std::size_t{members.order[i]} * dim;
        for (std::size_t t = 0; t < dim; ++t) sum[t] += row[t];
      }
      for (std::size_t t = 0; t < dim; ++t) {
        result.centroids[cluster * dim + t] = static_cast<float>(sum[t] / (end - begin));
      }
    }
  });
  for (std::size_t cluster = 0; cluster < result.num_clusters; ++cluster) {
    if (members.starts[cluster] != members.starts[cluster + 1]) continue;
    // A random row finds a large cluster in proportion to its size.
    const float* row = rows + random.below(num_rows) * dim;
    std::copy(row, row + dim, &result.centroids[cluster * dim]);
  }
}

// Drops the clusters that no row is nearest to (duplicates of others).
void drop_empty(std::size_t dim, KMeans& result) {
  std::vector<std::uint32_t> number(result.num_clusters, 0);
  for (const std::uint32_t cluster : result.assignment) number[cluster] = 1;
  std::uint32_t kept = 0;
  for (std::size_t cluster = 0; cluster < result.num_clusters; ++cluster) {
    if (number[cluster] == 0) continue;
    std::copy_n(&result.centroids[cluster * dim], dim, &result.centroids[kept * dim]);
    number[cluster] = kept++;
  }
  for (std::uint32_t& cluster : result.assignment) cluster = number[cluster];
  result.num_clusters = kept;
}

}  // namespace

Members::Members(const std::uint32_t* assignment, std::size_t num_rows, std::size_t num_clusters)
    : order(num_rows), starts(num_clusters + 1, 0) {
  for (std::size_t row = 0; row < num_rows; ++row) ++starts[assignment[row] + 1];
  for (std::size_t cluster = 0; cluster < num_clusters; ++cluster) starts[cluster + 1] += starts[cluster];
  std::vector<std::uint32_t> next(starts.begin(), starts.end() - 1);
  for (std::size_t row = 0; row < num_rows; ++row) {
    order[next[assignment[row]]++] = static_cast<std::uint32_t>(row);
  }
}

KMeans kmeans(const float* rows, std::size_t num_rows, std::size_t dim, std::size_t num_clusters,
              std::size_t iterations, std::uint64_t seed, std::size_t threads,
              const std::function<void(double)>& tick) {
  Random random(seed);
  KMeans result;
  result.num_clusters = std::min(num_clusters, num_rows);
  result.centroids = Array<float>(result.num_clusters * dim);
  result.assignment = Array<std::uint32_t>(num_rows);
  const std::vector<std::uint32_t> chosen = random.choose(result.num_clusters, num_rows);
  for (std::size_t cluster = 0; cluster < result.num_clusters; ++cluster) {
    std::copy_n(rows + std::size_t{chosen[cluster]} * dim, dim, &result.centroids[cluster * dim]);
  }
  for (std::size_t i = 0; i < iterations; ++i) {
    assign(rows, num_rows, dim, result, threads);
    update(rows, num_rows, dim, result, random, threads);
    if (tick) tick(static_cast<double>(i + 1) / static_cast<double>(iterations + 1));
  }
  assign(rows, num_rows, dim, result, threads);
  drop_empty(dim, result);
  return result;
}

}  // namespace shortlist
