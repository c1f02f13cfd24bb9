#include "partition.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "dispatch.h"
#include "float_blocks.h"
#include "random.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 8192;
constexpr std::size_t kNearGroups = 4;        // groups in which a row looks for its leaf
constexpr std::size_t kSamplePerGroup = 256;  // rows a group of the first level is trained on
constexpr double kTopShare = 0.1;             // of the training's time, for the first level
constexpr std::size_t kFlatLeaves = 64;       // below this one level is as cheap

Array<float> gather(const float* rows, std::size_t dim, const std::uint32_t* indices, std::size_t count) {
  Array<float> gathered(count * dim);
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(rows + std::size_t{indices[i]} * dim, dim, &gathered[i * dim]);
  }
  return gathered;
}

// Leaf centroids group by group, and the groups' own.
struct Tree {
  std::size_t dim;
  FloatBlocks groups;
  std::vector<FloatBlocks> leaves;        // of each group
  std::vector<std::uint32_t> first_leaf;  // of each group
  Array<float> centroids;                 // of all leaves
};

Tree train(const float* rows, std::size_t num_rows, std::size_t dim, const PartitionOptions& options,
           const std::function<void(double)>& tick) {
  const auto num_groups =
      options.leaves < kFlatLeaves ? 1 : static_cast<std::size_t>(std::sqrt(static_cast<double>(options.leaves)));
  Random random(options.seed);
  const std::size_t group_sample = std::min(num_rows, num_groups * kSamplePerGroup);
  KMeans top;
  {
    const std::vector<std::uint32_t> chosen = random.choose(group_sample, num_rows);
    const Array<float> sample = gather(rows, dim, chosen.data(), chosen.size());
    top = kmeans(sample.data(), chosen.size(), dim, num_groups, options.iterations, random.next(), options.threads,
                 [&](double fraction) { tick(kTopShare * fraction); });
  }
  Tree tree{dim, FloatBlocks(top.centroids.data(), top.num_clusters, dim), {}, {}, {}};
  const std::size_t groups = top.num_clusters;
  Array<std::uint32_t> assignment(num_rows);
  const Kernels& kernels = active_kernels();
  parallel_for((num_rows + kRowsPerPiece - 1) / kRowsPerPiece, options.threads, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * kRowsPerPiece;
    const std::size_t count = std::min(kRowsPerPiece, num_rows - first);
    std::vector<float> scores(count);
    kernels.f32_best(tree.groups.blocks.data(), tree.groups.count(), dim, tree.groups.bias.data(), rows + first * dim,
                     dim, count, &assignment[first], scores.data());
  });
  const Members members(assignment.data(), num_rows, groups);
  // Each group gets leaves in proportion to its rows.
  std::vector<std::size_t> wanted(groups);
  std::size_t cumulative = 0;
  std::size_t given = 0;
  for (std::size_t g = 0; g < groups; ++g) {
    cumulative += members.starts[g + 1] - members.starts[g];
    const std::size_t target = (cumulative * options.leaves + num_rows / 2) / num_rows;
    wanted[g] = std::max<std::size_t>(1, target - std::min(target, given));
    given += wanted[g];
  }
  std::vector<KMeans> parts(groups);
  const std::uint64_t seed = random.next();
  // A build is stopped by what `tick` throws; every worker looks in each round of its k-means whether it was.
  double done = 0.0;
  std::atomic<bool> stopped{false};
  const auto report = [&](double fraction) {
    done = fraction;
    try {
      tick(kTopShare + (1.0 - kTopShare) * fraction);
    } catch (...) {
      stopped = true;
      throw;
    }
  };
  parallel_for(
      groups, options.threads,
      [&](std::size_t g, std::size_t worker) {
        const std::size_t count = members.starts[g + 1] - members.starts[g];
        if (count == 0) {
          parts[g].centroids = Array<float>(dim);
          std::copy_n(&top.centroids[g * dim], dim, parts[g].centroids.data());
          parts[g].num_clusters = 1;
          return;
        }
        const Array<float> own = gather(rows, dim, &members.order[members.starts[g]], count);
        parts[g] = kmeans(own.data(), count, dim, wanted[g], options.iterations, seed + g, 1, [&](double) {
          if (stopped) throw std::runtime_error("stopped");
          if (worker == 0) report(done);
        });
      },
      report);
  std::size_t total = 0;
  for (const KMeans& part : parts) {
    tree.first_leaf.push_back(static_cast<std::uint32_t>(total));
    total += part.num_clusters;
  }
  tree.centroids = Array<float>(total * dim);
  for (std::size_t g = 0; g < groups; ++g) {
    std::copy_n(parts[g].centroids.data(), parts[g].num_clusters * dim, &tree.centroids[tree.first_leaf[g] * dim]);
    tree.leaves.emplace_back(parts[g].centroids.data(), parts[g].num_clusters, dim);
  }
  return tree;
}

