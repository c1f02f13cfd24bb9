// The specification of every kernel, in plain C++. Written to be read; the compiler vectorizes what it can.
#include "kernels/scalar.h"

#include <bit>
#include <cmath>
#include <limits>

namespace shortlist {
namespace {

void int8_block(const std::uint8_t* block, std::size_t slices, const std::int8_t* query, std::int32_t* sums) {
  for (std::size_t j = 0; j < kBlockRows; ++j) sums[j] = 0;
  for (std::size_t g = 0; g < slices; ++g, block += kSliceBytes, query += 4) {
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      for (std::size_t t = 0; t < 4; ++t) sums[j] += block[4 * j + t] * query[t];
    }
  }
}

void code4_block(const std::uint8_t* block, std::size_t slices, const std::uint8_t* tables, std::int32_t* sums) {
  for (std::size_t j = 0; j < kBlockRows; ++j) sums[j] = 0;
  for (std::size_t s = 0; s < slices; ++s, block += kSliceBytes, tables += kSliceTableBytes) {
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      for (std::size_t p = 0; p < 4; ++p) {
        const std::size_t byte = block[4 * j + p];
        sums[j] += tables[16 * p + (byte & 15u)] + tables[16 * (4 + p) + (byte >> 4)];
      }
    }
  }
}

void int4_block(const std::uint8_t* block, std::size_t slices, const std::int8_t* query, std::int32_t* sums) {
  for (std::size_t j = 0; j < kBlockRows; ++j) sums[j] = 0;
  for (std::size_t s = 0; s < slices; ++s, block += kSliceBytes, query += 8) {
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      for (std::size_t p = 0; p < 4; ++p) {
        const int byte = block[4 * j + p];
        sums[j] += (byte & 15) * query[p] + (byte >> 4) * query[4 + p];
      }
    }
  }
}

void int8_best(const std::uint8_t* blocks, std::size_t num_blocks, std::size_t slices, const float* scales,
               const float* bias, const Int8Query* queries, std::size_t num_queries, std::uint32_t* best,
               float* best_scores) {
  std::int32_t sums[kBlockRows];
  for (std::size_t q = 0; q < num_queries; ++q, best += kBlockRows, best_scores += kBlockRows) {
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      best[j] = static_cast<std::uint32_t>(j);
      best_scores[j] = -std::numeric_limits<float>::infinity();
    }
    for (std::size_t b = 0; b < num_blocks; ++b) {
      int8_block(blocks + b * slices * kSliceBytes, slices, queries[q].values, sums);
      for (std::size_t j = 0; j < kBlockRows; ++j) {
        const std::size_t row = b * kBlockRows + j;
        const float product = std::fma(static_cast<float>(sums[j]), queries[q].scale, queries[q].offset);
        const float score = std::fma(product, scales[row], bias[row]);
        if (score > best_scores[j]) {
          best_scores[j] = score;
          best[j] = static_cast<std::uint32_t>(row);
        }
      }
    }
  }
}

// Appends the rows of `span` whose sum, as `score_block` computes it, reaches the threshold.
template <class Query, class ScoreBlock>
std::size_t select(const Span& span, std::size_t slices, ScoreBlock score_block, const Query* query,
                   std::int32_t threshold, std::uint32_t* rows, std::int32_t* sums) {
  std::size_t kept = 0;
  std::int32_t scores[kBlockRows];
  for (std::uint32_t row = 0; row < span.num_rows; ++row) {
    const std::size_t block = row / kBlockRows;
    const std::size_t j = row % kBlockRows;
    if (j == 0) score_block(span.blocks + block * slices * kSliceBytes, slices, query, scores);
    const bool allowed = span.allow == nullptr || ((span.allow[block] >> j) & 1u) != 0;
    if (allowed && scores[j] >= threshold) {
      rows[kept] = span.first_row + row;
      sums[kept] = scores[j];
      ++kept;
    }
  }
  return kept;
}

