#include "partition/augmentation.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernels.h"

namespace shortlist {

void Augmentation::row(const float* x, float* out) const {
  if (copies == 0) {
    std::copy_n(x, dim, out);
    return;
  }
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) {
    out[t] = x[t] - mean[t];
    squares += static_cast<double>(out[t]) * out[t];
  }
  // The limit is for rows that lie further out than any that was seen: they then seem nearer than they are, which keeps
  // every bound.
  const double value = -0.5 * squares / (static_cast<double>(weight) * static_cast<double>(copies));
  std::fill_n(out + dim, copies, static_cast<float>(std::max(value, -static_cast<double>(kMaxNorm) / 64.0)));
}

void Augmentation::query(const float* q, float* out) const {
  if (copies == 0) {
    std::copy_n(q, dim, out);
    return;
  }
  for (std::size_t t = 0; t < dim; ++t) out[t] = q[t] - mean[t];
  std::fill_n(out + dim, copies, weight);
}

Augmentation Augmentation::for_l2(const float* rows, std::size_t num_rows, std::size_t dim) {
  constexpr std::size_t kSample = 10000;
  Augmentation augmentation = none(dim);
  augmentation.mean = Array<float>(dim, 0.0f);
  std::vector<double> sum(dim, 0.0);
  double squares = 0.0;
  const std::size_t step = std::max<std::size_t>(1, num_rows / kSample);
  std::size_t count = 0;
  for (std::size_t row = 0; row < num_rows; row += step, ++count) {
    for (std::size_t t = 0; t < dim; ++t) {
      const double value = rows[row * dim + t];
      sum[t] += value;
      squares += value * value;
    }
  }
  double spread = squares / static_cast<double>(count);
  for (std::size_t t = 0; t < dim; ++t) {
    const double average = sum[t] / static_cast<double>(count);
    augmentation.mean[t] = static_cast<float>(average);
    spread -= average * average;
  }
  // Within a leaf |x|²/2 varies about |x| times as much as one coordinate does. Shared out among sqrt(d) copies,
  // each has the query weight of one coordinate.
  augmentation.copies = 4 * static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(dim)) / 4.0));
  const double norm = std::sqrt(std::max(spread, 1e-30));
  augmentation.weight = static_cast<float>(norm / static_cast<double>(augmentation.copies));
  return augmentation;
}

}  // namespace shortlist
