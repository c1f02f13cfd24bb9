#include "train/softmax_loops.h"

namespace shortlist {
namespace {

struct Avx512 {
  using Floats = float __attribute__((vector_size(64)));
  using Integers = std::int32_t __attribute__((vector_size(64)));
  static constexpr std::size_t kWidth = 16;
  static constexpr std::size_t kRows = 8;
  static constexpr std::size_t kVectors = 2;
  static constexpr std::size_t kTall = 8;
};

}  // namespace

extern const SoftmaxKernels kAvx512Softmax;  // a constant without it would be local to this file
const SoftmaxKernels kAvx512Softmax = SoftmaxLoops<Avx512>::kernels("avx512");

}  // namespace shortlist
