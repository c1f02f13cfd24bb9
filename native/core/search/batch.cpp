#include "search/batch.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/dispatch.h"
#include "search/coded_rows.h"
#include "search/leaves.h"
#include "search/query.h"
#include "search/rerank.h"
#include "search/workspace.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kFewest = 8;
constexpr std::size_t kMost = 1024;
// Queries that hardly share a leaf share only the groups: so many of them stay in the cache meanwhile. For leaves of 96
// dimensions that took a quarter off the time of a query (21 to 15 µs), of 384 a third, of 32 a tenth or nothing.
constexpr std::size_t kMostSparse = 256;
// What the queries of one batch may keep in memory.
constexpr std::size_t kMemory = std::size_t{64} << 20;

constexpr std::size_t kSelections = 8;   // queries that share a pass over a span
constexpr std::size_t kSpanRows = 1024;  // larger leaves are scanned in parts
static_assert(kSpanRows % kBlockRows == 0);

// The best cells of each query are scanned first, in parts that grow from this, so that its threshold is tight when it
// comes to the others.
constexpr std::size_t kFirstRows = 128;
static_assert(kFirstRows % kBlockRows == 0);

const Excluded kNoneExcluded;

// The codes that a query is coded for: those of the centroids or of the rows.
using Coded = CodedQuery BatchQuery::*;

// Fetches a cell that is scanned soon and what the queries that visit it need.
inline __attribute__((always_inline)) void fetch_cell(const Codes& codes, const Coded coded, const Batch& batch,
                                                      std::size_t begin) {
  constexpr std::size_t kBytes = 8192;
  if (begin >= batch.by_cell.size()) return;
  const std::size_t cell = batch.by_cell[begin].cell.cell;
  const std::uint8_t* blocks = codes.blocks_of(cell);
  const std::size_t bytes =
      std::min(kBytes, (codes.first_block[cell + 1] - codes.first_block[cell]) * codes.quantizer.block_bytes());
  for (std::size_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(blocks + byte);
  const std::size_t end = std::min<std::size_t>(batch.ends[cell], begin + kSelections);
  for (std::size_t i = begin; i < end; ++i) {
    const BatchQuery& query = batch.queries[batch.by_cell[i].query];
    __builtin_prefetch(&query);
    __builtin_prefetch((query.*coded).bytes);
  }
}

// Sorts the visits into batch.by_cell.
void sort_by_cell(const std::vector<Visit>& visits, std::size_t num_cells, Batch& batch) {
  batch.ends.assign(num_cells + 1, 0);
  for (const Visit& visit : visits) ++batch.ends[visit.cell.cell + 1];
  for (std::size_t cell = 0; cell < num_cells; ++cell) batch.ends[cell + 1] += batch.ends[cell];
  batch.by_cell.resize(visits.size());
  for (const Visit& visit : visits) batch.by_cell[batch.ends[visit.cell.cell]++] = visit;
}

// Selects in one span for up to kSelections queries, those of `visits`, and calls found(visit, rows, sums, count).
template <class Value, class Kernel, class Found>
void select_together(const Codes& codes, const Coded coded, const Span& span, const Visit* visits, std::size_t count,
                     Kernel kernel, const Found& found, Batch& batch) {
  Selection<Value> selections[kSelections];
  for (std::size_t i = 0; i < count; ++i) {
    const BatchQuery& query = batch.queries[visits[i].query];
    const CodedQuery& own = query.*coded;
    selections[i] = {
        reinterpret_cast<const Value*>(own.bytes),
        least_sum(query.survivors.threshold(), visits[i].cell.base, codes.scales[visits[i].cell.cell], own),
        &batch.rows[i * kSpanRows], &batch.sums[i * kSpanRows], 0};
  }
  kernel(span, codes.quantizer.slices(), selections, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (selections[i].count == 0) continue;
    found(visits[i], selections[i].rows, selections[i].sums, selections[i].count);
  }
}

// Scans every cell for the queries that visit it and shows each what reaches its threshold. A cell is scanned in parts
// that grow from `first_rows`.
void scan_by_cell(const CodedRows& rows, const Coded coded, const bool may_exclude, const std::vector<Visit>& unsorted,
                  std::size_t first_rows, Batch& batch) {
  const Kernels& kernels = active_kernels();
  const Codes& codes = rows.codes;
  sort_by_cell(unsorted, codes.num_cells(), batch);
  batch.rows.resize(kSelections * kSpanRows);
  batch.sums.resize(kSelections * kSpanRows);
  const std::vector<Visit>& visits = batch.by_cell;
  const auto found = [&](const Visit& visit, const std::uint32_t* positions, const std::int32_t* sums,
                         std::size_t count) {
    BatchQuery& query = batch.queries[visit.query];
    show(codes, query.*coded, visit.cell, positions, sums, count, may_exclude ? query.excluded : kNoneExcluded,
         query.survivors);
    query.survivors.settle();
  };
  for (std::size_t begin = 0; begin < visits.size();) {
    const std::size_t cell = visits[begin].cell.cell;
    const std::size_t end = batch.ends[cell];
    fetch_cell(codes, coded, batch, end);
    for (std::size_t i = begin; i < end; i += kSelections) {
      const std::size_t count = std::min(kSelections, end - i);
      std::size_t part = first_rows;
      for (std::size_t start = 0; start < codes.count(cell); start += part, part = std::min(4 * part, kSpanRows)) {
        const std::size_t block = codes.first_block[cell] + start / kBlockRows;
        const Span span{codes.blocks.data() + block * codes.quantizer.block_bytes(),
                        rows.masks == nullptr ? nullptr : rows.masks + block,
                        static_cast<std::uint32_t>(std::min(part, codes.count(cell) - start)),
                        rows.first + codes.starts[cell] + static_cast<std::uint32_t>(start), 0};
        if (codes.quantizer.centres.empty()) {
          const auto kernel = codes.quantizer.is_int8() ? kernels.int8_select_many : kernels.int4_select_many;
          select_together<std::int8_t>(codes, coded, span, &visits[i], count, kernel, found, batch);
        } else {
          select_together<std::uint8_t>(codes, coded, span, &visits[i], count, kernels.code4_select_many, found, batch);
        }
      }
    }
    begin = end;
  }
}

// Keeps the query in the batch's memory while the workspace serves the next one.
void keep_query(Workspace& space, BatchQuery& query) {
  std::swap(query.query, space.query);
  std::swap(query.row_query, space.row_query);
  std::swap(query.centroid_query, space.centroid_query);
  std::swap(query.excluded, space.excluded);
}

// Notes that query `number` visits these cells: the first ones in the first wave, the others in the second.
void visit(const std::vector<Cell>& cells, std::size_t first, std::uint32_t number, Batch& batch) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    (i < first ? batch.first_visits : batch.visits).push_back({cells[i], number});
  }
}

