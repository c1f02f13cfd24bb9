// The float loops that every vector level shares; see loops.h for why all is in an anonymous
// namespace.
//
// `Ops` provides Floats, sixteen floats: zero, broadcast, load (of float, bf16 or int8 values, widened),
// load_some (the first 1 to 15 of them, the rest zero), store, add, sub, mul, fma (a * b + c, rounded once),
// floats (of Sums, rounded), max_at (where scores are larger than the best so far, keeps them and their block) and fold
// (the sum of the lanes, the upper half added to the lower until one is left); and kTileBlocks x kTileQueries, the tile
// of sums that fits the registers.
#pragma once

#include "kernels/loops.h"
#include "kernels/loops_rows.h"

namespace shortlist {
namespace {

// --- Blocks against tiles of queries
// ----------------------------------------------------------------------------

constexpr std::size_t kMaxTileQueries = 8;

// A tile of queries with value i of each side by side.
struct QueryTile {
  alignas(64) float values[kMaxCodedDim * kMaxTileQueries];

  template <std::size_t kQueries>
  void pack(const float* queries, std::size_t stride, std::size_t dim) {
    for (std::size_t q = 0; q < kQueries; ++q) {
      for (std::size_t i = 0; i < dim; ++i) values[i * kQueries + q] = queries[q * stride + i];
    }
  }
};

template <class Ops, std::size_t kBlocks, std::size_t kQueries>
SHORTLIST_INLINE void multiply_tile(const float* blocks, std::size_t dim, const QueryTile& tile,
                                    typename Ops::Floats (&sums)[kQueries][kBlocks]) {
#pragma GCC unroll 8
  for (std::size_t q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) sums[q][b] = Ops::zero();
  }
  for (std::size_t i = 0; i < dim; ++i) {
    typename Ops::Floats values[kBlocks];
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kBlocks; ++b) values[b] = Ops::load(blocks + (b * dim + i) * kBlockRows);
#pragma GCC unroll 8
    for (std::size_t q = 0; q < kQueries; ++q) {
      const typename Ops::Floats query = Ops::broadcast(tile.values[i * kQueries + q]);
#pragma GCC unroll 4
      for (std::size_t b = 0; b < kBlocks; ++b) sums[q][b] = Ops::fma(values[b], query, sums[q][b]);
    }
  }
}

// Calls `visit<kBlocks>(first block, sums)` for all blocks of a part.
template <class Ops, std::size_t kQueries, class Visit>
SHORTLIST_INLINE void multiply_part(const float* blocks, std::size_t begin, std::size_t end, std::size_t dim,
                                    const QueryTile& tile, Visit visit) {
  const auto multiply = [&]<std::size_t kBlocks>(std::size_t block) __attribute__((always_inline)) {
    typename Ops::Floats sums[kQueries][kBlocks];
    multiply_tile<Ops, kBlocks, kQueries>(blocks + block * dim * kBlockRows, dim, tile, sums);
    visit(block, sums);
  };
  constexpr std::size_t kBlocks = kQueries == 1 ? 4 : Ops::kTileBlocks;
  std::size_t block = begin;
  for (; block + kBlocks <= end; block += kBlocks) multiply.template operator()<kBlocks>(block);
  for (; block < end; ++block) multiply.template operator()<1>(block);
}

// Calls `run<kQueries>(first query, first block, end block)` for tiles of queries and parts of the blocks
// that stay in the second-level cache while all queries pass.
template <class Ops, class Run>
SHORTLIST_INLINE void for_each_tile(std::size_t num_blocks, std::size_t dim, std::size_t num_queries, Run run) {
  constexpr std::size_t kCacheFloats = 64 * 1024;
  const std::size_t fit = kCacheFloats / (dim * kBlockRows);
  const std::size_t step = fit < Ops::kTileBlocks ? Ops::kTileBlocks : fit / Ops::kTileBlocks * Ops::kTileBlocks;
  for (std::size_t begin = 0; begin < num_blocks; begin += step) {
    const std::size_t end = num_blocks - begin < step ? num_blocks : begin + step;
    std::size_t q = 0;
    for (; q + Ops::kTileQueries <= num_queries; q += Ops::kTileQueries) {
      run.template operator()<Ops::kTileQueries>(q, begin, end);
    }
    for (; q + 2 <= num_queries; q += 2) run.template operator()<2>(q, begin, end);
    for (; q < num_queries; ++q) run.template operator()<1>(q, begin, end);
  }
}

