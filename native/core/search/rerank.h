// Exact scores of chosen rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "index.h"
#include "search/topk.h"
#include "search/workspace.h"

namespace shortlist {

// Scores these rows and offers them to `best`.
void rerank(const Snapshot& snapshot, const std::uint32_t* positions, std::size_t count, Workspace& space, TopK& best);

// Scores these rows and adds those that score at least `least` to `found`.
void take_range(const Snapshot& snapshot, const std::uint32_t* positions, std::size_t count, float least,
                Workspace& space, std::vector<Scored>& found);

}  // namespace shortlist
