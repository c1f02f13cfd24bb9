#include "exact.h"

#include <algorithm>

#include "rerank.h"

namespace shortlist {

void exact_search(const Index& index, const CodedQuery&, const Filter* allow, Workspace& space, TopK& best) {
  constexpr std::size_t kRows = 1024;
  static_assert(kRows % kBlockRows == 0);
  space.scores.resize(kRows);
  const Codes& codes = index.codes;
  for (std::size_t leaf = 0; leaf < codes.num_cells(); ++leaf) {
    for (std::size_t start = 0; start < codes.count(leaf); start += kRows) {
      const std::size_t first = codes.starts[leaf] + start;
      const std::size_t count = std::min(kRows, codes.count(leaf) - start);
      exact_scores(index, space.query.data(), nullptr, first, count, space.scores.data());
      for (std::size_t i = 0; i < count; ++i) {
        if (!(space.scores[i] >= best.threshold())) continue;
        if (allow != nullptr) {
          const std::size_t block = codes.first_block[leaf] + (start + i) / kBlockRows;
          if ((allow->rows[block] >> (start + i) % kBlockRows & 1) == 0) continue;
        }
        if (!space.excluded.empty() && space.excluded.contains(static_cast<std::uint32_t>(first + i))) continue;
        best.push({space.scores[i], index.row_of[first + i]});
      }
    }
  }
}

}  // namespace shortlist
