// Exact search: bounds say which rows could be among the best, and those are scored.
#pragma once

#include <cstddef>
#include <vector>

#include "index.h"
#include "search/topk.h"
#include "search/workspace.h"

namespace shortlist {

// Offers to `best` every row that could enter it and that `allow` (null = all) and space.excluded let through. `space`
// holds the query, prepared, augmented and coded. `known` is a score that k of those rows are known to have, or
// -infinity: the nearer it is to the true k-th score, the fewer rows are looked at.
void exact_search(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, float known, Workspace& space,
                  TopK& best);

// Adds to `found` every row that scores at least `least` and that `allow` and space.excluded let through.
void exact_range(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, float least, Workspace& space,
                 std::vector<Scored>& found);

}  // namespace shortlist
