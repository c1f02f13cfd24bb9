// The operations that every instruction set provides. `scalar.cpp` is their specification. Every
// level returns the same integers bit for bit; `dot` and the `*_rows` operations return the same floats bit
// for bit too, so that a score does not depend on the machine; the `f32_*` block operations agree to
// rounding, and on one level their result for a (row, query) pair does not depend on what else is in the
// call.
//
// No pointer needs alignment (64 bytes is fastest), and nothing outside the arrays described is read or
// written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist {

// Rows are scored sixteen at a time. A block holds sixteen rows so that the sums of all sixteen come out of
// one vector register in row order; the last block of a leaf is padded.
inline constexpr std::size_t kBlockRows = 16;

// A slice is what a block holds of four int8 dimensions, or of eight 4-bit codes: four bytes a row.
inline constexpr std::size_t kSliceBytes = 4 * kBlockRows;

// The look-up tables of the eight codes of one slice: sixteen one-byte entries each.
inline constexpr std::size_t kSliceTableBytes = 8 * 16;

inline constexpr std::size_t kMaxDim = 4096;

// No row or query is longer where scores are products or squared distances: neither they nor what leads to them then
// leaves float32.
inline constexpr float kMaxNorm = 0x1p62f;

// Rows may be coded with some dimensions more than they have (augmentation.h), the centroids of leaves with another
// one.
inline constexpr std::size_t kMaxCodedDim = kMaxDim + 65;

// A run of consecutive rows, usually a leaf, to be searched for rows whose sum is >= threshold.
struct Span {
  const std::uint8_t* blocks;  // ceil(num_rows / 16) blocks; the padding of the last one is never selected
  const std::uint16_t* allow;  // one mask a block, bit j clear = row j is passed over; null = every row may be kept
  std::uint32_t num_rows;
  std::uint32_t first_row;  // the number under which the first row is reported
  std::int32_t threshold;
};

// What is selected for one of several queries that search a span together. Kept rows are appended at `count`;
// `rows` and `sums` have room for the span's rows, rounded up to whole blocks, beyond that.
template <class Query>
struct Selection {
  const Query* query;  // int8 values, or 4-bit tables, as in the single-query operation
  std::int32_t threshold;
  std::uint32_t* rows;
  std::int32_t* sums;
  std::size_t count;
};

// A query whose inner product with a row of a scale of its own is that scale * (scale * sum + offset).
struct Int8Query {
  const std::int8_t* values;
  float scale;
  float offset;
};

struct Kernels {
  const char* name;

  // --- int8 rows. A block is `slices` slices; byte 4*j + t of slice g is dimension 4*g + t of row j, stored
  // as value + 128. A query holds 4*slices int8 values. The sum of a row is Σ stored byte * query value, so
  // the caller takes 128 * Σ query off, or folds it into its threshold.

  // Sixteen candidates for each query: best[16 * q + j] is the row among j, 16 + j, 32 + j, ... with the largest
  // scales[row] * (scale * sum + offset) + bias[row], each step of it rounded once, the lowest of equal ones, and
  // best_scores[16 * q + j] that value. Where no row has more than -infinity it is row j. `scales` and `bias` have a
  // value for every row of every block.
  void (*int8_best)(const std::uint8_t* blocks, std::size_t num_blocks, std::size_t slices, const float* scales,
                    const float* bias, const Int8Query* queries, std::size_t num_queries, std::uint32_t* best,
                    float* best_scores);

  // One query, many spans: writes (row, sum) of each row kept, in order, and returns how many there are.
  // `rows` and `sums` have room for every row of the spans, each span rounded up to whole blocks.
  std::size_t (*int8_select)(const Span* spans, std::size_t num_spans, std::size_t slices, const std::int8_t* query,
                             std::uint32_t* rows, std::int32_t* sums);

  // One span, many queries: each block is loaded once for up to eight of them. The span's own threshold is
  // not used.
  void (*int8_select_many)(const Span& span, std::size_t slices, Selection<std::int8_t>* selections,
                           std::size_t num_selections);

  // --- 4-bit codes. A block is `slices` slices of eight codes a row; byte 4*j + p of slice s holds code 8*s
  // + p of row j in its low nibble and code 8*s + 4 + p in its high one. The tables of a query are
  // kSliceTableBytes a slice: entry [8*s + p][value] is what code 8*s + p adds to a row's sum. Unused codes
  // have tables of zeros.

  std::size_t (*code4_select)(const Span* spans, std::size_t num_spans, std::size_t slices, const std::uint8_t* tables,
                              std::uint32_t* rows, std::int32_t* sums);

  void (*code4_select_many)(const Span& span, std::size_t slices, Selection<std::uint8_t>* selections,
                            std::size_t num_selections);

  // --- even 4-bit codes, in the places of those above. A query holds 8 * slices int8 values, and the sum of a row is
  // Σ code * query value: the caller takes off what makes the values of the codes lie around 0.

  std::size_t (*int4_select)(const Span* spans, std::size_t num_spans, std::size_t slices, const std::int8_t* query,
                             std::uint32_t* rows, std::int32_t* sums);

  void (*int4_select_many)(const Span& span, std::size_t slices, Selection<std::int8_t>* selections,
                           std::size_t num_selections);

  // --- float blocks: `dim` times sixteen floats, value i of the sixteen rows side by side. Query q starts at
  // queries + q * query_stride.

  // out[q * out_stride + row] = inner product, padding included.
  void (*f32_scores)(const float* blocks, std::size_t num_blocks, std::size_t dim, const float* queries,
                     std::size_t query_stride, std::size_t num_queries, float* out, std::size_t out_stride);

  // --- scores of the rows found so far

  // A threshold that at least `keep` of the scores reach: the largest found by halving their range twelve times. The
  // search ends sooner once at most a quarter more than `keep` reach it. 1 <= keep <= count, no NaN.
  float (*reached_by)(const float* scores, std::size_t count, std::size_t keep);

  // Moves the scores that are >= threshold, and their rows, to the front in the order they have; returns how
  // many.
  std::size_t (*keep_reaching)(float threshold, float* scores, std::uint32_t* rows, std::size_t count);

  // --- rows stored one after another, `stride` values apart, fetched ahead of use. out[i] belongs to row
  // indices[i], or to row i where indices is null. Sorted indices are fastest.

  float (*dot)(const float* a, const float* b, std::size_t dim);

  void (*dot_rows_f32)(const float* rows, std::size_t stride, const std::uint32_t* indices, std::size_t num_rows,
                       const float* query, std::size_t dim, float* out);
  void (*dot_rows_bf16)(const std::uint16_t* rows, std::size_t stride, const std::uint32_t* indices,
                        std::size_t num_rows, const float* query, std::size_t dim, float* out);

  // Squared Euclidean distance, summed from differences: no cancellation between near rows.
  void (*l2_rows_f32)(const float* rows, std::size_t stride, const std::uint32_t* indices, std::size_t num_rows,
                      const float* query, std::size_t dim, float* out);
  void (*l2_rows_bf16)(const std::uint16_t* rows, std::size_t stride, const std::uint32_t* indices,
                       std::size_t num_rows, const float* query, std::size_t dim, float* out);

  // Row i stands for scales[i] times its values: a dot product is scaled at the end, the values before they are
  // subtracted.
  void (*dot_rows_int8)(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                        std::size_t num_rows, const float* query, std::size_t dim, float* out);
  void (*l2_rows_int8)(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                       std::size_t num_rows, const float* query, std::size_t dim, float* out);
};

}  // namespace shortlist
