// An index: rows in leaf order, their codes, and how to search them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "array.h"
#include "codes/codes.h"
#include "codes/float_blocks.h"
#include "codes/stored_rows.h"
#include "ids.h"
#include "kernels/kernels.h"
#include "partition/augmentation.h"
#include "search/filter.h"
#include "search/topk.h"
#include "search/workspace.h"

namespace shortlist {

enum class RowCodes : std::uint32_t { int8 = 0, int4 = 1, pq4 = 2 };  // the dimensions a 4-bit code

enum class Metric : std::uint32_t { dot = 0, cosine = 1, l2 = 2 };

inline constexpr std::size_t kMaxK = 10'000;

// Called with a stage of the build and the fraction of it done; throws to stop the build.
using Progress = std::function<void(const char* stage, double fraction)>;

inline constexpr std::size_t kAutomatic = static_cast<std::size_t>(-1);

struct BuildOptions {
  Metric metric = Metric::dot;
  std::optional<RowCodes> codes;
  Store store = Store::float32;
  std::size_t leaves = kAutomatic;
  std::size_t tier = kAutomatic;  // rows of largest norm that every query scores
  std::size_t sample = kAutomatic;
  std::size_t iterations = kAutomatic;
  std::size_t threads = 0;
  std::uint64_t seed = 0;
  std::optional<float> spread;  // standard deviations; chosen where not given
};

struct Settings {
  bool exact = false;
  std::uint32_t leaves = 32;
  std::uint32_t rerank = 50;
  std::uint32_t groups = 0;
  float stop = 0.5f;  // lowers recall by no more than 0.003 on any set tried, random vectors included

  bool operator==(const Settings&) const = default;
};

// What a search may return.
struct Limits {
  const Filter* allow = nullptr;  // null = every row
  // Rows that a query must not get back: those of query i at [offsets[i], offsets[i + 1]), or all of them for every
  // query where there are no offsets. Ids::kNone is ignored.
  std::span<const std::uint32_t> exclude;
  std::span<const std::int64_t> exclude_offsets;
};

// Rows lie leaf by leaf: a row's place there is its position. Leaves lie group by group, numbered as the
// centroids are coded; the tier, where there is one, is one more leaf at the end whose centroid is zero. A copy shares
// the rows and has settings of its own.
struct Index {
  Metric metric = Metric::dot;
  std::size_t dim = 0;
  std::size_t size = 0;
  Augmentation augmentation;
  Array<float> group_centroids;  // (groups, routing dim)
  Codes centroids;               // of the leaves, in groups
  float spread = 0.0f;           // what a leaf's spread counts for when leaves are ranked; 0 = nothing
  Codes codes;                   // of the rows, in leaves
  Array<std::uint32_t> row_of;   // by position
  StoredRows rows;               // by position
  Ids ids;
  Settings settings;
  std::string note;

  // Made from the above by `finish`.
  FloatBlocks groups;
  FloatBlocks leaves;                // the centroids, as coded
  Array<float> spreads;              // of the leaves, as coded; empty where they count for nothing
  double max_norm = 0.0;             // no coded row is longer
  std::size_t usual_groups = 1;      // looked into where the settings leave it open
  Array<std::uint32_t> position_of;  // by row
  std::shared_ptr<WorkspacePool> workspaces = std::make_shared<WorkspacePool>();
  void finish();

  // Leaves are ranked by <query, centroid> + spread * |query| * the leaf's own spread, the root mean square of its
  // rows' distances from the centroid: that is one more dimension of the centroids.
  std::size_t routing_dim() const { return augmentation.coded_dim() + (spread > 0.0f ? 1 : 0); }
  std::size_t num_leaves() const { return centroids.starts.empty() ? 0 : centroids.starts[centroids.num_cells()]; }
  bool has_tier() const { return codes.num_cells() > num_leaves(); }
  Cell tier_cell() const { return {static_cast<std::uint32_t>(num_leaves()), 0.0f}; }
  std::size_t tier() const { return has_tier() ? codes.count(num_leaves()) : 0; }
};

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress);

// Writes the best k rows of every query: scores descending, ties by lower row, padded with -inf and -1.
void search(const Index& index, const float* queries, std::size_t num_queries, std::size_t k, const Settings& settings,
            const Limits& limits, std::size_t threads, float* scores, std::int64_t* rows);

// The rows of every query that score at least `least`, in the same order. Exact.
std::vector<std::vector<Scored>> range_search(const Index& index, const float* queries, std::size_t num_queries,
                                              float least, const Limits& limits, std::size_t threads);

}  // namespace shortlist
