// The integer loops that every vector level shares, written once over the operations of an instruction set.
// Only kernel files include this: everything is in an anonymous namespace, because each file is compiled with
// flags of its own and the linker must never put one file's code in another's place.
//
// `Ops` provides
//
// - Sums, sixteen int32: splat, plus, store, at_least (the mask of the rows >= a threshold), any_at_least
//   (one branch for several blocks), append (writes the rows and sums of a mask, and up to sixteen entries in
//   all), kSumsInProgress (how many additions it takes to hide the latency of one);
// - Int8, how four int8 dimensions of sixteen rows are added to their Sums: load, terms, start, add; how many
//   blocks are best taken at once for one query (kBlocks) and for several (kManyBlocks, kManyQueries); the
//   number of slices whose terms fit the registers and are kept there (kRegisterSlices, or 0);
// - Code4, the same for eight 4-bit codes, and Int4 for eight even ones.
#pragma once

#include "kernels/kernels.h"

#define SHORTLIST_INLINE inline __attribute__((always_inline))

namespace shortlist {
namespace {

// Fetches `bytes` bytes into the cache. Whatever calls this must be inlined too: GCC takes a function that
// only fetches for one that does nothing and drops the calls of it.
SHORTLIST_INLINE void fetch(const void* from, std::size_t bytes) {
  const char* line = static_cast<const char*>(from);
  for (std::size_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(line + byte);
  __builtin_prefetch(line + bytes - 1);
}

// The terms of one query: read from memory slice by slice when the number of slices is only known at run time
// (kSlices = 0), otherwise kept in registers while spans are searched.
template <class Code, std::size_t kSlices>
struct QueryTerms {
  typename Code::Terms terms[kSlices];

  SHORTLIST_INLINE void set(const typename Code::Query* query) {
#pragma GCC unroll 8
    for (std::size_t s = 0; s < kSlices; ++s) terms[s] = Code::terms(query + s * Code::kQueryStep);
  }
  SHORTLIST_INLINE typename Code::Terms at(std::size_t s) const { return terms[s]; }
};

template <class Code>
struct QueryTerms<Code, 0> {
  const typename Code::Query* query;

  SHORTLIST_INLINE void set(const typename Code::Query* query_) { query = query_; }
  SHORTLIST_INLINE typename Code::Terms at(std::size_t s) const { return Code::terms(query + s * Code::kQueryStep); }
};

// The sums of kBlocks consecutive blocks for kQueries queries: each slice is loaded once for all queries, and
// each query's terms once for all blocks. Where these are fewer sums than the processor needs in progress to
// hide the latency of an addition, each is split into partial sums of every second or fourth slice.
template <class Ops, class Code, std::size_t kSlices, std::size_t kBlocks, std::size_t kQueries>
SHORTLIST_INLINE void sum_blocks(const std::uint8_t* blocks, std::size_t slices,
                                 const QueryTerms<Code, kSlices> (&queries)[kQueries],
                                 const typename Ops::Sums (&start)[kQueries],
                                 typename Ops::Sums (&sums)[kQueries][kBlocks]) {
  constexpr std::size_t kSums = kBlocks * kQueries;
  constexpr std::size_t kParts = kSums < Ops::kSumsInProgress ? Ops::kSumsInProgress / kSums : 1;
  const std::size_t count = kSlices != 0 ? kSlices : slices;
  typename Ops::Sums parts[kParts][kQueries][kBlocks];
#pragma GCC unroll 8
  for (std::size_t q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) {
      parts[0][q][b] = start[q];
#pragma GCC unroll 4
      for (std::size_t p = 1; p < kParts; ++p) parts[p][q][b] = Ops::splat(0);
    }
  }
  const auto add_slice = [&](std::size_t p, std::size_t s) __attribute__((always_inline)) {
    typename Code::Codes codes[kBlocks];
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) codes[b] = Code::load(blocks + (b * count + s) * kSliceBytes);
#pragma GCC unroll 8
    for (std::size_t q = 0; q < kQueries; ++q) {
      const typename Code::Terms terms = queries[q].at(s);
#pragma GCC unroll 4
      for (std::size_t b = 0; b < kBlocks; ++b) parts[p][q][b] = Code::add(parts[p][q][b], codes[b], terms);
    }
  };
  if constexpr (kSlices != 0) {
#pragma GCC unroll 8
    for (std::size_t s = 0; s < kSlices; ++s) add_slice(s % kParts, s);
  } else {
    std::size_t s = 0;
    for (; s + kParts <= count; s += kParts) {
#pragma GCC unroll 4
      for (std::size_t p = 0; p < kParts; ++p) add_slice(p, s + p);
    }
    for (; s < count; ++s) add_slice(0, s);
  }
#pragma GCC unroll 8
  for (std::size_t q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) {
      sums[q][b] = parts[0][q][b];
#pragma GCC unroll 4
      for (std::size_t p = 1; p < kParts; ++p) sums[q][b] = Ops::plus(sums[q][b], parts[p][q][b]);
    }
  }
}

