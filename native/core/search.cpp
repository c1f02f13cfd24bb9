#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dispatch.h"
#include "index.h"
#include "threads.h"
#include "topk.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueriesPerPiece = 16;
constexpr std::size_t kRowsPerBlock = 512;

}  // namespace

void search(const Index& index, const float* queries, std::size_t num_queries, std::size_t k,
            const Settings&, const Exclusions* exclude, std::size_t threads, float* scores,
            std::int64_t* rows) {
  const Kernels& kernels = active_kernels();
  const std::size_t dim = index.dim;
  parallel_for((num_queries + kQueriesPerPiece - 1) / kQueriesPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const std::size_t first = piece * kQueriesPerPiece;
    const std::size_t count = std::min(kQueriesPerPiece, num_queries - first);
    std::vector<Scored> space(count * k);
    std::vector<TopK> best;
    std::vector<float> normalised(queries + first * dim, queries + (first + count) * dim);
    for (std::size_t i = 0; i < count; ++i) {
      best.emplace_back(&space[i * k], k);
      if (index.metric != Metric::cosine) continue;
      float* query = &normalised[i * dim];
      double squares = 0.0;
      for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(query[t]) * query[t];
      const double inverse = squares > 0.0 ? 1.0 / std::sqrt(squares) : 0.0;
      for (std::size_t t = 0; t < dim; ++t) query[t] = static_cast<float>(query[t] * inverse);
    }
    for (std::size_t start = 0; start < index.size; start += kRowsPerBlock) {
      const std::size_t end = std::min(index.size, start + kRowsPerBlock);
      for (std::size_t i = 0; i < count; ++i) {
        const float* query = &normalised[i * dim];
        float block[kRowsPerBlock];
        const auto score_rows = index.metric == Metric::l2 ? kernels.l2_rows_f32 : kernels.dot_rows_f32;
        score_rows(&index.rows[start * dim], dim, nullptr, end - start, query, dim, block);
        for (std::size_t row = start; row < end; ++row) {
          const float score = index.metric == Metric::l2 ? -block[row - start] : block[row - start];
          if (score < best[i].threshold()) continue;
          const auto id = static_cast<std::uint32_t>(row);
          if (exclude != nullptr) {
            const auto mine = exclude->rows.subspan(
                static_cast<std::size_t>(exclude->offsets[first + i]),
                static_cast<std::size_t>(exclude->offsets[first + i + 1] - exclude->offsets[first + i]));
            if (std::find(mine.begin(), mine.end(), id) != mine.end()) continue;
          }
          best[i].push({score, id});
        }
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      best[i].sort();
      for (std::size_t j = 0; j < k; ++j) {
        const bool found = j < best[i].size();
        scores[(first + i) * k + j] = found ? space[i * k + j].score : -std::numeric_limits<float>::infinity();
        rows[(first + i) * k + j] = found ? static_cast<std::int64_t>(space[i * k + j].row) : -1;
      }
    }
  });
}

}  // namespace shortlist
