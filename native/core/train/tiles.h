// Queries and candidates as the kernels of training read them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "train/softmax_kernels.h"

namespace shortlist {

inline std::size_t whole(std::size_t count, std::size_t step) { return (count + step - 1) / step * step; }

// Writes (dim, kTile) `columns`: `count` queries, each value times `factor`; 0 for those that are missing.
inline void fill_columns(const float* queries, std::size_t count, std::size_t dim, float factor, float* columns) {
  std::fill_n(columns, dim * kTile, 0.0f);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t t = 0; t < dim; ++t) columns[t * kTile + i] = queries[i * dim + t] * factor;
  }
}

// Writes `count` rows of dim, `stride` floats apart, with 0 from dim to the next multiple of 16.
inline void fill_rows(const float* from, std::size_t count, std::size_t dim, std::size_t stride, float* rows) {
  for (std::size_t j = 0; j < count; ++j) {
    std::copy_n(from + j * dim, dim, rows + j * stride);
    std::fill_n(rows + j * stride + dim, stride - dim, 0.0f);
  }
}

}  // namespace shortlist
