// Searches of many queries together, group by group and leaf by leaf: what several queries of a batch visit is read
// from memory once for all of them, and eight at a time share what is read. Answers equal those of search_one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "search/search.h"

namespace shortlist {

// How many queries are best searched together; 1 = each alone.
std::size_t queries_together(const Snapshot& snapshot, std::size_t num_queries, std::size_t k, const Settings& settings,
                             const Limits& limits, std::size_t threads);

// As `search`, `together` queries at a time.
void search_batches(const Snapshot& snapshot, const float* queries, std::size_t num_queries, std::size_t together,
                    std::size_t k, const Settings& settings, const Limits& limits, std::size_t threads, float* scores,
                    std::int64_t* rows);

}  // namespace shortlist
