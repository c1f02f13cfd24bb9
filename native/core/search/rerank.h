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
void rerank(const Index& index, const std::uint32_t* positions, std::size_t count, Workspace& space, TopK& best);

// Scores these rows and adds those that reach `least` to `found`.
void take_range(const Index& index, const std::uint32_t* positions, std::size_t count, float least, Workspace& space,
                std::vector<Scored>& found);

// The query as it is scored: of unit norm for cosine (a zero vector stays zero), otherwise unchanged.
void prepare_query(const Index& index, const float* query, float* out);

}  // namespace shortlist
