#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "index.h"
#include "partition/kmeans.h"
#include "partition/routing.h"
#include "random.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 16384;
constexpr std::size_t kRoutingIterations = 10;
constexpr std::size_t kFewRows = 10'000;  // 32 dimensions of so many are searched exactly in some 20 microseconds

std::size_t pieces_of(std::size_t size) { return (size + kRowsPerPiece - 1) / kRowsPerPiece; }

void normalise(float* row, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t i = 0; i < dim; ++i) squares += static_cast<double>(row[i]) * row[i];
  if (squares == 0.0) return;
  const double inverse = 1.0 / std::sqrt(squares);
  for (std::size_t i = 0; i < dim; ++i) row[i] = static_cast<float>(row[i] * inverse);
}

// Some 4,000 leaves for the 1.7 million rows of 32 dimensions of the headline set. The fewer the dimensions, the better
// a row's projection on the centroid tells its score, and the less of a large leaf is scanned. Of 2.5, 5 and 9.25 times
// the root of the rows, 2.5 to 5 was fastest at recall .90 to .98 in 32 and 64 dimensions; of 2.5, 6, 9.25 and 13 times
// it, 6 was in 96 and 384 dimensions.
std::size_t automatic_leaves(std::size_t size, std::size_t dim) {
  if (size < 2000) return 1;
  const double factor = std::clamp(static_cast<double>(dim) / 10.0, 2.0, 6.0);
  return static_cast<std::size_t>(factor * std::sqrt(static_cast<double>(size)));
}

// The rows of largest norm, in rising order: as many as asked for, or those that stand out.
std::vector<std::uint32_t> tier_rows(const float* rows, std::size_t size, std::size_t dim, std::size_t wanted) {
  constexpr std::size_t kTier = 2000;
  constexpr float kStandOut = 1.3f;  // norm of the last of the tier over the median norm
  const std::size_t count = std::min(size, wanted == kAutomatic ? kTier : wanted);
  if (count == 0 || (wanted == kAutomatic && size < 20 * kTier)) return {};
  std::vector<float> norms(size);
  for (std::size_t row = 0; row < size; ++row) {
    float squares = 0.0f;
    for (std::size_t t = 0; t < dim; ++t) squares += rows[row * dim + t] * rows[row * dim + t];
    norms[row] = std::sqrt(squares);
  }
  std::vector<std::uint32_t> order(size);
  for (std::size_t row = 0; row < size; ++row) order[row] = static_cast<std::uint32_t>(row);
  const auto longer = [&](std::uint32_t a, std::uint32_t b) {
    return norms[a] > norms[b] || (norms[a] == norms[b] && a < b);
  };
  const auto middle = order.begin() + static_cast<std::ptrdiff_t>(size / 2);
  std::nth_element(order.begin(), middle, order.end(), longer);
  const float median = norms[*middle];
  const auto last = order.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(order.begin(), last, order.end(), longer);
  if (wanted == kAutomatic && norms[*last] < kStandOut * median) return {};
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

// Puts the leaves' mean rows into groups and numbers the leaves in the groups' order. Returns new number by
// old.
std::vector<std::uint32_t> route(Index& index, const Array<float>& means, const Array<float>& spreads,
                                 const BuildOptions& options) {
  // From so many dimensions on centroids are coded with 4 bits: half of the bytes to read took a sixth off the time of
  // a search in 96 and 384 dimensions, for 0.001 of recall. Where dimensions are few, 16 steps are too coarse.
  constexpr std::size_t kFromDim = 64;
  const std::size_t dim = index.augmentation.coded_dim();
  const std::size_t leaves = spreads.size();
  const auto groups = static_cast<std::size_t>(std::sqrt(static_cast<double>(leaves)));
  const KMeans routing =
      kmeans(means.data(), leaves, dim,
             {std::max<std::size_t>(1, groups), leaves, kRoutingIterations, options.seed + 1, options.threads});
  const Members members(routing.assignment.data(), leaves, routing.num_clusters);
  const std::size_t routing_dim = index.routing_dim();
  index.group_centroids = Array<float>(routing.num_clusters * routing_dim);
  for (std::size_t group = 0; group < routing.num_clusters; ++group) {
    float* centroid = &index.group_centroids[group * routing_dim];
    std::copy_n(&routing.centroids[group * dim], dim, centroid);
    if (index.spread == 0.0f) continue;
    double sum = 0.0;
    for (std::uint32_t i = members.starts[group]; i < members.starts[group + 1]; ++i) sum += spreads[members.order[i]];
    centroid[dim] = static_cast<float>(sum / (members.starts[group + 1] - members.starts[group]));
  }
  const ReadRow read = [&](std::size_t position, float* out) {
    std::copy_n(&means[members.order[position] * dim], dim, out);
    if (index.spread > 0.0f) out[dim] = spreads[members.order[position]];
  };
  Quantizer quantizer = dim < kFromDim ? Quantizer::int8(routing_dim)
                                       : learn_quantizer(routing_dim, 1, members.starts, index.group_centroids.data(),
                                                         read, options.seed + 4, options.threads);
  index.centroids = encode(std::move(quantizer), members.starts, index.group_centroids.data(), {read}, options.threads);
  std::vector<std::uint32_t> number(leaves);
  for (std::size_t leaf = 0; leaf < leaves; ++leaf) number[members.order[leaf]] = static_cast<std::uint32_t>(leaf);
  return number;
}

// Puts the members of every cell in falling order of their projections on its centroid.
void sort_by_projection(const Augmentation& augmentation, const float* rows, const float* centroids, Members& members,
                        std::size_t threads) {
  const std::size_t dim = augmentation.coded_dim();
  parallel_for(members.starts.size() - 1, threads, [&](std::size_t cell, std::size_t) {
    std::vector<Scored> projections;
    std::vector<float> row(dim);
    std::uint32_t* own = &members.order[members.starts[cell]];
    const std::size_t count = members.starts[cell + 1] - members.starts[cell];
    for (std::size_t i = 0; i < count; ++i) {
      augmentation.row(rows + std::size_t{own[i]} * augmentation.dim, row.data());
      projections.push_back({projection_on(row.data(), centroids + cell * dim, dim), own[i]});
    }
    std::sort(projections.begin(), projections.end(), better);
    for (std::size_t i = 0; i < count; ++i) own[i] = projections[i].row;
  });
}

}  // namespace