// Scans what was noted, in two waves.
void scan_visits(std::span<const CodedRows> all, const Coded coded, const bool may_exclude, Batch& batch) {
  for (const CodedRows& rows : all) scan_by_cell(rows, coded, may_exclude, batch.first_visits, kFirstRows, batch);
  for (const CodedRows& rows : all) scan_by_cell(rows, coded, may_exclude, batch.visits, kSpanRows, batch);
  batch.first_visits.clear();
  batch.visits.clear();
}

// Whether queries come to the same leaves often enough to scan leaf by leaf. An early stop looks at each query's leaves
// in turn.
bool share_leaves(const Codebook& codebook, const Settings& settings, std::size_t num_queries) {
  const std::size_t leaves = std::min<std::size_t>(settings.leaves, codebook.num_leaves());
  return settings.stop == 0.0f && 2 * num_queries * leaves >= codebook.num_leaves();
}

// Puts the queries in the order of their best leaves: one finds in the cache what the one before it has read. Of 500
// queries in 384 dimensions that took a tenth off the time; where no two are alike it changes nothing.
void take_turns(std::size_t first_leaf, std::size_t num_queries, Batch& batch) {
  batch.turns.clear();
  for (std::uint32_t i = 0; i < num_queries; ++i) {
    const std::vector<Cell>& leaves = batch.queries[i].leaves;
    batch.turns.push_back({leaves.size() > first_leaf ? leaves[first_leaf].cell : 0, i});
  }
  std::sort(batch.turns.begin(), batch.turns.end());
}

