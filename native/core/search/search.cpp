#include "search/search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "search/batch.h"
#include "search/exact.h"
#include "search/rerank.h"
#include "search/topk.h"
#include "search/workspace.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kQueriesPerPiece = 16;

const Excluded kNoneExcluded;

CodedQuery code_query(const Index& index, Workspace& space) {
  const Quantizer& quantizer = index.codes.quantizer;
  space.row_query.resize(quantizer.query_bytes());
  space.table.resize(quantizer.table_size());
  return quantizer.encode_query(space.augmented.data(), space.row_query.data(), space.table.data());
}

}  // namespace

void choose_groups(const Index& index, const Settings& settings, const Filter* allow, Workspace& space) {
  const FloatBlocks& groups = index.groups;
  const std::size_t wanted =
      settings.groups != 0 ? settings.groups : std::max<std::size_t>(index.usual_groups, settings.leaves);
  space.group_scores.resize(groups.count() * kBlockRows);
  float* scores = space.group_scores.data();
  active_kernels().f32_scores(groups.blocks.data(), groups.count(), index.routing_dim(), space.augmented.data(), 0, 1,
                              scores, 0);
  if (allow != nullptr) {
    for (std::size_t g = 0; g < groups.num_rows; ++g) {
      if (allow->groups[g] == 0) scores[g] = -std::numeric_limits<float>::max();
    }
  }
  const float least = wanted < groups.num_rows ? active_kernels().reached_by(scores, groups.num_rows, wanted)
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

CodedQuery code_for_leaves(const Index& index, const CodedQuery& query, Workspace& space) {
  const Quantizer& rows = index.codes.quantizer;
  const Quantizer& quantizer = index.centroids.quantizer;
  if (rows.is_int8() && quantizer.is_int8() && index.spread == 0.0f) return query;
  space.centroid_query.resize(quantizer.query_bytes());
  space.table.resize(quantizer.table_size());
  return quantizer.encode_query(space.augmented.data(), space.centroid_query.data(), space.table.data());
}

void scan_leaves(const Index& index, const CodedQuery& query, const Settings& settings, const Filter* allow,
                 const std::vector<Cell>& leaves, const Excluded& excluded, ScanSpace& space, Survivors& survivors) {
  // An only leaf was not chosen for its centroid, which says nothing of where its best rows are.
  const float stop_width = index.num_leaves() > 1 ? settings.stop * query.norm : 0.0f;
  scan(index.codes, query, leaves.data(), leaves.size(), allow == nullptr ? nullptr : allow->rows.data(), excluded,
       stop_width, space, survivors);
  survivors.choose();
}

namespace {

// Rises with the score, and orders what is not a number too.
std::int32_t ordered(float score) {
  const auto bits = std::bit_cast<std::int32_t>(score);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

bool comes_first(const Cell& a, const Cell& b) {
  const std::int32_t first = ordered(a.base);
  const std::int32_t second = ordered(b.base);
  return first > second || (first == second && a.cell < b.cell);
}

// Writes many leaves as sort_leaves does: into buckets by score, and sorted there, where few are. For 480 leaves that
// took 7 µs where choosing them and std::sort took 20.
void sort_many_leaves(const float* scores, const std::uint32_t* leaves, std::size_t count, Cell* sorted) {
  constexpr int kBits = 9;
  std::int32_t lowest = ordered(scores[0]);
  std::int32_t highest = lowest;
  for (std::size_t i = 1; i < count; ++i) {
    lowest = std::min(lowest, ordered(scores[i]));
    highest = std::max(highest, ordered(scores[i]));
  }
  const auto below = [&](float score) {
    return static_cast<std::uint32_t>(highest) - static_cast<std::uint32_t>(ordered(score));
  };
  const std::uint32_t range = static_cast<std::uint32_t>(highest) - static_cast<std::uint32_t>(lowest);
  const int shift = std::max(0, static_cast<int>(std::bit_width(range)) - kBits);
  std::uint32_t ends[(1 << kBits) + 1] = {};
  for (std::size_t i = 0; i < count; ++i) ++ends[(below(scores[i]) >> shift) + 1];
  for (std::size_t bucket = 0; bucket < (1 << kBits); ++bucket) ends[bucket + 1] += ends[bucket];
  for (std::size_t i = 0; i < count; ++i) sorted[ends[below(scores[i]) >> shift]++] = {leaves[i], scores[i]};
  std::uint32_t begin = 0;
  for (std::size_t bucket = 0; bucket < (1 << kBits); ++bucket) {
    if (ends[bucket] > begin + 1) std::sort(sorted + begin, sorted + ends[bucket], comes_first);
    begin = ends[bucket];
  }
}

// Writes the leaves, the best first, of equal ones the lower. Each of a few finds its place by counting those before
// it: no branch depends on a score, which takes two thirds of the time of std::sort.
void sort_leaves(const float* scores, const std::uint32_t* leaves, std::size_t count, Cell* sorted) {
  constexpr std::size_t kFew = 64;
  if (count > kFew) {
    sort_many_leaves(scores, leaves, count, sorted);
    return;
  }
  std::int32_t keys[kFew];
  for (std::size_t i = 0; i < count; ++i) keys[i] = ordered(scores[i]);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t place = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const std::uint32_t larger = keys[j] > keys[i] ? 1 : 0;
      const std::uint32_t equal = keys[j] == keys[i] ? 1 : 0;
      const std::uint32_t lower = leaves[j] < leaves[i] ? 1 : 0;
      place += larger | (equal & lower);
    }
    sorted[place] = {leaves[i], scores[i]};
  }
}

}  // namespace