// The best leaf of each of `count` rows among those of its nearest groups.
void assign_piece(const Tree& tree, const float* rows, std::size_t count, std::uint32_t* leaf) {
  const Kernels& kernels = active_kernels();
  const std::size_t dim = tree.dim;
  const std::size_t groups = tree.groups.num_rows;
  const std::size_t near = std::min(kNearGroups, groups);
  const std::size_t padded = tree.groups.count() * kBlockRows;
  constexpr std::size_t kRows = 64;
  std::vector<float> scores(kRows * padded);
  std::vector<std::uint32_t> nearest(count * near);
  std::vector<std::uint32_t> order(groups);
  for (std::size_t first = 0; first < count; first += kRows) {
    const std::size_t some = std::min(kRows, count - first);
    kernels.f32_scores(tree.groups.blocks.data(), tree.groups.count(), dim, rows + first * dim, dim, some,
                       scores.data(), padded);
    for (std::size_t i = 0; i < some; ++i) {
      float* mine = &scores[i * padded];
      for (std::size_t g = 0; g < padded; ++g) mine[g] += tree.groups.bias[g];
      for (std::size_t j = 0; j < near; ++j) {
        const std::size_t best = static_cast<std::size_t>(std::max_element(mine, mine + groups) - mine);
        nearest[(first + i) * near + j] = static_cast<std::uint32_t>(best);
        mine[best] = -std::numeric_limits<float>::infinity();
      }
    }
  }
  const Members pairs(nearest.data(), nearest.size(), groups);
  std::vector<float> best(count, -std::numeric_limits<float>::infinity());
  std::fill_n(leaf, count, 0);
  std::vector<float> gathered;
  std::vector<std::uint32_t> found;
  std::vector<float> found_scores;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::uint32_t* pair = &pairs.order[pairs.starts[g]];
    const std::size_t num = pairs.starts[g + 1] - pairs.starts[g];
    gathered.resize(num * dim);
    found.resize(num);
    found_scores.resize(num);
    for (std::size_t i = 0; i < num; ++i) std::copy_n(rows + pair[i] / near * dim, dim, &gathered[i * dim]);
    const FloatBlocks& leaves = tree.leaves[g];
    kernels.f32_best(leaves.blocks.data(), leaves.count(), dim, leaves.bias.data(), gathered.data(), dim, num,
                     found.data(), found_scores.data());
    for (std::size_t i = 0; i < num; ++i) {
      const std::size_t row = pair[i] / near;
      if (found_scores[i] <= best[row]) continue;
      best[row] = found_scores[i];
      leaf[row] = tree.first_leaf[g] + found[i];
    }
  }
}

}  // namespace

KMeans partition(const float* rows, std::size_t num_rows, std::size_t dim, const PartitionOptions& options,
                 const std::function<void(const char*, double)>& progress) {
  Random random(options.seed);
  Tree tree;
  {
    const std::vector<std::uint32_t> chosen = random.choose(std::min(options.sample, num_rows), num_rows);
    const Array<float> sample = gather(rows, dim, chosen.data(), chosen.size());
    PartitionOptions seeded = options;
    seeded.seed = random.next();
    tree = train(sample.data(), chosen.size(), dim, seeded, [&](double f) { progress("train", f); });
  }
  KMeans result;
  result.num_clusters = tree.centroids.size() / dim;
  result.centroids = tree.centroids;
  result.assignment = Array<std::uint32_t>(num_rows);
  parallel_for((num_rows + kRowsPerPiece - 1) / kRowsPerPiece, options.threads,
               [&](std::size_t piece, std::size_t) {
                 const std::size_t first = piece * kRowsPerPiece;
                 assign_piece(tree, rows + first * dim, std::min(kRowsPerPiece, num_rows - first),
                              &result.assignment[first]);
               },
               [&](double fraction) { progress("assign", fraction); });
  return result;
}

}  // namespace shortlist
