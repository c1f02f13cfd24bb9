// Searching a snapshot for many queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "index.h"
#include "search/filter.h"
#include "search/topk.h"

namespace shortlist {

// What a search may return.
struct Limits {
  const Filter* allow = nullptr;  // of the snapshot that is searched; null = every row
  // Rows that a query must not get back: those of query i at [offsets[i], offsets[i + 1]), or all of them for every
  // query where there are no offsets. Ids::kNone is ignored.
  std::span<const std::uint32_t> exclude;
  std::span<const std::int64_t> exclude_offsets;
};

// Writes the best k rows of every query: scores descending, ties by lower row, padded with -inf and -1.
void search(const Snapshot& snapshot, const float* queries, std::size_t num_queries, std::size_t k,
            const Settings& settings, const Limits& limits, std::size_t threads, float* scores, std::int64_t* rows);

// The rows of every query that score at least `least`, in the same order. Exact.
std::vector<std::vector<Scored>> range_search(const Snapshot& snapshot, const float* queries, std::size_t num_queries,
                                              float least, const Limits& limits, std::size_t threads);

}  // namespace shortlist
