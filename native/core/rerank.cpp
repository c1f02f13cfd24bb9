#include "rerank.h"

#include <algorithm>
#include <cmath>

#include "dispatch.h"

namespace shortlist {

void exact_scores(const Index& index, const float* query, const std::uint32_t* positions, std::size_t first,
                  std::size_t count, float* scores) {
  const Kernels& kernels = active_kernels();
  const auto score_rows = index.metric == Metric::l2 ? kernels.l2_rows_f32 : kernels.dot_rows_f32;
  score_rows(index.rows.data() + first * index.dim, index.dim, positions, count, query, index.dim, scores);
  if (index.metric != Metric::l2) return;
  for (std::size_t i = 0; i < count; ++i) scores[i] = -scores[i];
}

void rerank(const Index& index, const std::uint32_t* positions, std::size_t count, Workspace& space, TopK& best) {
  space.scores.resize(count);
  for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(&index.row_of[positions[i]]);
  exact_scores(index, space.query.data(), positions, 0, count, space.scores.data());
  for (std::size_t i = 0; i < count; ++i) {
    if (space.scores[i] >= best.threshold()) best.push({space.scores[i], index.row_of[positions[i]]});
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
