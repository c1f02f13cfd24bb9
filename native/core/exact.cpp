#include "exact.h"

#include <algorithm>

#include "rerank.h"

namespace shortlist {

void exact_search(const Index& index, const CodedQuery&, float, Workspace& space, TopK& best) {
  constexpr std::size_t kRows = 1024;
  space.scores.resize(kRows);
  for (std::size_t first = 0; first < index.size; first += kRows) {
    const std::size_t count = std::min(kRows, index.size - first);
    exact_scores(index, space.query.data(), nullptr, first, count, space.scores.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (space.scores[i] >= best.threshold()) best.push({space.scores[i], index.row_of[first + i]});
    }
  }
}

}  // namespace shortlist
