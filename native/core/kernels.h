// The operations that every instruction set provides. `kernels_scalar.cpp` is their specification: each other
// level returns the same integers bit for bit, and the same floats to rounding.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist {

// Rows are scored sixteen at a time. A block holds sixteen rows so that the sums of all sixteen come out of
// one vector register in row order; the last block of a leaf is padded.
inline constexpr std::size_t kBlockRows = 16;

struct Kernels {
  const char* name;

  // int8 rows. A block is `groups` slices of 64 bytes; byte 4*j + t of slice g is dimension 4*g + t of row j,
  // stored as value + 128. `query` holds 4*groups int8 values. out[16*b + j] = sum over dimensions of stored
  // byte * query, so the caller takes 128 * sum(query) off, or folds it into its threshold.
  void (*int8_scores)(const std::uint8_t* blocks, std::size_t num_blocks, std::size_t groups,
                      const std::int8_t* query, std::int32_t* out);

  // The same sums, keeping only rows whose sum is >= threshold: appends (row, sum) for rows first_row + 16*b
  // + j and returns how many were written. `rows` and `sums` have space for 16*num_blocks entries more than
  // are kept. `allow`, where given, has one 16-bit mask a block: bit j clear = row j is passed over. The
  // padding of a last block is excluded by `num_rows`.
  std::size_t (*int8_select)(const std::uint8_t* blocks, std::size_t num_rows, std::size_t groups,
                             const std::int8_t* query, std::int32_t threshold, std::uint32_t first_row,
                             const std::uint16_t* allow, std::uint32_t* rows, std::int32_t* sums);

  // Inner product of two float vectors.
  float (*dot)(const float* a, const float* b, std::size_t dim);
};

}  // namespace shortlist