// Searches the span for kQueries queries, kBlocks blocks at a time.
template <class Ops, class Code, std::size_t kSlices, std::size_t kBlocks, std::size_t kQueries>
SHORTLIST_INLINE void select_in_span(const Span& span, std::size_t slices,
                                     const QueryTerms<Code, kSlices> (&queries)[kQueries],
                                     const typename Ops::Sums (&start)[kQueries],
                                     const std::int32_t (&thresholds)[kQueries], std::uint32_t* (&rows)[kQueries],
                                     std::int32_t* (&kept_sums)[kQueries]) {
  const std::size_t block_bytes = (kSlices != 0 ? kSlices : slices) * kSliceBytes;
  const std::size_t num_blocks = (span.num_rows + kBlockRows - 1) / kBlockRows;
  const auto append = [&](std::size_t q, std::size_t block, const typename Ops::Sums& sums)
                          __attribute__((always_inline)) {
                            std::uint32_t mask = Ops::at_least(sums, thresholds[q]);
                            if (span.allow != nullptr) mask &= span.allow[block];
                            const std::size_t left = span.num_rows - block * kBlockRows;
                            if (left < kBlockRows) mask &= (1u << left) - 1;
                            const auto first = span.first_row + static_cast<std::uint32_t>(block * kBlockRows);
                            const std::size_t kept = Ops::append(sums, mask, first, rows[q], kept_sums[q]);
                            rows[q] += kept;
                            kept_sums[q] += kept;
                          };
  const auto search = [&]<std::size_t kCount>(std::size_t block) __attribute__((always_inline)) {
    typename Ops::Sums sums[kQueries][kCount];
    const std::uint8_t* at = span.blocks + block * block_bytes;
    sum_blocks<Ops, Code, kSlices, kCount, kQueries>(at, slices, queries, start, sums);
#pragma GCC unroll 8
    for (std::size_t q = 0; q < kQueries; ++q) {
      if (!Ops::any_at_least(sums[q], thresholds[q])) continue;
      for (std::size_t b = 0; b < kCount; ++b) append(q, block + b, sums[q][b]);
    }
  };
  std::size_t block = 0;
  for (; block + kBlocks <= num_blocks; block += kBlocks) search.template operator()<kBlocks>(block);
  for (; block < num_blocks; ++block) search.template operator()<1>(block);
}

