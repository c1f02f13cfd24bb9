// Which leaves a query visits.
#pragma once

#include <vector>

#include "search/filter.h"
#include "search/scan.h"
#include "search/search.h"
#include "search/workspace.h"

namespace shortlist {

// Fills space.cells with the groups in which to look for leaves, the very best first.
void choose_groups(const Codebook& codebook, const Settings& settings, const Filter* allow, Workspace& space);

// Fills `cells` with the tier and the leaves that survived, the best first, and the query's inner products with their
// centroids.
void take_leaves(const Codebook& codebook, const CodedQuery& query, Survivors& leaves, std::vector<Cell>& cells);

}  // namespace shortlist
