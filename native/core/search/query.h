// The search for one query, and its steps, which searches of many queries share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "index.h"
#include "search/scan.h"
#include "search/search.h"
#include "search/topk.h"
#include "search/workspace.h"

namespace shortlist {

// Searches for query `i` of those that `limits` speaks of.
void search_one(const Snapshot& snapshot, const float* query, std::size_t k, const Settings& settings,
                const Limits& limits, std::size_t i, Workspace& space, float* scores, std::int64_t* rows);

// The rows that score at least `least`, in the same order.
void range_search_one(const Snapshot& snapshot, const float* query, float least, const Limits& limits, std::size_t i,
                      Workspace& space, std::vector<Scored>& found);

// Puts query `i` into `space`: as scored, as coded, and the rows it must not get.
CodedQuery begin_query(const Snapshot& snapshot, const float* query, const Limits& limits, std::size_t i,
                       Workspace& space);

// The query as it is coded for the centroids of leaves.
CodedQuery code_for_leaves(const Codebook& codebook, const CodedQuery& query, Workspace& space);

// Scans these cells in turn, each until the settings' early stop, an only leaf whole, and chooses the survivors.
void scan_leaves(const Snapshot& snapshot, const CodedQuery& query, const Settings& settings, const Filter* allow,
                 const std::vector<Cell>& leaves, const Excluded& excluded, ScanSpace& space, Survivors& survivors);

// Whether k rows or more than these may be returned.
bool may_have_more(const Snapshot& snapshot, const Filter* allow, const Excluded& excluded, std::size_t k,
                   const TopK& best);

// Writes what was found, padded to k.
void write_results(TopK& best, const Scored* found, std::size_t k, float* scores, std::int64_t* rows);

}  // namespace shortlist