void take_leaves(const Index& index, const CodedQuery& query, Survivors& leaves, std::vector<Cell>& cells) {
  leaves.shrink();
  const std::size_t first = index.has_tier() ? 1 : 0;
  cells.resize(first + leaves.size());
  if (index.has_tier()) cells[0] = index.tier_cell();
  sort_leaves(leaves.scores(), leaves.rows(), leaves.size(), &cells[first]);
  cells.resize(first + std::min(leaves.size(), leaves.keep()));
  if (index.spread == 0.0f) return;
  for (std::size_t i = first; i < cells.size(); ++i) {
    cells[i].base -= index.spread * query.norm * index.spreads[cells[i].cell];
  }
}

namespace {

// Puts the rows that query `i` must not get into space.excluded.
void exclude(const Index& index, const Limits& limits, std::size_t i, Workspace& space) {
  space.excluded.clear();
  const bool shared = limits.exclude_offsets.empty();
  const std::size_t begin = shared ? 0 : static_cast<std::size_t>(limits.exclude_offsets[i]);
  const std::size_t end = shared ? limits.exclude.size() : static_cast<std::size_t>(limits.exclude_offsets[i + 1]);
  if (begin == end) return;
  space.excluded.reset(end - begin);
  for (const std::uint32_t row : limits.exclude.subspan(begin, end - begin)) {
    if (row != Ids::kNone) space.excluded.insert(index.position_of[row]);
  }
}

// Finds the leaves group by group, then the rows leaf by leaf.
void approximate_search(const Index& index, const CodedQuery& query, const Settings& settings, const Filter* allow,
                        std::size_t k, Workspace& space, TopK& best) {
  choose_groups(index, settings, allow, space);
  space.survivors.reset(settings.leaves);
  scan(index.centroids, code_for_leaves(index, query, space), space.cells.data(), space.cells.size(),
       allow == nullptr ? nullptr : allow->leaves.data(), kNoneExcluded, 0.0f, space.scan, space.survivors);
  take_leaves(index, query, space.survivors, space.cells);
  space.survivors.reset(std::max<std::size_t>(k, settings.rerank));
  scan_leaves(index, query, settings, allow, space.cells, space.excluded, space.scan, space.survivors);
  rerank(index, space.survivors.rows(), space.survivors.size(), space, best);
}

// Fills space.few with the rows that a filter of few rows allows.
void find_few(const Filter& allow, Workspace& space) {
  space.few.clear();
  for (const std::uint32_t position : allow.positions) {
    if (space.excluded.empty() || !space.excluded.contains(position)) space.few.push_back(position);
  }
}

}  // namespace

float reached_quickly(const Index& index, const CodedQuery& query, const Filter* allow, std::size_t k,
                      Workspace& space) {
  constexpr Settings kQuick{};
  if (index.num_leaves() <= 2 * kQuick.leaves) return -std::numeric_limits<float>::infinity();
  TopK best(space.best.data(), k);
  approximate_search(index, query, kQuick, allow, k, space, best);
  return best.threshold();
}

