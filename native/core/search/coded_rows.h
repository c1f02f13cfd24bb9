// The coded rows of one part of a snapshot that a search may return.
#pragma once

#include <cstddef>

#include "index.h"
#include "search/filter.h"
#include "search/scan.h"

namespace shortlist {

inline CodedRows coded_rows(const Snapshot& snapshot, std::size_t p, const Filter* allow) {
  const Part& part = snapshot.parts[p];
  const std::uint16_t* live = part.deletions == nullptr ? nullptr : part.deletions->masks.data();
  return {part.segment->codes, allow == nullptr ? live : allow->rows[p].data(), part.first};
}

}  // namespace shortlist
