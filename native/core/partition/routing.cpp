#include "partition/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/dispatch.h"
#include "search/topk.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueries = 64;
constexpr std::size_t kBestLeaves = 16;
constexpr std::size_t kNeighbours = 10;
constexpr double kShare = 0.97;

std::vector<float> scores_of(const FloatBlocks& blocks, std::size_t dim, const float* query) {
  std::vector<float> scores(blocks.count() * kBlockRows);
  active_kernels().f32_scores(blocks.blocks.data(), blocks.count(), dim, query, dim, 1, scores.data(), scores.size());
  scores.resize(blocks.num_rows);
  // Rows of a damaged mapped file need not be numbers.
  for (float& score : scores) score = std::isfinite(score) ? score : std::numeric_limits<float>::lowest();
  return scores;
}

float length(const float* values, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(values[t]) * values[t];
  return static_cast<float>(std::sqrt(squares));
}

// The best rows of each of `queries`, which are rows themselves and do not count, among many of all rows.
std::vector<std::vector<Scored>> true_neighbours(const Codebook& codebook, const float* rows, std::size_t size,
                                                 const std::vector<std::uint32_t>& queries, std::size_t threads) {
  constexpr std::size_t kRowsPerPiece = 8192;
  constexpr std::size_t kMostPieces = 256;
  const std::size_t all = (size + kRowsPerPiece - 1) / kRowsPerPiece;
  const std::size_t step = (all + kMostPieces - 1) / kMostPieces;
  const std::size_t pieces = (all + step - 1) / step;
  const Kernels& kernels = active_kernels();
  std::vector<Scored> found(pieces * queries.size() * kNeighbours, Scored{-std::numeric_limits<float>::infinity(), 0});
  parallel_for(pieces, threads, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * step * kRowsPerPiece;
    const std::size_t count = std::min(kRowsPerPiece, size - first);
    std::vector<float> scores(count);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const float* query = rows + std::size_t{queries[i]} * codebook.dim;
      const auto score = codebook.metric == Metric::l2 ? kernels.l2_rows_f32 : kernels.dot_rows_f32;
      score(rows + first * codebook.dim, codebook.dim, nullptr, count, query, codebook.dim, scores.data());
      TopK best(&found[(piece * queries.size() + i) * kNeighbours], kNeighbours);
      for (std::size_t row = 0; row < count; ++row) {
        const float value = codebook.metric == Metric::l2 ? -scores[row] : scores[row];
        if (value < best.threshold() || first + row == queries[i]) continue;
        best.push({value, static_cast<std::uint32_t>(first + row)});
      }
    }
  });
  std::vector<std::vector<Scored>> neighbours(queries.size());
  for (std::size_t i = 0; i < queries.size(); ++i) {
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const Scored* own = &found[(piece * queries.size() + i) * kNeighbours];
      neighbours[i].insert(neighbours[i].end(), own, own + kNeighbours);
    }
    std::sort(neighbours[i].begin(), neighbours[i].end(), better);
    neighbours[i].resize(kNeighbours);
    while (!neighbours[i].empty() && !std::isfinite(neighbours[i].back().score)) neighbours[i].pop_back();
  }
  return neighbours;
}

}  // namespace

