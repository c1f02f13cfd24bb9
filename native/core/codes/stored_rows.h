// The rows that are scored in full: as given, or rounded to bfloat16 or int8 when the index is built. What is
// rounded is the row from then on: codes and their bounds are made from what `read` returns, so that exact search
// is exact over the rows as stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"

namespace shortlist {

enum class Store : std::uint32_t { float32 = 0, bfloat16 = 1, int8 = 2 };

struct StoredRows {
  Store store = Store::float32;
  std::size_t dim = 0;
  Array<std::uint8_t> values;  // (size, dim) of the type that `store` names, little-endian
  Array<float> scales;         // (size) for int8: a row is its scale times its values; empty otherwise

  StoredRows() = default;
  // Row i is row order[i] of `rows`. bfloat16 is rounded to nearest even, beyond its largest value to that one. The
  // scale of an int8 row is a 127th of its largest value.
  StoredRows(Store how, const float* rows, std::size_t num_dims, const Array<std::uint32_t>& order, std::size_t threads,
             const std::function<void(double fraction)>& tick);

  static std::size_t value_bytes(Store store);
  std::size_t bytes() const { return values.bytes() + scales.bytes(); }
  bool all_finite() const;

  // Writes the row at `position` (dim values).
  void read(std::size_t position, float* out) const;

  // out[i] = inner product with, or squared distance from, the row at positions[i].
  void dot(const float* query, const std::uint32_t* positions, std::size_t count, float* out) const;
  void squared_distances(const float* query, const std::uint32_t* positions, std::size_t count, float* out) const;

 private:
  void write(std::size_t position, const float* row);
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(values.data());
  }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(values.data());
  }
};

}  // namespace shortlist
