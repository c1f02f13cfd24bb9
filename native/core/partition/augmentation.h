// The space in which rows are coded. For inner products it is the rows' own. For squared distance a row x becomes
// [x - mean, e, e, …], e = -|x - mean|²/2 / (weight * copies), and a query [q - mean, weight, weight, …]: their inner
// product is -|q - x|²/2 + |q - mean|²/2, so that the same machinery finds the nearest rows. Several copies keep the
// query's weight near its other values, so that int8 holds both well.
#pragma once

#include <cstddef>

#include "array.h"

namespace shortlist {

struct Augmentation {
  std::size_t dim = 0;
  std::size_t copies = 0;
  float weight = 0.0f;
  Array<float> mean;  // (dim), empty where there are no copies

  std::size_t coded_dim() const { return dim + copies; }

  void row(const float* x, float* out) const;
  void query(const float* q, float* out) const;

  // For squared distances between rows like these.
  static Augmentation for_l2(const float* rows, std::size_t num_rows, std::size_t dim);
  static Augmentation none(std::size_t dim) { return Augmentation{dim, 0, 0.0f, {}}; }
};

}  // namespace shortlist