std::size_t most_allowed(const Index& index, const Filter* allow, const Excluded& excluded) {
  return allow == nullptr ? index.size - excluded.size() : allow->count;
}

CodedQuery begin_query(const Index& index, const float* query, const Limits& limits, std::size_t i, Workspace& space) {
  space.query.resize(index.dim);
  space.augmented.resize(index.routing_dim());
  prepare_query(index, query, space.query.data());
  index.augmentation.query(space.query.data(), space.augmented.data());
  exclude(index, limits, i, space);
  const CodedQuery coded = code_query(index, space);
  if (index.spread > 0.0f) space.augmented[index.augmentation.coded_dim()] = index.spread * coded.norm;
  return coded;
}

void write_results(TopK& best, const Scored* found, std::size_t k, float* scores, std::int64_t* rows) {
  best.sort();
  for (std::size_t j = 0; j < k; ++j) {
    const bool there = j < best.size();
    scores[j] = there ? found[j].score : -std::numeric_limits<float>::infinity();
    rows[j] = there ? static_cast<std::int64_t>(found[j].row) : -1;
  }
}

void search_one(const Index& index, const float* query, std::size_t k, const Settings& settings, const Limits& limits,
                std::size_t i, Workspace& space, float* scores, std::int64_t* rows) {
  space.best.resize(k);
  const CodedQuery coded = begin_query(index, query, limits, i, space);
  const Filter* allow = limits.allow;
  TopK best(space.best.data(), k);
  if (allow != nullptr && allow->count <= Filter::kFew) {
    find_few(*allow, space);
    rerank(index, space.few.data(), space.few.size(), space, best);
  } else if (settings.exact) {
    exact_search(index, coded, allow, reached_quickly(index, coded, allow, k, space), space, best);
  } else {
    approximate_search(index, coded, settings, allow, k, space, best);
    if (best.size() < std::min(k, most_allowed(index, allow, space.excluded))) {
      best = TopK(space.best.data(), k);
      exact_search(index, coded, allow, -std::numeric_limits<float>::infinity(), space, best);
    }
  }
  write_results(best, space.best.data(), k, scores, rows);
}

void search(const Index& index, const float* queries, std::size_t num_queries, std::size_t k, const Settings& settings,
            const Limits& limits, std::size_t threads, float* scores, std::int64_t* rows) {
  const std::size_t together = queries_together(index, num_queries, k, settings, limits, threads);
  if (together > 1) {
    search_batches(index, queries, num_queries, together, k, settings, limits, threads, scores, rows);
    return;
  }
  if (num_queries == 1) {
    const WorkspacePool::Loan space(*index.workspaces);
    search_one(index, queries, k, settings, limits, 0, *space, scores, rows);
    return;
  }
  parallel_for((num_queries + kQueriesPerPiece - 1) / kQueriesPerPiece, threads, [&](std::size_t piece, std::size_t) {
    const WorkspacePool::Loan space(*index.workspaces);
    const std::size_t last = std::min(num_queries, (piece + 1) * kQueriesPerPiece);
    for (std::size_t i = piece * kQueriesPerPiece; i < last; ++i) {
      search_one(index, queries + i * index.dim, k, settings, limits, i, *space, scores + i * k, rows + i * k);
    }
  });
}

std::vector<std::vector<Scored>> range_search(const Index& index, const float* queries, std::size_t num_queries,
                                              float least, const Limits& limits, std::size_t threads) {
  std::vector<std::vector<Scored>> found(num_queries);
  parallel_for(num_queries, threads, [&](std::size_t i, std::size_t) {
    const WorkspacePool::Loan loan(*index.workspaces);
    Workspace& space = *loan;
    const CodedQuery coded = begin_query(index, queries + i * index.dim, limits, i, space);
    const Filter* allow = limits.allow;
    if (allow != nullptr && allow->count <= Filter::kFew) {
      find_few(*allow, space);
      take_range(index, space.few.data(), space.few.size(), least, space, found[i]);
    } else {
      exact_range(index, coded, allow, least, space, found[i]);
    }
    std::sort(found[i].begin(), found[i].end(), better);
  });
  return found;
}

}  // namespace shortlist
