#include "train/softmax_loops.h"

namespace shortlist {
namespace {

struct Scalar {
  using Floats = float __attribute__((vector_size(16)));
  using Integers = std::int32_t __attribute__((vector_size(16)));
  static constexpr std::size_t kWidth = 4;
  static constexpr std::size_t kRows = 2;
  static constexpr std::size_t kVectors = 4;
  static constexpr std::size_t kTall = 4;
};

}  // namespace

extern const SoftmaxKernels kScalarSoftmax;  // a constant without it would be local to this file
const SoftmaxKernels kScalarSoftmax = SoftmaxLoops<Scalar>::kernels("scalar");

}  // namespace shortlist
