#include "codes/float_blocks.h"

namespace shortlist {

FloatBlocks::FloatBlocks(const float* rows, std::size_t count_rows, std::size_t dim) : num_rows(count_rows) {
  blocks = Array<float>(count() * kBlockRows * dim, 0.0f);
  for (std::size_t row = 0; row < num_rows; ++row) {
    float* block = &blocks[row / kBlockRows * kBlockRows * dim];
    for (std::size_t i = 0; i < dim; ++i) {
      block[i * kBlockRows + row % kBlockRows] = rows[row * dim + i];
    }
  }
}

}  // namespace shortlist
