// The steps of one query's search, which searches of many queries share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "index.h"
#include "search/topk.h"
#include "search/workspace.h"

namespace shortlist {

// Puts query `i` of those that `limits` speaks of into `space`: as scored, as coded, and the rows it must not get.
CodedQuery begin_query(const Index& index, const float* query, const Limits& limits, std::size_t i, Workspace& space);

// Fills space.cells with the groups in which to look for leaves, the very best first.
void choose_groups(const Index& index, const Settings& settings, const Filter* allow, Workspace& space);

// The query as it is coded for the centroids of leaves.
CodedQuery code_for_leaves(const Index& index, const CodedQuery& query, Workspace& space);

// Fills `cells` with the tier and the leaves that survived, the best first, and the query's inner products with their
// centroids.
void take_leaves(const Index& index, const CodedQuery& query, Survivors& leaves, std::vector<Cell>& cells);

// Scans these cells in turn, each until the settings' early stop, an only leaf whole, and chooses the survivors.
void scan_leaves(const Index& index, const CodedQuery& query, const Settings& settings, const Filter* allow,
                 const std::vector<Cell>& leaves, const Excluded& excluded, ScanSpace& space, Survivors& survivors);

// The k-th score that an approximate search finds: exact search starts from it.
float reached_quickly(const Index& index, const CodedQuery& query, const Filter* allow, std::size_t k,
                      Workspace& space);

// At most this many rows may be returned; excluded rows may be among those that the filter leaves out anyway.
std::size_t most_allowed(const Index& index, const Filter* allow, const Excluded& excluded);

// Writes what was found, padded to k.
void write_results(TopK& best, const Scored* found, std::size_t k, float* scores, std::int64_t* rows);

// Searches for query `i` alone.
void search_one(const Index& index, const float* query, std::size_t k, const Settings& settings, const Limits& limits,
                std::size_t i, Workspace& space, float* scores, std::int64_t* rows);

}  // namespace shortlist
