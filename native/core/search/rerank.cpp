#include "search/rerank.h"

#include <algorithm>
#include <cmath>

namespace shortlist {
namespace {

// Writes the scores of the rows at `positions` to space.scores.
//
// Rows are read in the order they are found: sorting 50 of them by position first took 1 µs longer than it saved on the
// headline set, sorting 800 of them 20 µs.
void score_rows(const Index& index, const std::uint32_t* positions, std::size_t count, Workspace& space) {
  space.scores.resize(count);
  for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(&index.row_of[positions[i]]);
  if (index.metric == Metric::l2) {
    index.rows.squared_distances(space.query.data(), positions, count, space.scores.data());
    for (float& score : space.scores) score = -score;
  } else {
    index.rows.dot(space.query.data(), positions, count, space.scores.data());
  }
}

}  // namespace

void rerank(const Index& index, const std::uint32_t* positions, std::size_t count, Workspace& space, TopK& best) {
  score_rows(index, positions, count, space);
  for (std::size_t i = 0; i < count; ++i) {
    if (space.scores[i] >= best.threshold()) best.push({space.scores[i], index.row_of[positions[i]]});
  }
}

void take_range(const Index& index, const std::uint32_t* positions, std::size_t count, float least, Workspace& space,
                std::vector<Scored>& found) {
  score_rows(index, positions, count, space);
  for (std::size_t i = 0; i < count; ++i) {
    if (space.scores[i] >= least) found.push_back({space.scores[i], index.row_of[positions[i]]});
  }
}

void prepare_query(const Index& index, const float* query, float* out) {
  std::copy_n(query, index.dim, out);
  if (index.metric != Metric::cosine) return;
  double squares = 0.0;
  for (std::size_t t = 0; t < index.dim; ++t) squares += static_cast<double>(out[t]) * out[t];
  if (squares == 0.0) return;
  const double inverse = 1.0 / std::sqrt(squares);
  for (std::size_t t = 0; t < index.dim; ++t) out[t] = static_cast<float>(out[t] * inverse);
}

}  // namespace shortlist