template <class Ops>
void f32_scores(const float* blocks, std::size_t num_blocks, std::size_t dim, const float* queries,
                std::size_t query_stride, std::size_t num_queries, float* out, std::size_t out_stride) {
  QueryTile tile;
  for_each_tile<Ops>(
      num_blocks, dim, num_queries, [&]<std::size_t kQueries>(std::size_t first, std::size_t begin, std::size_t end) {
        tile.pack<kQueries>(queries + first * query_stride, query_stride, dim);
        multiply_part<Ops, kQueries>(
            blocks, begin, end, dim, tile,
            [&]<std::size_t kBlocks>(std::size_t block, const typename Ops::Floats(&sums)[kQueries][kBlocks]) {
              for (std::size_t q = 0; q < kQueries; ++q) {
                for (std::size_t b = 0; b < kBlocks; ++b) {
                  Ops::store(out + (first + q) * out_stride + (block + b) * kBlockRows, sums[q][b]);
                }
              }
            });
      });
}

// --- Coded rows against tiles of queries
// ------------------------------------------------------------------------

template <class Ops, std::size_t kQueries>
void int8_best_for_queries(const std::uint8_t* blocks, std::size_t begin, std::size_t end, std::size_t slices,
                           const float* scales, const float* bias, const Int8Query* queries, std::uint32_t* best,
                           float* best_scores) {
  using Code = typename Ops::Int8;
  constexpr std::size_t kBlocks = kQueries == 1 ? Code::kBlocks : Code::kManyBlocks;
  QueryTerms<Code, 0> terms[kQueries];
  typename Ops::Sums start[kQueries];
  typename Ops::Floats scale[kQueries];
  typename Ops::Floats offset[kQueries];
  typename Ops::Floats largest[kQueries];
  typename Ops::Sums at[kQueries];
  for (std::size_t q = 0; q < kQueries; ++q) {
    terms[q].set(queries[q].values);
    start[q] = Code::start(queries[q].values, slices);
    scale[q] = Ops::broadcast(queries[q].scale);
    offset[q] = Ops::broadcast(queries[q].offset);
    largest[q] = Ops::load(best_scores + q * kBlockRows);
    at[q] = Ops::splat(-1);
  }
  const auto search = [&]<std::size_t kCount>(std::size_t block) __attribute__((always_inline)) {
    typename Ops::Sums sums[kQueries][kCount];
    sum_blocks<Ops, Code, 0, kCount, kQueries>(blocks + block * slices * kSliceBytes, slices, terms, start, sums);
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kCount; ++b) {
      const typename Ops::Floats row_scale = Ops::load(scales + (block + b) * kBlockRows);
      const typename Ops::Floats row_bias = Ops::load(bias + (block + b) * kBlockRows);
      const typename Ops::Sums number = Ops::splat(static_cast<std::int32_t>(block + b));
#pragma GCC unroll 8
      for (std::size_t q = 0; q < kQueries; ++q) {
        const typename Ops::Floats product = Ops::fma(Ops::floats(sums[q][b]), scale[q], offset[q]);
        Ops::max_at(largest[q], at[q], Ops::fma(product, row_scale, row_bias), number);
      }
    }
  };
  std::size_t block = begin;
  for (; block + kBlocks <= end; block += kBlocks) search.template operator()<kBlocks>(block);
  for (; block < end; ++block) search.template operator()<1>(block);
  for (std::size_t q = 0; q < kQueries; ++q) {
    std::int32_t found[kBlockRows];
    Ops::store(found, at[q]);
    Ops::store(best_scores + q * kBlockRows, largest[q]);
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      if (found[j] < 0) continue;
      best[q * kBlockRows + j] = static_cast<std::uint32_t>(static_cast<std::size_t>(found[j]) * kBlockRows + j);
    }
  }
}

template <class Ops>
void int8_best(const std::uint8_t* blocks, std::size_t num_blocks, std::size_t slices, const float* scales,
               const float* bias, const Int8Query* queries, std::size_t num_queries, std::uint32_t* best,
               float* best_scores) {
  using Code = typename Ops::Int8;
  constexpr std::size_t kCacheBytes = 256 * 1024;  // of the second-level cache, while all queries pass
  for (std::size_t i = 0; i < num_queries * kBlockRows; ++i) {
    best[i] = static_cast<std::uint32_t>(i % kBlockRows);
    best_scores[i] = -__builtin_inff();
  }
  const std::size_t fit = kCacheBytes / (slices * kSliceBytes);
  const std::size_t step = fit < 4 ? 4 : fit / 4 * 4;
  for (std::size_t begin = 0; begin < num_blocks; begin += step) {
    const std::size_t end = num_blocks - begin < step ? num_blocks : begin + step;
    const auto run = [&]<std::size_t kQueries>(std::size_t q) {
      int8_best_for_queries<Ops, kQueries>(blocks, begin, end, slices, scales, bias, queries + q, best + q * kBlockRows,
                                           best_scores + q * kBlockRows);
    };
    std::size_t q = 0;
    for (; q + Code::kManyQueries <= num_queries; q += Code::kManyQueries) {
      run.template operator()<Code::kManyQueries>(q);
    }
    for (; q < num_queries; ++q) run.template operator()<1>(q);
  }
}

