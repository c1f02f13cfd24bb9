#include "routing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dispatch.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueries = 64;
constexpr std::size_t kBestLeaves = 16;
constexpr double kShare = 0.97;

std::vector<float> scores_of(const FloatBlocks& blocks, std::size_t dim, const float* query) {
  std::vector<float> scores(blocks.count() * kBlockRows);
  active_kernels().f32_scores(blocks.blocks.data(), blocks.count(), dim, query, dim, 1, scores.data(), scores.size());
  scores.resize(blocks.num_rows);
  // Rows of a damaged mapped file need not be numbers.
  for (float& score : scores) score = std::isfinite(score) ? score : std::numeric_limits<float>::lowest();
  return scores;
}

}  // namespace

std::size_t groups_needed(const Index& index) {
  const std::size_t dim = index.lift.coded_dim();
  const auto& starts = index.centroids.starts;
  const std::size_t best_leaves = std::min(kBestLeaves, index.num_leaves());
  std::vector<float> row(index.dim);
  std::vector<float> query(dim);
  std::vector<std::size_t> needed;
  const std::size_t step = std::max<std::size_t>(1, index.size / kQueries);
  for (std::size_t position = 0; position < index.size && needed.size() < kQueries * best_leaves; position += step) {
    index.rows.read(position, row.data());
    index.lift.query(row.data(), query.data());
    const std::vector<float> groups = scores_of(index.groups, dim, query.data());
    const std::vector<float> leaves = scores_of(index.leaves, dim, query.data());
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