// One query, many spans.
template <class Ops, class Code, std::size_t kSlices>
std::size_t select_in_spans(const Span* spans, std::size_t num_spans, std::size_t slices,
                            const typename Code::Query* query, std::uint32_t* rows, std::int32_t* sums) {
  QueryTerms<Code, kSlices> queries[1];
  queries[0].set(query);
  const typename Ops::Sums start[1] = {Code::start(query, slices)};
  std::uint32_t* rows_end[1] = {rows};
  std::int32_t* sums_end[1] = {sums};
  // The processor fetches a long span by itself once it is under way: what helps is to have its first
  // kilobyte. Four spans ahead took a fifth to a third off the time of 4-bit codes in leaves of 56 to 500
  // rows in memory, and a tenth off that of int8 rows.
  constexpr std::size_t kAhead = 4;
  const auto fetch_start = [&](std::size_t i) __attribute__((always_inline)) {
    if (i >= num_spans || spans[i].num_rows == 0) return;
    const std::size_t bytes = (spans[i].num_rows + kBlockRows - 1) / kBlockRows * slices * kSliceBytes;
    fetch(spans[i].blocks, bytes < 1024 ? bytes : 1024);
  };
  for (std::size_t i = 1; i < kAhead; ++i) fetch_start(i);
  for (std::size_t i = 0; i < num_spans; ++i) {
    fetch_start(i + kAhead);
    const std::int32_t thresholds[1] = {spans[i].threshold};
    select_in_span<Ops, Code, kSlices, Code::kBlocks>(spans[i], slices, queries, start, thresholds, rows_end, sums_end);
  }
  return static_cast<std::size_t>(rows_end[0] - rows);
}

// How many blocks stay in the first-level cache while one group of queries after another reads them.
SHORTLIST_INLINE std::size_t blocks_in_cache(std::size_t slices) {
  constexpr std::size_t kCacheBytes = 16 * 1024;
  const std::size_t blocks = kCacheBytes / (slices * kSliceBytes);
  return blocks < 4 ? 4 : blocks / 4 * 4;
}

template <class Ops, class Code, std::size_t kQueries>
void select_for_queries(const Span& span, std::size_t slices, Selection<typename Code::Query>* selections) {
  QueryTerms<Code, 0> queries[kQueries];
  typename Ops::Sums start[kQueries];
  std::int32_t thresholds[kQueries];
  std::uint32_t* rows[kQueries];
  std::int32_t* sums[kQueries];
  for (std::size_t q = 0; q < kQueries; ++q) {
    queries[q].set(selections[q].query);
    start[q] = Code::start(selections[q].query, slices);
    thresholds[q] = selections[q].threshold;
    rows[q] = selections[q].rows + selections[q].count;
    sums[q] = selections[q].sums + selections[q].count;
  }
  select_in_span<Ops, Code, 0, Code::kManyBlocks>(span, slices, queries, start, thresholds, rows, sums);
  for (std::size_t q = 0; q < kQueries; ++q) {
    selections[q].count = static_cast<std::size_t>(rows[q] - selections[q].rows);
  }
}

template <class Ops, class Code>
void select_many(const Span& span, std::size_t slices, Selection<typename Code::Query>* selections,
                 std::size_t num_selections) {
  const std::size_t step = blocks_in_cache(slices) * kBlockRows;
  for (std::size_t start = 0; start < span.num_rows; start += step) {
    Span part = span;
    part.blocks += start / kBlockRows * slices * kSliceBytes;
    if (span.allow != nullptr) part.allow += start / kBlockRows;
    part.first_row += static_cast<std::uint32_t>(start);
    part.num_rows = static_cast<std::uint32_t>(span.num_rows - start < step ? span.num_rows - start : step);
    std::size_t q = 0;
    for (; q + Code::kManyQueries <= num_selections; q += Code::kManyQueries) {
      select_for_queries<Ops, Code, Code::kManyQueries>(part, slices, selections + q);
    }
    for (; q + 2 <= num_selections; q += 2) select_for_queries<Ops, Code, 2>(part, slices, selections + q);
    for (; q < num_selections; ++q) select_for_queries<Ops, Code, 1>(part, slices, selections + q);
  }
}

// The shortest queries of all are kept in registers.
template <class Ops, class Code>
std::size_t select_one(const Span* spans, std::size_t num_spans, std::size_t slices, const typename Code::Query* query,
                       std::uint32_t* rows, std::int32_t* sums) {
  if (slices == Code::kRegisterSlices) {
    return select_in_spans<Ops, Code, Code::kRegisterSlices>(spans, num_spans, slices, query, rows, sums);
  }
  return select_in_spans<Ops, Code, 0>(spans, num_spans, slices, query, rows, sums);
}

}  // namespace
}  // namespace shortlist
