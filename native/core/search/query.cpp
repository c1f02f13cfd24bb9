#include "search/query.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "search/coded_rows.h"
#include "search/exact.h"
#include "search/leaves.h"
#include "search/rerank.h"

namespace shortlist {
namespace {

const Excluded kNoneExcluded;

// Finds the leaves group by group, then the rows leaf by leaf, and scores the best of them in full.
void approximate_search(const Snapshot& snapshot, const CodedQuery& query, const Settings& settings,
                        const Filter* allow, std::size_t k, Workspace& space, TopK& best) {
  const Codebook& codebook = *snapshot.codebook;
  choose_groups(codebook, settings, allow, space);
  space.survivors.reset(settings.leaves);
  scan({codebook.centroids, allow == nullptr ? nullptr : allow->leaves.data()}, code_for_leaves(codebook, query, space),
       space.cells.data(), space.cells.size(), kNoneExcluded, 0.0f, space.scan, space.survivors);
  take_leaves(codebook, query, space.survivors, space.cells);
  space.survivors.reset(std::max<std::size_t>(k, settings.rerank));
  scan_leaves(snapshot, query, settings, allow, space.cells, space.excluded, space.scan, space.survivors);
  rerank(snapshot, space.survivors.rows(), space.survivors.size(), space, best);
}

// The k-th score that an approximate search finds: exact search starts from it.
float quick_score(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, std::size_t k,
                  Workspace& space) {
  constexpr Settings kQuick{};
  if (snapshot.codebook->num_leaves() <= 2 * kQuick.leaves) return -std::numeric_limits<float>::infinity();
  TopK best(space.best.data(), k);
  approximate_search(snapshot, query, kQuick, allow, k, space, best);
  return best.threshold();
}

// Fills space.few with the rows that a filter of few rows allows.
void find_few(const Filter& allow, Workspace& space) {
  space.few.clear();
  for (const std::uint32_t position : allow.positions) {
    if (space.excluded.empty() || !space.excluded.contains(position)) space.few.push_back(position);
  }
}

// The query as it is scored: of unit norm for cosine (a zero vector stays zero), otherwise unchanged.
void prepare_query(const Codebook& codebook, const float* query, float* out) {
  std::copy_n(query, codebook.dim, out);
  if (codebook.metric != Metric::cosine) return;
  double squares = 0.0;
  for (std::size_t t = 0; t < codebook.dim; ++t) squares += static_cast<double>(out[t]) * out[t];
  if (squares == 0.0) return;
  const double inverse = 1.0 / std::sqrt(squares);
  for (std::size_t t = 0; t < codebook.dim; ++t) out[t] = static_cast<float>(out[t] * inverse);
}

// Puts the rows that query `i` must not get into space.excluded.
void exclude(const Snapshot& snapshot, const Limits& limits, std::size_t i, Workspace& space) {
  space.excluded.clear();
  const bool shared = limits.exclude_offsets.empty();
  const std::size_t begin = shared ? 0 : static_cast<std::size_t>(limits.exclude_offsets[i]);
  const std::size_t end = shared ? limits.exclude.size() : static_cast<std::size_t>(limits.exclude_offsets[i + 1]);
  if (begin == end) return;
  space.excluded.reset(end - begin);
  for (const std::uint32_t row : limits.exclude.subspan(begin, end - begin)) {
    if (row == Ids::kNone) continue;
    const Part& part = snapshot.part_of_row(row);
    if (part.is_deleted(row - part.first)) continue;
    space.excluded.insert(part.first + part.segment->position_of[row - part.first]);
  }
}

}  // namespace

void search_one(const Snapshot& snapshot, const float* query, std::size_t k, const Settings& settings,
                const Limits& limits, std::size_t i, Workspace& space, float* scores, std::int64_t* rows) {
  space.best.resize(k);
  const CodedQuery coded = begin_query(snapshot, query, limits, i, space);
  const Filter* allow = limits.allow;
  TopK best(space.best.data(), k);
  if (allow != nullptr && allow->is_few()) {
    find_few(*allow, space);
    rerank(snapshot, space.few.data(), space.few.size(), space, best);
  } else if (settings.exact) {
    exact_search(snapshot, coded, allow, quick_score(snapshot, coded, allow, k, space), space, best);
  } else {
    approximate_search(snapshot, coded, settings, allow, k, space, best);
    if (may_have_more(snapshot, allow, space.excluded, k, best)) {
      best = TopK(space.best.data(), k);
      exact_search(snapshot, coded, allow, -std::numeric_limits<float>::infinity(), space, best);
    }
  }
  write_results(best, space.best.data(), k, scores, rows);
}

void range_search_one(const Snapshot& snapshot, const float* query, float least, const Limits& limits, std::size_t i,
                      Workspace& space, std::vector<Scored>& found) {
  const CodedQuery coded = begin_query(snapshot, query, limits, i, space);
  const Filter* allow = limits.allow;
  if (allow != nullptr && allow->is_few()) {
    find_few(*allow, space);
    take_range(snapshot, space.few.data(), space.few.size(), least, space, found);
  } else {
    exact_range(snapshot, coded, allow, least, space, found);
  }
  std::sort(found.begin(), found.end(), better);
}

CodedQuery begin_query(const Snapshot& snapshot, const float* query, const Limits& limits, std::size_t i,
                       Workspace& space) {
  const Codebook& codebook = *snapshot.codebook;
  space.query.resize(codebook.dim);
  space.augmented.resize(codebook.routing_dim());
  prepare_query(codebook, query, space.query.data());
  codebook.augmentation.query(space.query.data(), space.augmented.data());
  exclude(snapshot, limits, i, space);
  const Quantizer& quantizer = codebook.quantizer;
  space.row_query.resize(quantizer.query_bytes());
  space.table.resize(quantizer.table_size());
  const CodedQuery coded = quantizer.encode_query(space.augmented.data(), space.row_query.data(), space.table.data());
  if (codebook.spread > 0.0f) space.augmented[codebook.augmentation.coded_dim()] = codebook.spread * coded.norm;
  return coded;
}

CodedQuery code_for_leaves(const Codebook& codebook, const CodedQuery& query, Workspace& space) {
  const Quantizer& quantizer = codebook.centroids.quantizer;
  if (codebook.quantizer.is_int8() && quantizer.is_int8() && codebook.spread == 0.0f) return query;
  space.centroid_query.resize(quantizer.query_bytes());
  space.table.resize(quantizer.table_size());
  return quantizer.encode_query(space.augmented.data(), space.centroid_query.data(), space.table.data());
}

void scan_leaves(const Snapshot& snapshot, const CodedQuery& query, const Settings& settings, const Filter* allow,
                 const std::vector<Cell>& leaves, const Excluded& excluded, ScanSpace& space, Survivors& survivors) {
  // An only leaf was not chosen for its centroid, which says nothing of where its best rows are.
  const float stop_width = snapshot.codebook->num_leaves() > 1 ? settings.stop * query.norm : 0.0f;
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    scan(coded_rows(snapshot, p, allow), query, leaves.data(), leaves.size(), excluded, stop_width, space, survivors);
  }
  survivors.choose();
}

// Excluded rows may be among those that the filter leaves out anyway.
bool may_have_more(const Snapshot& snapshot, const Filter* allow, const Excluded& excluded, std::size_t k,
                   const TopK& best) {
  const std::size_t most = allow == nullptr ? snapshot.num_live - excluded.size() : allow->count;
  return best.size() < std::min(k, most);
}

void write_results(TopK& best, const Scored* found, std::size_t k, float* scores, std::int64_t* rows) {
  best.sort();
  for (std::size_t j = 0; j < k; ++j) {
    const bool there = j < best.size();
    scores[j] = there ? found[j].score : -std::numeric_limits<float>::infinity();
    rows[j] = there ? static_cast<std::int64_t>(found[j].row) : -1;
  }
}

}  // namespace shortlist