namespace {

// Writes the leaves' centroids, and their spreads where they have them, as they are coded.
void decode_centroids(const Index& index, float* centroids, float* spreads) {
  const std::size_t dim = index.augmentation.coded_dim();
  const std::size_t routing_dim = index.routing_dim();
  std::vector<float> decoded(routing_dim);
  for (std::size_t group = 0; group < index.centroids.num_cells(); ++group) {
    for (std::size_t leaf = index.centroids.starts[group]; leaf < index.centroids.starts[group + 1]; ++leaf) {
      index.centroids.decode(group, leaf, &index.group_centroids[group * routing_dim], decoded.data());
      std::copy_n(decoded.data(), dim, centroids + leaf * dim);
      if (index.spread > 0.0f) spreads[leaf] = decoded[dim];
    }
  }
}

}  // namespace

void Index::finish() {
  const std::size_t coded_dim = augmentation.coded_dim();
  groups = FloatBlocks(group_centroids.data(), centroids.num_cells(), routing_dim());
  Array<float> decoded(num_leaves() * coded_dim);
  spreads = Array<float>(spread > 0.0f ? num_leaves() : 0);
  decode_centroids(*this, decoded.data(), spreads.data());
  leaves = FloatBlocks(decoded.data(), num_leaves(), coded_dim);
  max_norm = 0.0;
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    double squares = 0.0;
    for (std::size_t t = 0; cell < num_leaves() && t < coded_dim; ++t) {
      squares += static_cast<double>(decoded[cell * coded_dim + t]) * decoded[cell * coded_dim + t];
    }
    max_norm = std::max(max_norm, std::sqrt(squares) + codes.radii[cell]);
  }
  position_of = Array<std::uint32_t>(size);
  for (std::size_t position = 0; position < size; ++position) {
    position_of[row_of[position]] = static_cast<std::uint32_t>(position);
  }
  usual_groups = groups_needed(*this);
}

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress) {
  const auto tick = [&](const char* stage) { return [&progress, stage](double f) { progress(stage, f); }; };
  Index index;
  index.metric = options.metric;
  index.dim = dim;
  index.size = size;
  index.ids = std::move(ids);
  Array<float> normalised;
  if (options.metric == Metric::cosine) {
    normalised = Array<float>(size * dim);
    parallel_for(
        pieces_of(size), options.threads,
        [&](std::size_t piece, std::size_t) {
          const std::size_t last = std::min(size, (piece + 1) * kRowsPerPiece);
          for (std::size_t row = piece * kRowsPerPiece; row < last; ++row) {
            std::copy_n(embeddings + row * dim, dim, &normalised[row * dim]);
            normalise(&normalised[row * dim], dim);
          }
        },
        tick("normalise"));
    embeddings = normalised.data();
  }
  index.augmentation =
      options.metric == Metric::l2 ? Augmentation::for_l2(embeddings, size, dim) : Augmentation::none(dim);

  const std::size_t leaves =
      std::min(size, options.leaves == kAutomatic ? automatic_leaves(size, dim) : options.leaves);
  KMeans parts = kmeans(embeddings, size, dim,
                        {leaves, options.sample == kAutomatic ? 40 * leaves : options.sample,
                         options.iterations == kAutomatic ? 8 : options.iterations, options.seed, options.threads},
                        progress);
  const std::vector<std::uint32_t> tier =
      options.metric == Metric::dot ? tier_rows(embeddings, size, dim, options.tier) : std::vector<std::uint32_t>();
  const auto tier_leaf = static_cast<std::uint32_t>(parts.num_clusters);
  for (const std::uint32_t row : tier) parts.assignment[row] = tier_leaf;

  // The true mean of every leaf, which all its rows take part in, is its centroid.
  const std::size_t coded_dim = index.augmentation.coded_dim();
  const std::size_t cells = tier_leaf + (tier.empty() ? 0 : 1);
  Array<float> means(cells * coded_dim, 0.0f);
  Array<float> spreads(tier_leaf);  // of the leaves: the root mean square of their rows' distances from the mean
  {
    const Members members(parts.assignment.data(), size, cells);
    parallel_for(
        tier_leaf, options.threads,
        [&](std::size_t leaf, std::size_t) {
          std::vector<double> sum(coded_dim, 0.0);
          std::vector<float> row(coded_dim);
          const std::uint32_t begin = members.starts[leaf];
          const std::uint32_t end = members.starts[leaf + 1];
          for (std::uint32_t i = begin; i < end; ++i) {
            index.augmentation.row(embeddings + std::size_t{members.order[i]} * dim, row.data());
            for (std::size_t t = 0; t < coded_dim; ++t) sum[t] += row[t];
          }
          const double count = std::max<double>(1.0, end - begin);
          for (std::size_t t = 0; t < coded_dim; ++t) means[leaf * coded_dim + t] = static_cast<float>(sum[t] / count);
          double squares = 0.0;
          for (std::uint32_t i = begin; i < end; ++i) {
            index.augmentation.row(embeddings + std::size_t{members.order[i]} * dim, row.data());
            for (std::size_t t = 0; t < coded_dim; ++t) {
              const double off = static_cast<double>(row[t]) - means[leaf * coded_dim + t];
              squares += off * off;
            }
          }
          spreads[leaf] = static_cast<float>(std::sqrt(squares / count));
        },
        tick("means"));
  }
  index.spread = options.spread
                     ? *options.spread / std::sqrt(static_cast<float>(coded_dim))
                     : learn_spread(index, embeddings, parts.assignment, means.data(), spreads, options.threads);
  {
    const std::vector<std::uint32_t> number = route(index, means, spreads, options);
    for (std::uint32_t& leaf : parts.assignment) {
      if (leaf != tier_leaf) leaf = number[leaf];
    }
  }
  // Rows are coded against the centroids as they are coded themselves: what the router scores is then exact.
  decode_centroids(index, means.data(), spreads.data());
  Members members(parts.assignment.data(), size, cells);
  parts = KMeans();
  sort_by_projection(index.augmentation, embeddings, means.data(), members, options.threads);
  index.row_of = members.order;
  index.rows = StoredRows(options.store, embeddings, dim, index.row_of, options.threads, tick("order"));
  normalised = Array<float>();

  // They are coded as they are stored, rounded if need be: the bounds of exact search then hold for what it scores.
  const ReadRow read = [&](std::size_t position, float* out) {
    float row[kMaxDim];
    index.rows.read(position, row);
    index.augmentation.row(row, out);
  };
  const ReadRow query = [&](std::size_t position, float* out) {
    float row[kMaxDim];
    index.rows.read(position, row);
    index.augmentation.query(row, out);
  };
  const RowCodes row_codes = options.codes.value_or(RowCodes::int8);
  Quantizer quantizer = row_codes == RowCodes::int8
                            ? Quantizer::int8(coded_dim)
                            : learn_quantizer(coded_dim, static_cast<std::size_t>(row_codes), members.starts,
                                              means.data(), read, options.seed + 3, options.threads);
  index.codes =
      encode(std::move(quantizer), members.starts, means.data(), {read, query}, options.threads, true, tick("codes"));
  index.settings.exact = options.leaves == kAutomatic && size < kFewRows;
  index.finish();
  return index;
}

}  // namespace shortlist