template <class Query, class ScoreBlock>
std::size_t select_spans(const Span* spans, std::size_t num_spans, std::size_t slices, ScoreBlock score_block,
                         const Query* query, std::uint32_t* rows, std::int32_t* sums) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < num_spans; ++i) {
    kept += select(spans[i], slices, score_block, query, spans[i].threshold, rows + kept, sums + kept);
  }
  return kept;
}

template <class Query, class ScoreBlock>
void select_many(const Span& span, std::size_t slices, ScoreBlock score_block, Selection<Query>* selections,
                 std::size_t num_selections) {
  for (std::size_t i = 0; i < num_selections; ++i) {
    Selection<Query>& s = selections[i];
    s.count += select(span, slices, score_block, s.query, s.threshold, s.rows + s.count, s.sums + s.count);
  }
}

std::size_t int8_select(const Span* spans, std::size_t num_spans, std::size_t slices, const std::int8_t* query,
                        std::uint32_t* rows, std::int32_t* sums) {
  return select_spans(spans, num_spans, slices, int8_block, query, rows, sums);
}

void int8_select_many(const Span& span, std::size_t slices, Selection<std::int8_t>* selections,
                      std::size_t num_selections) {
  select_many(span, slices, int8_block, selections, num_selections);
}

std::size_t code4_select(const Span* spans, std::size_t num_spans, std::size_t slices, const std::uint8_t* tables,
                         std::uint32_t* rows, std::int32_t* sums) {
  return select_spans(spans, num_spans, slices, code4_block, tables, rows, sums);
}

void code4_select_many(const Span& span, std::size_t slices, Selection<std::uint8_t>* selections,
                       std::size_t num_selections) {
  select_many(span, slices, code4_block, selections, num_selections);
}

std::size_t int4_select(const Span* spans, std::size_t num_spans, std::size_t slices, const std::int8_t* query,
                        std::uint32_t* rows, std::int32_t* sums) {
  return select_spans(spans, num_spans, slices, int4_block, query, rows, sums);
}

void int4_select_many(const Span& span, std::size_t slices, Selection<std::int8_t>* selections,
                      std::size_t num_selections) {
  select_many(span, slices, int4_block, selections, num_selections);
}

void f32_block(const float* block, std::size_t dim, const float* query, float* sums) {
  for (std::size_t j = 0; j < kBlockRows; ++j) sums[j] = 0.0f;
  for (std::size_t i = 0; i < dim; ++i, block += kBlockRows) {
    for (std::size_t j = 0; j < kBlockRows; ++j) sums[j] += query[i] * block[j];
  }
}

void f32_scores(const float* blocks, std::size_t num_blocks, std::size_t dim, const float* queries,
                std::size_t query_stride, std::size_t num_queries, float* out, std::size_t out_stride) {
  for (std::size_t b = 0; b < num_blocks; ++b) {
    for (std::size_t q = 0; q < num_queries; ++q) {
      f32_block(blocks + b * dim * kBlockRows, dim, queries + q * query_stride, out + q * out_stride + b * kBlockRows);
    }
  }
}

float reached_by(const float* scores, std::size_t count, std::size_t keep) {
  constexpr int kHalvings = 12;
  float low = scores[0];
  float high = scores[0];
  for (std::size_t i = 1; i < count; ++i) {
    low = scores[i] < low ? scores[i] : low;
    high = scores[i] > high ? scores[i] : high;
  }
  for (int halving = 0; halving < kHalvings; ++halving) {
    const float middle = low + 0.5f * (high - low);
    std::size_t reaching = 0;
    for (std::size_t i = 0; i < count; ++i) reaching += scores[i] >= middle ? 1 : 0;
    if (reaching < keep) {
      high = middle;
    } else {
      low = middle;
      if (reaching <= keep + keep / 4) break;
    }
  }
  return low;
}

