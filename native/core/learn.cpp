// Learning a codebook: k-means leaves, groups of leaves, and what codes of rows need.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "codebook.h"
#include "partition/kmeans.h"
#include "partition/routing.h"
#include "scattered.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 16384;
constexpr std::size_t kRoutingIterations = 10;

// Some 4,000 leaves for the 1.7 million rows of 32 dimensions of the headline set. The fewer the dimensions, the better
// a row's projection on the centroid tells its score, and the less of a large leaf is scanned. Of 2.5, 5 and 9.25 times
// the root of the rows, 2.5 to 5 was fastest at recall .90 to .98 in 32 and 64 dimensions; of 2.5, 6, 9.25 and 13 times
// it, 6 was in 96 and 384 dimensions.
std::size_t automatic_leaves(std::size_t size, std::size_t dim) {
  if (size < 2000) return 1;
  const double factor = std::clamp(static_cast<double>(dim) / 10.0, 2.0, 6.0);
  return static_cast<std::size_t>(factor * std::sqrt(static_cast<double>(size)));
}

// The norm above which rows are in the tier, infinite where there is to be none: as many rows are longer as were asked
// for, less those of equal length at the end, or those that stand out.
float tier_norm(const float* rows, std::size_t size, std::size_t dim, std::size_t wanted, std::size_t threads) {
  constexpr std::size_t kTier = 2000;
  constexpr float kStandOut = 1.3f;  // norm of the last of the tier over the median norm
  constexpr float kNone = std::numeric_limits<float>::infinity();
  const std::size_t count = std::min(size, wanted == kAutomatic ? kTier : wanted);
  if (count == 0 || (wanted == kAutomatic && size < 20 * kTier)) return kNone;
  std::vector<float> norms(size);
  parallel_for((size + kRowsPerPiece - 1) / kRowsPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const std::size_t last = std::min(size, (piece + 1) * kRowsPerPiece);
    for (std::size_t row = piece * kRowsPerPiece; row < last; ++row) norms[row] = norm_of(rows + row * dim, dim);
  });
  if (count == size) return 0.0f;
  // The longest `count`, then the next one.
  const auto next = norms.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(norms.begin(), next, norms.end(), std::greater<>());
  const float norm = *next;
  const float last = *std::min_element(norms.begin(), next);
  const auto middle = norms.begin() + static_cast<std::ptrdiff_t>(size / 2);
  std::nth_element(norms.begin(), middle, norms.end(), std::greater<>());
  if (wanted == kAutomatic && last < kStandOut * *middle) return kNone;
  return norm;
}

// The rows of each leaf, as they are augmented, summed up.
struct Leaves {
  Array<float> means;    // (leaves, coded dim)
  Array<float> spreads;  // the root mean square of the rows' distances from the mean
};

// `clusters` has a centroid for each leaf, which is the mean of one without rows.
Leaves sum_up(const Codebook& codebook, const float* rows, const Members& members, const Array<float>& clusters,
              std::size_t leaves, std::size_t threads, const std::function<void(double)>& tick) {
  const Augmentation& augmentation = codebook.augmentation;
  const std::size_t dim = augmentation.coded_dim();
  Leaves found{Array<float>(leaves * dim), Array<float>(leaves)};
  parallel_for(
      leaves, threads,
      [&](std::size_t leaf, std::size_t) {
        std::vector<double> sum(dim, 0.0);
        std::vector<float> row(dim);
        float* mean = &found.means[leaf * dim];
        const std::uint32_t begin = members.starts[leaf];
        const std::uint32_t end = members.starts[leaf + 1];
        found.spreads[leaf] = 0.0f;
        if (begin == end) {
          augmentation.row(&clusters[leaf * augmentation.dim], mean);
          return;
        }
        for (std::uint32_t i = begin; i < end; ++i) {
          augmentation.row(scattered_row(rows, augmentation.dim, members.order.data(), i, end), row.data());
          for (std::size_t t = 0; t < dim; ++t) sum[t] += row[t];
        }
        const double count = end - begin;
        for (std::size_t t = 0; t < dim; ++t) mean[t] = static_cast<float>(sum[t] / count);
        double squares = 0.0;
        for (std::uint32_t i = begin; i < end; ++i) {
          augmentation.row(rows + std::size_t{members.order[i]} * augmentation.dim, row.data());
          for (std::size_t t = 0; t < dim; ++t) {
            const double off = static_cast<double>(row[t]) - mean[t];
            squares += off * off;
          }
        }
        found.spreads[leaf] = static_cast<float>(std::sqrt(squares / count));
      },
      tick);
  return found;
}

