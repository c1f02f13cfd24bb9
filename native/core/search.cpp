#include <algorithm>
#include <cmath>
#include <limits>

#include "dispatch.h"
#include "exact.h"
#include "index.h"
#include "rerank.h"
#include "threads.h"
#include "topk.h"
#include "workspace.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueriesPerPiece = 16;

// Finds the groups whose centroids score best, the very best first.
void choose_groups(const Index& index, std::size_t wanted, Workspace& space) {
  const FloatBlocks& groups = index.groups;
  space.group_scores.resize(groups.count() * kBlockRows);
  float* scores = space.group_scores.data();
  active_kernels().f32_scores(groups.blocks.data(), groups.count(), index.lift.coded_dim(), space.lifted.data(), 0, 1,
                              scores, 0);
  const float least = wanted < groups.num_rows ? reached_by(scores, groups.num_rows, wanted)
                                               : -std::numeric_limits<float>::infinity();
  space.cells.resize(groups.num_rows);
  std::size_t chosen = 0;
  std::size_t best = 0;
  for (std::uint32_t g = 0; g < groups.num_rows; ++g) {
    space.cells[chosen] = {g, scores[g]};
    best = scores[g] > space.cells[best].base ? chosen : best;
    chosen += scores[g] >= least ? 1 : 0;
  }
  space.cells.resize(chosen);
  std::swap(space.cells[0], space.cells[best]);
}

// Fills space.cells with the leaves to scan, the tier and then the best leaf first.
void choose_leaves(const Index& index, const CodedQuery& query, const Settings& settings, Workspace& space) {
  const std::size_t groups = index.groups.num_rows;
  const std::size_t wanted = settings.groups != 0 ? settings.groups : std::max<std::size_t>(4, settings.leaves);
  choose_groups(index, std::min(groups, wanted), space);
  space.leaves.reset(settings.leaves);
  scan(index.centroids, query, space.cells.data(), space.cells.size(), nullptr, space.scan, space.leaves);
  space.leaves.shrink();
  const std::size_t chosen = space.leaves.size();
  const std::size_t first = index.has_tier() ? 1 : 0;
  space.cells.resize(first + chosen);
  if (index.has_tier()) space.cells[0] = {static_cast<std::uint32_t>(index.num_leaves()), 0.0f};
  for (std::size_t i = 0; i < chosen; ++i) space.cells[first + i] = {space.leaves.rows()[i], space.leaves.scores()[i]};
  std::sort(space.cells.begin() + static_cast<std::ptrdiff_t>(first), space.cells.end(),
            [](const Cell& a, const Cell& b) { return a.base > b.base || (a.base == b.base && a.cell < b.cell); });
}

void search_one(const Index& index, const float* query, std::size_t k, const Settings& settings, Workspace& space,
                float* scores, std::int64_t* rows) {
  space.query.resize(index.dim);
  space.lifted.resize(index.lift.coded_dim());
  space.values.resize(index.codes.slices() * 4);
  space.best.resize(k);
  prepare_query(index, query, space.query.data());
  index.lift.query(space.query.data(), space.lifted.data());
  const CodedQuery coded = encode_query(space.lifted.data(), space.lifted.size(), space.values.data());
  TopK best(space.best.data(), k);
  if (settings.exact) {
    exact_search(index, coded, -std::numeric_limits<float>::infinity(), space, best);
  } else {
    choose_leaves(index, coded, settings, space);
    space.survivors.reset(std::max<std::size_t>(k, settings.rerank));
    scan(index.codes, coded, space.cells.data(), space.cells.size(), nullptr, space.scan, space.survivors);
    space.survivors.shrink();
    const std::size_t count = space.survivors.size();
    const std::uint32_t* positions = space.survivors.rows();
    space.scores.resize(count);
    exact_scores(index, space.query.data(), positions, 0, count, space.scores.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (space.scores[i] >= best.threshold()) best.push({space.scores[i], index.row_of[positions[i]]});
    }
  }
  best.sort();
  for (std::size_t j = 0; j < k; ++j) {
    const bool found = j < best.size();
    scores[j] = found ? space.best[j].score : -std::numeric_limits<float>::infinity();
    rows[j] = found ? static_cast<std::int64_t>(space.best[j].row) : -1;
  }
}

}  // namespace

void search(const Index& index, const float* queries, std::size_t num_queries, std::size_t k,
            const Settings& settings, const Exclusions*, std::size_t threads, float* scores, std::int64_t* rows) {
  if (num_queries == 1) {
    const WorkspacePool::Loan space(*index.workspaces);
    search_one(index, queries, k, settings, *space, scores, rows);
    return;
  }
  parallel_for((num_queries + kQueriesPerPiece - 1) / kQueriesPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const WorkspacePool::Loan space(*index.workspaces);
    const std::size_t last = std::min(num_queries, (piece + 1) * kQueriesPerPiece);
    for (std::size_t i = piece * kQueriesPerPiece; i < last; ++i) {
      search_one(index, queries + i * index.dim, k, settings, *space, scores + i * k, rows + i * k);
    }
  });
}

}  // namespace shortlist
