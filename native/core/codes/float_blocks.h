// Rows of floats sixteen side by side, as the block kernels read them.
#pragma once

#include <cstddef>

#include "array.h"
#include "kernels/kernels.h"

namespace shortlist {

struct FloatBlocks {
  FloatBlocks() = default;
  FloatBlocks(const float* rows, std::size_t num_rows, std::size_t dim);

  std::size_t count() const { return (num_rows + kBlockRows - 1) / kBlockRows; }

  Array<float> blocks;
  std::size_t num_rows = 0;
};

}  // namespace shortlist