// Puts the leaves' mean rows into groups and numbers the leaves in the groups' order. Returns new number by
// old.
std::vector<std::uint32_t> route(Codebook& codebook, const Leaves& all, std::uint64_t seed, std::size_t threads) {
  // From so many dimensions on centroids are coded with 4 bits: half of the bytes to read took a sixth off the time of
  // a search in 96 and 384 dimensions, for 0.001 of recall. Where dimensions are few, 16 steps are too coarse.
  constexpr std::size_t kFromDim = 64;
  const std::size_t dim = codebook.augmentation.coded_dim();
  const std::size_t leaves = all.spreads.size();
  const auto groups = static_cast<std::size_t>(std::sqrt(static_cast<double>(leaves)));
  const KMeans routing = kmeans(all.means.data(), leaves, dim,
                                {std::max<std::size_t>(1, groups), leaves, kRoutingIterations, seed + 1, threads});
  const Members members(routing.assignment.data(), leaves, routing.num_clusters);
  const std::size_t routing_dim = codebook.routing_dim();
  codebook.group_centroids = Array<float>(routing.num_clusters * routing_dim);
  for (std::size_t group = 0; group < routing.num_clusters; ++group) {
    float* centroid = &codebook.group_centroids[group * routing_dim];
    std::copy_n(&routing.centroids[group * dim], dim, centroid);
    if (codebook.spread == 0.0f) continue;
    double sum = 0.0;
    for (std::uint32_t i = members.starts[group]; i < members.starts[group + 1]; ++i)
      sum += all.spreads[members.order[i]];
    centroid[dim] = static_cast<float>(sum / (members.starts[group + 1] - members.starts[group]));
  }
  const ReadRow read = [&](std::size_t position, float* out) {
    std::copy_n(&all.means[members.order[position] * dim], dim, out);
    if (codebook.spread > 0.0f) out[dim] = all.spreads[members.order[position]];
  };
  Quantizer quantizer = dim < kFromDim ? Quantizer::int8(routing_dim)
                                       : learn_quantizer(routing_dim, 1, members.starts,
                                                         codebook.group_centroids.data(), read, seed + 4, threads);
  codebook.centroids = encode(std::move(quantizer), members.starts, codebook.group_centroids.data(), {read}, threads);
  std::vector<std::uint32_t> number(leaves);
  for (std::size_t leaf = 0; leaf < leaves; ++leaf) number[members.order[leaf]] = static_cast<std::uint32_t>(leaf);
  return number;
}

// What codes of rows need. A leaf that few rows taught is not taken at their word: it takes at least the usual sizes.
void learn_codes(Codebook& codebook, const float* rows, const Members& members, RowCodes kind, std::uint64_t seed,
                 std::size_t threads) {
  constexpr std::size_t kFew = 8;
  const std::size_t dim = codebook.augmentation.coded_dim();
  const std::size_t cells = members.starts.size() - 1;
  codebook.scales = Array<float>(cells, 0.0f);  // how many there are is known from now on
  const Array<float> centroids = codebook.coded_centroids();
  const ReadRow read = [&](std::size_t place, float* out) {
    codebook.augmentation.row(scattered_row(rows, codebook.dim, members.order.data(), place, members.order.size()),
                              out);
  };
  codebook.quantizer = kind == RowCodes::int8 ? Quantizer::int8(dim)
                                              : learn_quantizer(dim, static_cast<std::size_t>(kind), members.starts,
                                                                centroids.data(), read, seed, threads);
  CellSizes sizes = sizes_of(codebook.quantizer, members.starts, centroids.data(), read, threads);
  for (Array<float>* own : {&sizes.scales, &sizes.radii}) {
    std::vector<float> sorted(own->begin(), own->end());
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(cells / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    for (std::size_t cell = 0; cell < cells; ++cell) {
      const bool few = members.starts[cell + 1] - members.starts[cell] < kFew;
      if (few) (*own)[cell] = std::max((*own)[cell], *middle);
    }
  }
  codebook.scales = std::move(sizes.scales);
  codebook.radii = std::move(sizes.radii);
}

}  // namespace

Learned learn(const float* rows, std::size_t size, std::size_t dim, const LearnOptions& options, std::size_t threads,
              const Progress& progress) {
  const auto tick = [&](const char* stage) { return [&progress, stage](double f) { progress(stage, f); }; };
  Learned learned;
  Codebook& codebook = learned.codebook;
  codebook.metric = options.metric;
  codebook.dim = dim;
  codebook.augmentation =
      options.metric == Metric::l2 ? Augmentation::for_l2(rows, size, dim) : Augmentation::none(dim);

  const std::size_t wanted =
      std::min(size, options.leaves == kAutomatic ? automatic_leaves(size, dim) : options.leaves);
  KMeans parts = kmeans(rows, size, dim,
                        {wanted, options.sample == kAutomatic ? 40 * wanted : options.sample,
                         options.iterations == kAutomatic ? 8 : options.iterations, options.seed, threads},
                        progress);
  const auto tier = static_cast<std::uint32_t>(parts.num_clusters);
  if (options.metric == Metric::dot) codebook.tier_norm = tier_norm(rows, size, dim, options.tier, threads);
  const bool has_tier = std::isfinite(codebook.tier_norm);
  learned.cells = std::move(parts.assignment);
  for (std::size_t row = 0; has_tier && row < size; ++row) {
    if (norm_of(rows + row * dim, dim) > codebook.tier_norm) learned.cells[row] = tier;
  }

  // The true mean of every leaf, which all its rows take part in, is its centroid.
  const std::size_t cells = tier + (has_tier ? 1 : 0);
  const Leaves leaves =
      sum_up(codebook, rows, Members(learned.cells.data(), size, cells), parts.centroids, tier, threads, tick("means"));
  codebook.spread =
      options.spread ? *options.spread / std::sqrt(static_cast<float>(codebook.augmentation.coded_dim()))
                     : learn_spread(codebook, rows, size, learned.cells, leaves.means.data(), leaves.spreads, threads);
  const std::vector<std::uint32_t> number = route(codebook, leaves, options.seed, threads);
  for (std::uint32_t& cell : learned.cells) {
    if (cell != tier) cell = number[cell];
  }
  codebook.clusters = std::move(parts.trained);
  codebook.leaf_of_cluster = Array<std::uint32_t>(parts.number.size());
  for (std::size_t cluster = 0; cluster < parts.number.size(); ++cluster) {
    codebook.leaf_of_cluster[cluster] = number[parts.number[cluster]];
  }
  const Members members(learned.cells.data(), size, cells);
  learn_codes(codebook, rows, members, options.codes.value_or(RowCodes::int8), options.seed + 3, threads);
  codebook.finish();
  codebook.default_groups = groups_needed(codebook, rows, members.order);
  return learned;
}

}  // namespace shortlist
