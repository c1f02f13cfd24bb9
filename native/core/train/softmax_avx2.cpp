#include "train/softmax_loops.h"

namespace shortlist {
namespace {

struct Avx2 {
  using Floats = float __attribute__((vector_size(32)));
  using Integers = std::int32_t __attribute__((vector_size(32)));
  static constexpr std::size_t kWidth = 8;
  static constexpr std::size_t kRows = 4;
  static constexpr std::size_t kVectors = 2;
  static constexpr std::size_t kTall = 4;
};

}  // namespace

extern const SoftmaxKernels kAvx2Softmax;  // a constant without it would be local to this file
const SoftmaxKernels kAvx2Softmax = SoftmaxLoops<Avx2>::kernels("avx2");

}  // namespace shortlist
