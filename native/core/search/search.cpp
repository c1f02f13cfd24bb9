#include "search/search.h"

#include <algorithm>

#include "search/batch.h"
#include "search/query.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueriesPerPiece = 16;

}  // namespace

void search(const Snapshot& snapshot, const float* queries, std::size_t num_queries, std::size_t k,
            const Settings& given, const Limits& limits, std::size_t threads, float* scores, std::int64_t* rows) {
  const std::size_t dim = snapshot.codebook->dim;
  const Settings settings = limits.allow == nullptr ? given : settings_for(*limits.allow, snapshot, given, k);
  const std::size_t together = queries_together(snapshot, num_queries, k, settings, limits, threads);
  if (together > 1) {
    search_batches(snapshot, queries, num_queries, together, k, settings, limits, threads, scores, rows);
    return;
  }
  if (num_queries == 1) {
    const WorkspacePool::Loan space(*snapshot.workspaces);
    search_one(snapshot, queries, k, settings, limits, 0, *space, scores, rows);
    return;
  }
  parallel_for((num_queries + kQueriesPerPiece - 1) / kQueriesPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const WorkspacePool::Loan space(*snapshot.workspaces);
    const std::size_t last = std::min(num_queries, (piece + 1) * kQueriesPerPiece);
    for (std::size_t i = piece * kQueriesPerPiece; i < last; ++i) {
      search_one(snapshot, queries + i * dim, k, settings, limits, i, *space, scores + i * k, rows + i * k);
    }
  });
}

std::vector<std::vector<Scored>> range_search(const Snapshot& snapshot, const float* queries, std::size_t num_queries,
                                              float least, const Limits& limits, std::size_t threads) {
  std::vector<std::vector<Scored>> found(num_queries);
  parallel_for(num_queries, threads, [&](std::size_t i, std::size_t) {
    const WorkspacePool::Loan space(*snapshot.workspaces);
    range_search_one(snapshot, queries + i * snapshot.codebook->dim, least, limits, i, *space, found[i]);
  });
  return found;
}

}  // namespace shortlist
