// Exact search: every row that could be among the best is scored.
#pragma once

#include <cstddef>

#include "index.h"
#include "topk.h"
#include "workspace.h"

namespace shortlist {

// Offers to `best` every row that could enter it and that `allow` (null = all) and space.excluded let through. `space`
// holds the query, prepared and coded.
void exact_search(const Index& index, const CodedQuery& query, const Filter* allow, Workspace& space, TopK& best);

}  // namespace shortlist