void search_batch(const Snapshot& snapshot, const float* queries, std::size_t num_queries, std::size_t first,
                  std::size_t k, const Settings& settings, const Limits& limits, Workspace& space, float* scores,
                  std::int64_t* rows) {
  const Codebook& codebook = *snapshot.codebook;
  Batch& batch = space.batch;
  const Filter* allow = limits.allow;
  batch.queries.resize(std::max(batch.queries.size(), num_queries));
  batch.first_visits.clear();
  batch.visits.clear();
  const auto number = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
  for (std::size_t i = 0; i < num_queries; ++i) {
    BatchQuery& query = batch.queries[i];
    query.coded = begin_query(snapshot, queries + i * codebook.dim, limits, first + i, space);
    query.coded_leaves = code_for_leaves(codebook, query.coded, space);
    query.survivors.reset(settings.leaves);
    choose_groups(codebook, settings, allow, space);
    visit(space.cells, 1, number(i), batch);
    keep_query(space, query);
  }
  const CodedRows centroids{codebook.centroids, allow == nullptr ? nullptr : allow->leaves.data()};
  scan_visits({&centroids, 1}, &BatchQuery::coded_leaves, false, batch);
  const bool by_leaf = share_leaves(codebook, settings, num_queries);
  const std::size_t first_leaf = codebook.has_tier() ? 1 : 0;
  for (std::size_t i = 0; i < num_queries; ++i) {
    BatchQuery& query = batch.queries[i];
    take_leaves(codebook, query.coded, query.survivors, query.leaves);
    query.survivors.reset(std::max<std::size_t>(k, settings.rerank));
    if (by_leaf) visit(query.leaves, first_leaf + 1, number(i), batch);
  }
  if (by_leaf) {
    std::vector<CodedRows> parts;
    for (std::size_t p = 0; p < snapshot.parts.size(); ++p) parts.push_back(coded_rows(snapshot, p, allow));
    scan_visits(parts, &BatchQuery::coded, true, batch);
  }
  take_turns(first_leaf, num_queries, batch);
  for (const auto& [leaf, i] : batch.turns) {
    BatchQuery& query = batch.queries[i];
    if (by_leaf) {
      query.survivors.choose();
    } else {
      scan_leaves(snapshot, query.coded, settings, allow, query.leaves, query.excluded, space.scan, query.survivors);
    }
    std::swap(query.query, space.query);
    space.best.resize(k);
    TopK best(space.best.data(), k);
    rerank(snapshot, query.survivors.rows(), query.survivors.size(), space, best);
    if (may_have_more(snapshot, allow, query.excluded, k, best)) {
      search_one(snapshot, queries + i * codebook.dim, k, settings, limits, first + i, space, scores + i * k,
                 rows + i * k);
    } else {
      write_results(best, space.best.data(), k, scores + i * k, rows + i * k);
    }
  }
}

}  // namespace

std::size_t queries_together(const Snapshot& snapshot, std::size_t num_queries, std::size_t k, const Settings& settings,
                             const Limits& limits, std::size_t threads) {
  if (settings.exact || num_queries < kFewest) return 1;
  const Codebook& codebook = *snapshot.codebook;
  if (limits.allow != nullptr && limits.allow->is_few()) return 1;
  const std::size_t leaves = std::min<std::size_t>(settings.leaves, codebook.num_leaves());
  const std::size_t visits = std::max<std::size_t>(leaves, codebook.groups.num_rows);
  const std::size_t kept = std::min<std::size_t>(std::max<std::size_t>(k, settings.rerank), snapshot.size);
  const std::size_t bytes = 64 * kept + 2 * sizeof(Visit) * visits + codebook.quantizer.query_bytes() +
                            codebook.centroids.quantizer.query_bytes() + snapshot.codebook->dim * sizeof(float) +
                            sizeof(BatchQuery);
  const std::size_t most =
      std::min(share_leaves(codebook, settings, num_queries) ? kMost : kMostSparse, kMemory / bytes);
  if (most < kFewest) return 1;
  const std::size_t workers = thread_count(threads);
  const std::size_t pieces = (num_queries + most * workers - 1) / (most * workers) * workers;
  const std::size_t together = (num_queries + pieces - 1) / pieces;
  return together >= kFewest ? together : 1;
}

void search_batches(const Snapshot& snapshot, const float* queries, std::size_t num_queries, std::size_t together,
                    std::size_t k, const Settings& settings, const Limits& limits, std::size_t threads, float* scores,
                    std::int64_t* rows) {
  parallel_for((num_queries + together - 1) / together, threads, [&](std::size_t piece, std::size_t) {
    const WorkspacePool::Loan space(*snapshot.workspaces);
    const std::size_t first = piece * together;
    search_batch(snapshot, queries + first * snapshot.codebook->dim, std::min(together, num_queries - first), first, k,
                 settings, limits, *space, scores + first * k, rows + first * k);
  });
}

}  // namespace shortlist
