// What an index learns from rows before it holds any: where rows belong, and what their codes mean. Rows encoded with
// one codebook, in whatever company, lie in the same leaves and have the same codes, so that their scores agree bit for
// bit: segments of an index and shards of a catalogue answer as one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>

#include "array.h"
#include "codes/codes.h"
#include "codes/float_blocks.h"
#include "kernels/kernels.h"
#include "partition/augmentation.h"

namespace shortlist {

class Nearest;

enum class RowCodes : std::uint32_t { int8 = 0, int4 = 1, pq4 = 2 };  // the dimensions a 4-bit code

enum class Metric : std::uint32_t { dot = 0, cosine = 1, l2 = 2 };

// Called with a stage of the work and the fraction of it done; throws to stop it.
using Progress = std::function<void(const char* stage, double fraction)>;

inline constexpr std::size_t kAutomatic = static_cast<std::size_t>(-1);

struct LearnOptions {
  Metric metric = Metric::dot;
  std::optional<RowCodes> codes;
  std::size_t leaves = kAutomatic;
  std::size_t tier = kAutomatic;
  std::size_t sample = kAutomatic;
  std::size_t iterations = kAutomatic;
  std::uint64_t seed = 0;
  std::optional<float> spread;  // standard deviations; chosen where not given
};

// A leaf is a cell of rows near one centroid. Leaves are numbered group by group. The tier holds the rows of largest
// norm, which every query scores: where there is one, it is one more cell at the end, and its centroid is zero.
struct Codebook {
  Metric metric = Metric::dot;
  std::size_t dim = 0;
  Augmentation augmentation;

  // Where rows belong. A row is in the leaf of the nearest cluster, unless it is longer than tier_norm.
  Array<float> clusters;                 // (clusters, dim)
  Array<std::uint32_t> leaf_of_cluster;  // (clusters)
  float tier_norm = std::numeric_limits<float>::infinity();

  // How leaves are found.
  Array<float> group_centroids;    // (groups, routing dim)
  Codes centroids;                 // of the leaves, in groups
  float spread = 0.0f;             // what a leaf's spread counts for when leaves are ranked; 0 = nothing
  std::size_t default_groups = 1;  // looked into where the settings leave it open

  // How rows are coded, with what is to be expected of each cell.
  Quantizer quantizer;
  Array<float> scales;  // (cells)
  Array<float> radii;   // (cells)

  // Made from the above by `finish`.
  FloatBlocks groups;
  FloatBlocks leaves;    // the centroids, as coded
  Array<float> spreads;  // of the leaves, as coded; empty where they count for nothing
  void finish();

  // Leaves are ranked by <query, centroid> + spread * |query| * the leaf's own spread, the root mean square of its
  // rows' distances from the centroid: that is one more dimension of the centroids.
  std::size_t routing_dim() const { return augmentation.coded_dim() + (spread > 0.0f ? 1 : 0); }
  std::size_t num_leaves() const { return centroids.starts.empty() ? 0 : centroids.starts[centroids.num_cells()]; }
  bool has_tier() const { return num_cells() > num_leaves(); }
  std::size_t num_cells() const { return scales.size(); }
  std::size_t bytes() const;

  // The centroids of the cells as they are coded (cells, coded dim). Rows are coded against these, so that what ranks
  // the leaves is part of a row's score.
  Array<float> coded_centroids() const;

  // The cells of rows (size, dim), prepared.
  Array<std::uint32_t> cells_of(const float* rows, std::size_t size, std::size_t threads,
                                const std::function<void(double fraction)>& tick) const;
  // The same where `nearest` is that of the clusters.
  void find_cells(const Nearest& nearest, const float* rows, std::size_t size, std::uint32_t* cells) const;
};

float norm_of(const float* row, std::size_t dim);

// Rows as they are scored: of unit norm for cosine (a zero vector stays zero), otherwise unchanged.
class PreparedRows {
 public:
  PreparedRows(Metric metric, const float* rows, std::size_t size, std::size_t dim, std::size_t threads,
               const Progress& progress);
  const float* data() const { return data_; }

 private:
  Array<float> normalised_;
  const float* data_;
};

// A codebook, and the cells of the rows that it was learnt from: what cells_of gives.
struct Learned {
  Codebook codebook;
  Array<std::uint32_t> cells;
};

// Learns from rows (size, dim), prepared. The same on any number of threads.
Learned learn(const float* rows, std::size_t size, std::size_t dim, const LearnOptions& options, std::size_t threads,
              const Progress& progress);

}  // namespace shortlist
