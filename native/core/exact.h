// Exact search: every row that could be among the best is scored.
#pragma once

#include <cstddef>

#include "index.h"
#include "topk.h"
#include "workspace.h"

namespace shortlist {

// Offers to `best` every row that could enter it. `space` holds the query, prepared and coded. Rows that score below
// `least`, which k rows are known to reach, are passed over.
void exact_search(const Index& index, const CodedQuery& query, float least, Workspace& space, TopK& best);

}  // namespace shortlist