float learn_spread(const Codebook& codebook, const float* rows, std::size_t size, const Array<std::uint32_t>& leaf_of,
                   const float* means, const Array<float>& spreads, std::size_t threads) {
  constexpr float kDeviations[] = {0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};
  constexpr double kWanted[] = {0.9, 0.95, 0.98};  // shares of the neighbours
  constexpr double kGain = 0.8;                    // of the leaves to visit: more is not worth the dimension
  const std::size_t dim = codebook.augmentation.coded_dim();
  const std::size_t leaves = spreads.size();
  std::vector<std::uint32_t> queries;
  for (std::size_t i = 0; i < kQueries; ++i) {
    queries.push_back(static_cast<std::uint32_t>(i * size / kQueries));
  }
  const std::vector<std::vector<Scored>> neighbours = true_neighbours(codebook, rows, size, queries, threads);
  const FloatBlocks centroids(means, leaves, dim);
  std::vector<std::size_t> ranks[std::size(kDeviations)];
  std::vector<float> query(dim);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    codebook.augmentation.query(rows + std::size_t{queries[i]} * codebook.dim, query.data());
    const std::vector<float> scores = scores_of(centroids, dim, query.data());
    const float deviation = length(query.data(), dim) / std::sqrt(static_cast<float>(dim));
    for (std::size_t z = 0; z < std::size(kDeviations); ++z) {
      std::vector<float> upper(leaves);
      for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
        upper[leaf] = scores[leaf] + kDeviations[z] * deviation * spreads[leaf];
      }
      for (const Scored& neighbour : neighbours[i]) {
        const std::uint32_t own = leaf_of[neighbour.row];
        if (own >= leaves) continue;
        ranks[z].push_back(static_cast<std::size_t>(
            std::count_if(upper.begin(), upper.end(), [&](float other) { return other > upper[own]; })));
      }
    }
  }
  if (ranks[0].empty()) return 0.0f;
  const auto needed = [&](std::size_t z) {
    std::sort(ranks[z].begin(), ranks[z].end());
    double product = 1.0;
    for (const double share : kWanted) {
      product *=
          static_cast<double>(ranks[z][static_cast<std::size_t>(share * static_cast<double>(ranks[z].size() - 1))] + 1);
    }
    return std::cbrt(product);
  };
  const double without = needed(0);
  double least = kGain * without;
  float best = 0.0f;
  for (std::size_t z = 1; z < std::size(kDeviations); ++z) {
    const double leaves_needed = needed(z);
    if (leaves_needed >= least) continue;
    least = leaves_needed;
    best = kDeviations[z];
  }
  return best / std::sqrt(static_cast<float>(dim));
}

std::size_t groups_needed(const Codebook& codebook, const float* rows, const Array<std::uint32_t>& order) {
  const std::size_t dim = codebook.augmentation.coded_dim();
  const std::size_t routing_dim = codebook.routing_dim();
  const auto& starts = codebook.centroids.starts;
  const std::size_t best_leaves = std::min(kBestLeaves, codebook.num_leaves());
  std::vector<float> query(routing_dim);
  std::vector<std::size_t> needed;
  const std::size_t step = std::max<std::size_t>(1, order.size() / kQueries);
  for (std::size_t position = 0; position < order.size() && needed.size() < kQueries * best_leaves; position += step) {
    codebook.augmentation.query(rows + std::size_t{order[position]} * codebook.dim, query.data());
    if (codebook.spread > 0.0f) query[dim] = codebook.spread * length(query.data(), dim);
    const std::vector<float> groups = scores_of(codebook.groups, routing_dim, query.data());
    std::vector<float> leaves = scores_of(codebook.leaves, dim, query.data());
    for (std::size_t leaf = 0; leaf < codebook.spreads.size(); ++leaf)
      leaves[leaf] += query[dim] * codebook.spreads[leaf];
    std::vector<std::uint32_t> best(leaves.size());
    for (std::uint32_t leaf = 0; leaf < best.size(); ++leaf) best[leaf] = leaf;
    std::partial_sort(
        best.begin(), best.begin() + static_cast<std::ptrdiff_t>(best_leaves), best.end(),
        [&](std::uint32_t a, std::uint32_t b) { return leaves[a] > leaves[b] || (leaves[a] == leaves[b] && a < b); });
    for (std::size_t i = 0; i < best_leaves; ++i) {
      const auto group =
          static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), best[i]) - starts.begin()) - 1;
      const float score = groups[group];
      const auto ahead = std::count_if(groups.begin(), groups.end(), [&](float other) { return other > score; });
      needed.push_back(static_cast<std::size_t>(ahead) + 1);
    }
  }
  const auto last = static_cast<std::ptrdiff_t>(kShare * static_cast<double>(needed.size() - 1));
  std::nth_element(needed.begin(), needed.begin() + last, needed.end());
  return needed[static_cast<std::size_t>(last)];
}

}  // namespace shortlist
