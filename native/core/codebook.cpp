#include "codebook.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "partition/nearest.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 16384;

std::size_t pieces_of(std::size_t size) { return (size + kRowsPerPiece - 1) / kRowsPerPiece; }

void normalise(float* row, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t i = 0; i < dim; ++i) squares += static_cast<double>(row[i]) * row[i];
  if (squares == 0.0) return;
  const double inverse = 1.0 / std::sqrt(squares);
  for (std::size_t i = 0; i < dim; ++i) row[i] = static_cast<float>(row[i] * inverse);
}

}  // namespace

float norm_of(const float* row, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(row[t]) * row[t];
  return static_cast<float>(std::sqrt(squares));
}

PreparedRows::PreparedRows(Metric metric, const float* rows, std::size_t size, std::size_t dim, std::size_t threads,
                           const Progress& progress)
    : data_(rows) {
  if (metric != Metric::cosine) return;
  normalised_ = Array<float>(size * dim);
  data_ = normalised_.data();
  parallel_for(
      pieces_of(size), threads,
      [&](std::size_t piece, std::size_t) {
        const std::size_t last = std::min(size, (piece + 1) * kRowsPerPiece);
        for (std::size_t row = piece * kRowsPerPiece; row < last; ++row) {
          std::copy_n(rows + row * dim, dim, &normalised_[row * dim]);
          normalise(&normalised_[row * dim], dim);
        }
      },
      [&](double fraction) { progress("normalise", fraction); });
}

std::size_t Codebook::bytes() const {
  return clusters.bytes() + leaf_of_cluster.bytes() + group_centroids.bytes() + centroids.bytes() +
         groups.blocks.bytes() + leaves.blocks.bytes() + spreads.bytes() + quantizer.centres.bytes() + scales.bytes() +
         radii.bytes();
}

Array<float> Codebook::coded_centroids() const {
  const std::size_t coded_dim = augmentation.coded_dim();
  Array<float> all(num_cells() * coded_dim, 0.0f);
  std::vector<float> decoded(routing_dim());
  for (std::size_t group = 0; group < centroids.num_cells(); ++group) {
    for (std::size_t leaf = centroids.starts[group]; leaf < centroids.starts[group + 1]; ++leaf) {
      centroids.decode(group, leaf, &group_centroids[group * routing_dim()], decoded.data());
      std::copy_n(decoded.data(), coded_dim, &all[leaf * coded_dim]);
    }
  }
  return all;
}

void Codebook::finish() {
  groups = FloatBlocks(group_centroids.data(), centroids.num_cells(), routing_dim());
  leaves = FloatBlocks(coded_centroids().data(), num_leaves(), augmentation.coded_dim());
  spreads = Array<float>(spread > 0.0f ? num_leaves() : 0);
  std::vector<float> decoded(routing_dim());
  for (std::size_t group = 0; group < centroids.num_cells() && !spreads.empty(); ++group) {
    for (std::size_t leaf = centroids.starts[group]; leaf < centroids.starts[group + 1]; ++leaf) {
      centroids.decode(group, leaf, &group_centroids[group * routing_dim()], decoded.data());
      spreads[leaf] = decoded[augmentation.coded_dim()];
    }
  }
}

void Codebook::find_cells(const Nearest& nearest, const float* rows, std::size_t size, std::uint32_t* cells) const {
  const auto tier = static_cast<std::uint32_t>(num_leaves());
  nearest.find(rows, size, cells);
  for (std::size_t row = 0; row < size; ++row) {
    cells[row] = leaf_of_cluster[cells[row]];
    if (has_tier() && norm_of(rows + row * dim, dim) > tier_norm) cells[row] = tier;
  }
}

Array<std::uint32_t> Codebook::cells_of(const float* rows, std::size_t size, std::size_t threads,
                                        const std::function<void(double)>& tick) const {
  const Nearest nearest(clusters.data(), leaf_of_cluster.size(), dim);
  Array<std::uint32_t> cells(size);
  parallel_for(
      pieces_of(size), threads,
      [&](std::size_t piece, std::size_t) {
        const std::size_t first = piece * kRowsPerPiece;
        const std::size_t count = std::min(kRowsPerPiece, size - first);
        find_cells(nearest, rows + first * dim, count, &cells[first]);
      },
      tick);
  return cells;
}

}  // namespace shortlist
