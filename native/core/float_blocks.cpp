#include "float_blocks.h"

#include <limits>

namespace shortlist {

FloatBlocks::FloatBlocks(const float* rows, std::size_t count_rows, std::size_t dim) : num_rows(count_rows) {
  blocks = Array<float>(count() * kBlockRows * dim, 0.0f);
  bias = Array<float>(count() * kBlockRows, -std::numeric_limits<float>::infinity());
  for (std::size_t row = 0; row < num_rows; ++row) {
    float* block = &blocks[row / kBlockRows * kBlockRows * dim];
    double squares = 0.0;
    for (std::size_t i = 0; i < dim; ++i) {
      const float value = rows[row * dim + i];
      block[i * kBlockRows + row % kBlockRows] = value;
      squares += static_cast<double>(value) * value;
    }
    bias[row] = static_cast<float>(-0.5 * squares);
  }
}

}  // namespace shortlist