std::size_t keep_reaching(float threshold, float* scores, std::uint32_t* rows, std::size_t count) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float score = scores[i];
    scores[kept] = score;
    rows[kept] = rows[i];
    kept += score >= threshold ? 1 : 0;
  }
  return kept;
}

// The order of every sum over a stored row: partial sum i takes the terms i, i + 32, i + 64 …, each product
// rounded before it is added, and then the upper half of the partial sums is added to the lower until one is
// left. This is what vector registers of any width can do, so every level does exactly this.
template <class Term>
float sum_in_order(std::size_t dim, Term term) {
  constexpr std::size_t kPartials = 32;
  float partial[kPartials] = {};
  std::size_t start = 0;
  for (; start + kPartials <= dim; start += kPartials) {
    for (std::size_t i = 0; i < kPartials; ++i) partial[i] += term(start + i);
  }
  for (std::size_t i = 0; start + i < dim; ++i) partial[i] += term(start + i);
  for (std::size_t half = kPartials / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) partial[i] += partial[i + half];
  }
  return partial[0];
}

float widen(float value) { return value; }
float widen(std::int8_t value) { return static_cast<float>(value); }
float widen(std::uint16_t bf16) { return std::bit_cast<float>(static_cast<std::uint32_t>(bf16) << 16); }

template <class Value>
float dot_row(const Value* row, const float* query, std::size_t dim) {
  return sum_in_order(dim, [=](std::size_t i) { return widen(row[i]) * query[i]; });
}

template <class Value>
float l2_row(const Value* row, const float* query, std::size_t dim, float scale) {
  return sum_in_order(dim, [=](std::size_t i) {
    const float difference = scale * widen(row[i]) - query[i];
    return difference * difference;
  });
}

template <class Score>
void score_rows(const std::uint32_t* indices, std::size_t num_rows, float* out, Score score) {
  for (std::size_t i = 0; i < num_rows; ++i) out[i] = score(indices == nullptr ? i : indices[i]);
}

template <class Value>
void dot_rows(const Value* rows, std::size_t stride, const std::uint32_t* indices, std::size_t num_rows,
              const float* query, std::size_t dim, float* out) {
  score_rows(indices, num_rows, out, [=](std::size_t row) { return dot_row(rows + row * stride, query, dim); });
}

template <class Value>
void l2_rows(const Value* rows, std::size_t stride, const std::uint32_t* indices, std::size_t num_rows,
             const float* query, std::size_t dim, float* out) {
  score_rows(indices, num_rows, out, [=](std::size_t row) { return l2_row(rows + row * stride, query, dim, 1.0f); });
}

void dot_rows_int8(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                   std::size_t num_rows, const float* query, std::size_t dim, float* out) {
  score_rows(indices, num_rows, out,
             [=](std::size_t row) { return scales[row] * dot_row(rows + row * stride, query, dim); });
}

void l2_rows_int8(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                  std::size_t num_rows, const float* query, std::size_t dim, float* out) {
  score_rows(indices, num_rows, out,
             [=](std::size_t row) { return l2_row(rows + row * stride, query, dim, scales[row]); });
}

}  // namespace

const Kernels kScalarKernels = {
    .name = "scalar",
    .int8_best = int8_best,
    .int8_select = int8_select,
    .int8_select_many = int8_select_many,
    .code4_select = code4_select,
    .code4_select_many = code4_select_many,
    .int4_select = int4_select,
    .int4_select_many = int4_select_many,
    .f32_scores = f32_scores,
    .reached_by = reached_by,
    .keep_reaching = keep_reaching,
    .dot = dot_row<float>,
    .dot_rows_f32 = dot_rows<float>,
    .dot_rows_bf16 = dot_rows<std::uint16_t>,
    .l2_rows_f32 = l2_rows<float>,
    .l2_rows_bf16 = l2_rows<std::uint16_t>,
    .dot_rows_int8 = dot_rows_int8,
    .l2_rows_int8 = l2_rows_int8,
};

}  // namespace shortlist