// --- Scores found so far
// ----------------------------------------------------------------------------------------

template <class Ops>
float reached_by(const float* scores, std::size_t count, std::size_t keep) {
  constexpr int kHalvings = 12;
  const std::size_t whole = count / kBlockRows * kBlockRows;
  float rest[kBlockRows];  // of the scores, and below every middle
  float lowest[kBlockRows];
  float highest[kBlockRows];
  typename Ops::Floats lows = Ops::broadcast(scores[0]);
  typename Ops::Floats highs = lows;
  for (std::size_t i = 0; i < whole; i += kBlockRows) {
    lows = Ops::min(lows, Ops::load(scores + i));
    highs = Ops::max(highs, Ops::load(scores + i));
  }
  Ops::store(lowest, lows);
  Ops::store(highest, highs);
  float low = lowest[0];
  float high = highest[0];
  for (std::size_t j = 0; j < kBlockRows; ++j) {
    const bool there = whole + j < count;
    rest[j] = there ? scores[whole + j] : -__builtin_inff();
    const float smaller = there && rest[j] < lowest[j] ? rest[j] : lowest[j];
    const float larger = rest[j] > highest[j] ? rest[j] : highest[j];
    low = smaller < low ? smaller : low;
    high = larger > high ? larger : high;
  }
  for (int halving = 0; halving < kHalvings; ++halving) {
    const float middle = low + 0.5f * (high - low);
    const typename Ops::Floats middles = Ops::broadcast(middle);
    typename Ops::Sums counts = Ops::splat(0);
    Ops::count_reaching(counts, Ops::load(rest), middles);
    for (std::size_t i = 0; i < whole; i += kBlockRows) Ops::count_reaching(counts, Ops::load(scores + i), middles);
    const auto reaching = static_cast<std::size_t>(Ops::total(counts));
    if (reaching < keep) {
      high = middle;
    } else {
      low = middle;
      if (reaching <= keep + keep / 4) break;
    }
  }
  return low;
}

template <class Ops>
std::size_t keep_reaching(float threshold, float* scores, std::uint32_t* rows, std::size_t count) {
  std::size_t kept = 0;
  std::size_t i = 0;
  for (; i + kBlockRows <= count; i += kBlockRows) {
    kept += Ops::compact(threshold, scores + i, rows + i, scores + kept, rows + kept);
  }
  for (; i < count; ++i) {
    const float score = scores[i];
    scores[kept] = score;
    rows[kept] = rows[i];
    kept += score >= threshold ? 1 : 0;
  }
  return kept;
}

template <class Ops>
constexpr Kernels kernels_of(const char* name) {
  return {
      .name = name,
      .int8_best = int8_best<Ops>,
      .int8_select = select_one<Ops, typename Ops::Int8>,
      .int8_select_many = select_many<Ops, typename Ops::Int8>,
      .code4_select = select_one<Ops, typename Ops::Code4>,
      .code4_select_many = select_many<Ops, typename Ops::Code4>,
      .int4_select = select_one<Ops, typename Ops::Int4>,
      .int4_select_many = select_many<Ops, typename Ops::Int4>,
      .f32_scores = f32_scores<Ops>,
      .reached_by = reached_by<Ops>,
      .keep_reaching = keep_reaching<Ops>,
      .dot = dot<Ops>,
      .dot_rows_f32 = sum_rows<Ops, DotTerm<Ops>, float>,
      .dot_rows_bf16 = sum_rows<Ops, DotTerm<Ops>, std::uint16_t>,
      .l2_rows_f32 = sum_rows<Ops, SquaredDifferenceTerm<Ops>, float>,
      .l2_rows_bf16 = sum_rows<Ops, SquaredDifferenceTerm<Ops>, std::uint16_t>,
      .dot_rows_int8 = dot_rows_int8<Ops>,
      .l2_rows_int8 = l2_rows_int8<Ops>,
  };
}

}  // namespace
}  // namespace shortlist
