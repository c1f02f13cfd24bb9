#include "kernels_scalar.h"

namespace shortlist {
namespace {

void int8_scores(const std::uint8_t* blocks, std::size_t num_blocks, std::size_t groups,
                 const std::int8_t* query, std::int32_t* out) {
  for (std::size_t b = 0; b < num_blocks; ++b, blocks += groups * 4 * kBlockRows, out += kBlockRows) {
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      std::int32_t sum = 0;
      for (std::size_t g = 0; g < groups; ++g) {
        for (std::size_t t = 0; t < 4; ++t) {
          sum += blocks[(g * kBlockRows + j) * 4 + t] * query[4 * g + t];
        }
      }
      out[j] = sum;
    }
  }
}

std::size_t int8_select(const std::uint8_t* blocks, std::size_t num_rows, std::size_t groups,
                        const std::int8_t* query, std::int32_t threshold, std::uint32_t first_row,
                        const std::uint16_t* allow, std::uint32_t* rows, std::int32_t* sums) {
  std::size_t kept = 0;
  std::int32_t scores[kBlockRows];
  for (std::size_t start = 0; start < num_rows; start += kBlockRows) {
    const std::size_t block = start / kBlockRows;
    int8_scores(blocks + block * groups * 4 * kBlockRows, 1, groups, query, scores);
    for (std::size_t j = 0; j < kBlockRows && start + j < num_rows; ++j) {
      const bool allowed = allow == nullptr || ((allow[block] >> j) & 1u) != 0;
      if (allowed && scores[j] >= threshold) {
        rows[kept] = first_row + static_cast<std::uint32_t>(start + j);
        sums[kept] = scores[j];
        ++kept;
      }
    }
  }
  return kept;
}

float dot(const float* a, const float* b, std::size_t dim) {
  float sum = 0.0f;
  for (std::size_t i = 0; i < dim; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

const Kernels kScalarKernels = {"scalar", int8_scores, int8_select, dot};

}  // namespace shortlist
