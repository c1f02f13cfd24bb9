#include "batch.h"

#include <algorithm>
#include <utility>

#include "dispatch.h"
#include "rerank.h"
#include "search.h"
#include "threads.h"
#include "workspace.h"

namespace shortlist {
namespace {

constexpr std::size_t kFewest = 8;
constexpr std::size_t kMost = 1024;
// What the queries of one batch may keep in memory.
constexpr std::size_t kMemory = std::size_t{64} << 20;

constexpr std::size_t kSelections = 8;   // queries that share a pass over a span
constexpr std::size_t kSpanRows = 1024;  // larger leaves are scanned in parts
static_assert(kSpanRows % kBlockRows == 0);

// Each query's tier and this many of its best leaves are scanned first, in parts that grow from kFirstRows, so that its
// threshold is tight when it comes to the others.
constexpr std::size_t kFirstLeaves = 1;
constexpr std::size_t kFirstRows = 128;
static_assert(kFirstRows % kBlockRows == 0);

// Fetches a cell that is scanned soon and what the queries that visit it need.
inline __attribute__((always_inline)) void fetch_cell(const Codes& codes, const Batch& batch, std::size_t begin) {
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
    __builtin_prefetch(query.coded.bytes);
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
template <class Value, class Kernel, class Least, class Found>
void select_together(const Codes& codes, const Span& span, const Visit* visits, std::size_t count, Kernel kernel,
                     const Least& least, const Found& found, Batch& batch) {
  Selection<Value> selections[kSelections];
  for (std::size_t i = 0; i < count; ++i) {
    const BatchQuery& query = batch.queries[visits[i].query];
    selections[i] = {reinterpret_cast<const Value*>(query.coded.bytes),
                     least_sum(least(query), visits[i].cell.base, codes.scales[visits[i].cell.cell], query.coded),
                     &batch.rows[i * kSpanRows], &batch.sums[i * kSpanRows], 0};
  }
  kernel(span, codes.quantizer.slices(), selections, count);
  for (std::size_t i = 0; i < count; ++i) {
    if (selections[i].count == 0) continue;
    found(batch.queries[visits[i].query], visits[i].cell, selections[i].rows, selections[i].sums, selections[i].count);
  }
}

// Scans every cell for the queries that visit it: `least(query)` is the score that a row must reach by its estimate,
// `found(query, cell, rows, sums, count)` takes those that do. A cell is scanned in parts that grow from `first_rows`.
template <class Least, class Found>
void scan_by_cell(const Codes& codes, const Filter* allow, const std::vector<Visit>& unsorted, std::size_t first_rows,
                  Batch& batch, const Least& least, const Found& found) {
  const Kernels& kernels = active_kernels();
  sort_by_cell(unsorted, codes.num_cells(), batch);
  batch.rows.resize(kSelections * kSpanRows);
  batch.sums.resize(kSelections * kSpanRows);
  const std::vector<Visit>& visits = batch.by_cell;
  for (std::size_t begin = 0; begin < visits.size();) {
    const std::size_t cell = visits[begin].cell.cell;
    const std::size_t end = batch.ends[cell];
    fetch_cell(codes, batch, end);
    for (std::size_t i = begin; i < end; i += kSelections) {
      const std::size_t count = std::min(kSelections, end - i);
      std::size_t part = first_rows;
      for (std::size_t start = 0; start < codes.count(cell); start += part, part = std::min(4 * part, kSpanRows)) {
        const std::size_t block = codes.first_block[cell] + start / kBlockRows;
        const Span span{codes.blocks.data() + block * codes.quantizer.block_bytes(),
                        allow == nullptr ? nullptr : allow->rows.data() + block,
                        static_cast<std::uint32_t>(std::min(part, codes.count(cell) - start)),
                        codes.starts[cell] + static_cast<std::uint32_t>(start), 0};
        if (codes.quantizer.is_int8()) {
          select_together<std::int8_t>(codes, span, &visits[i], count, kernels.int8_select_many, least, found, batch);
        } else {
          select_together<std::uint8_t>(codes, span, &visits[i], count, kernels.code4_select_many, least, found, batch);
        }
      }
    }
    begin = end;
  }
}

// Keeps the query in the batch's memory while the workspace serves the next one.
void keep_query(Workspace& space, const CodedQuery& coded, BatchQuery& query) {
  query.coded = coded;
  std::swap(query.query, space.query);
  std::swap(query.row_query, space.row_query);
  std::swap(query.excluded, space.excluded);
  std::swap(query.survivors, space.survivors);
}

// Chooses the cells of query `number` and notes in which wave they are scanned.
void begin_approximate(const Index& index, const CodedQuery& coded, const Settings& settings, const Filter* allow,
                       std::size_t k, std::uint32_t number, Workspace& space) {
  choose_leaves(index, coded, settings, allow, space);
  space.survivors.reset(std::max<std::size_t>(k, settings.rerank));
  const std::size_t first = kFirstLeaves + (index.has_tier() ? 1 : 0);
  for (std::size_t i = 0; i < space.cells.size(); ++i) {
    (i < first ? space.batch.first_visits : space.batch.visits).push_back({space.cells[i], number});
  }
}

void search_batch(const Index& index, const float* queries, std::size_t num_queries, std::size_t first, std::size_t k,
                  const Settings& settings, const Limits& limits, Workspace& space, float* scores, std::int64_t* rows) {
  Batch& batch = space.batch;
  batch.queries.resize(std::max(batch.queries.size(), num_queries));
  batch.first_visits.clear();
  batch.visits.clear();
  for (std::size_t i = 0; i < num_queries; ++i) {
    const CodedQuery coded = begin_query(index, queries + i * index.dim, limits, first + i, space);
    begin_approximate(index, coded, settings, limits.allow, k, static_cast<std::uint32_t>(i), space);
    keep_query(space, coded, batch.queries[i]);
  }
  const auto least = [](const BatchQuery& query) { return query.survivors.threshold(); };
  const auto found = [&](BatchQuery& query, const Cell& cell, const std::uint32_t* positions, const std::int32_t* sums,
                         std::size_t count) {
    show(index.codes, query.coded, cell, positions, sums, count, query.excluded, query.survivors);
    query.survivors.settle();
  };
  scan_by_cell(index.codes, limits.allow, batch.first_visits, kFirstRows, batch, least, found);
  scan_by_cell(index.codes, limits.allow, batch.visits, kSpanRows, batch, least, found);
  for (std::size_t i = 0; i < num_queries; ++i) {
    BatchQuery& query = batch.queries[i];
    query.survivors.choose();
    std::swap(query.query, space.query);
    space.best.resize(k);
    TopK best(space.best.data(), k);
    rerank(index, query.survivors.rows(), query.survivors.size(), space, best);
    if (best.size() < std::min(k, most_allowed(index, limits.allow, query.excluded))) {
      search_one(index, queries + i * index.dim, k, settings, limits, first + i, space, scores + i * k, rows + i * k);
    } else {
      write_results(best, space.best.data(), k, scores + i * k, rows + i * k);
    }
  }
}

}  // namespace

std::size_t queries_together(const Index& index, std::size_t num_queries, std::size_t k, const Settings& settings,
                             const Limits& limits, std::size_t threads) {
  if (settings.exact || settings.stop > 0.0f) return 1;
  if (limits.allow != nullptr && limits.allow->count <= Filter::kFew) return 1;
  const std::size_t visits = std::min<std::size_t>(settings.leaves, index.num_leaves());
  const std::size_t kept = std::min<std::size_t>(std::max<std::size_t>(k, settings.rerank), index.size);
  const std::size_t bytes = 64 * kept + 2 * sizeof(Visit) * visits + index.codes.quantizer.query_bytes() +
                            index.dim * sizeof(float) + sizeof(BatchQuery);
  const std::size_t share = (num_queries + thread_count(threads) - 1) / thread_count(threads);
  const std::size_t together = std::min({share, kMost, kMemory / bytes});
  return together >= kFewest && together * visits * 2 >= index.num_leaves() ? together : 1;
}

void search_batches(const Index& index, const float* queries, std::size_t num_queries, std::size_t together,
                    std::size_t k, const Settings& settings, const Limits& limits, std::size_t threads, float* scores,
                    std::int64_t* rows) {
  parallel_for((num_queries + together - 1) / together, threads, [&](std::size_t piece, std::size_t) {
    const WorkspacePool::Loan space(*index.workspaces);
    const std::size_t first = piece * together;
    search_batch(index, queries + first * index.dim, std::min(together, num_queries - first), first, k, settings,
                 limits, *space, scores + first * k, rows + first * k);
  });
}

}  // namespace shortlist
