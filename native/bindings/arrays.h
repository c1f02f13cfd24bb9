// NumPy arrays in and out. NumPy's own C interface: making the three result arrays of one query takes 0.15
// microseconds, where nanobind's ndarray takes 3.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "array.h"
#include "ids.h"
#include "index.h"

namespace shortlist::bindings {

namespace nb = nanobind;

// Loads NumPy; called once when the module is.
void import_numpy();

// float32 values in C order with one or two dimensions, converted only where they have to be.
class FloatMatrix {
 public:
  // Throws ValueError naming `argument` unless `object` is a finite real array of shape (n, dim), or (dim,)
  // where `allow_vector`, whose rows are no longer than kMaxNorm where `limit_norms`; dim 0 = any from 1 to kMaxDim.
  FloatMatrix(nb::handle object, const char* argument, std::size_t dim, bool allow_vector, bool limit_norms);

  const float* data() const { return data_; }
  std::size_t rows() const { return rows_; }
  std::size_t dim() const { return dim_; }
  bool is_vector() const { return is_vector_; }

 private:
  void check_values(const std::string& name, nb::handle given, bool limit_norms) const;

  nb::object array_;
  const float* data_ = nullptr;
  std::size_t rows_ = 1;
  std::size_t dim_ = 0;
  bool is_vector_ = false;
};

// A new array of shape (rows, columns), or (columns,) where `is_vector`, and its values.
template <typename T>
struct NewArray {
  nb::object object;
  T* values;
};
NewArray<float> new_floats(std::size_t rows, std::size_t columns, bool is_vector);
NewArray<std::uint8_t> new_bools(std::size_t count);
NewArray<std::int64_t> new_integers(std::size_t rows, std::size_t columns, bool is_vector);
NewArray<PyObject*> new_objects(std::size_t rows, std::size_t columns, bool is_vector);

// A one-dimensional int64 array of `object`. Throws ValueError naming `argument` where it is something else.
class Integers {
 public:
  Integers(nb::handle object, const char* argument);
  std::span<const std::int64_t> values() const { return values_; }

 private:
  nb::object array_;
  std::span<const std::int64_t> values_;
};

// The bytes of a one-dimensional array of values of `width` bytes each.
class Bytes {
 public:
  Bytes(nb::handle object, std::size_t width, const char* argument);
  std::span<const std::uint8_t> bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size() / width_; }

 private:
  nb::object array_;
  std::size_t width_;
  std::span<const std::uint8_t> bytes_;
};

// A boolean array of `size` values.
class Mask {
 public:
  Mask(nb::handle object, const char* argument, std::size_t size);
  std::span<const std::uint8_t> values() const { return values_; }

 private:
  nb::object array_;
  std::span<const std::uint8_t> values_;
};

// The ids an index is built with, checked for their number and duplicates. None = row numbers; otherwise what
// shortlist.ids.as_ids gives, here and below: an int64 array, or an object array of str.
Ids read_ids(nb::handle object, std::size_t size);

// The same for rows that come later: none of them are row numbers.
Ids read_new_ids(nb::handle object, std::size_t size);

// Some ids, perhaps one of them several times.
Ids read_some_ids(nb::handle object, const char* argument);

// The rows called `ids`, kNone where there is none.
Array<std::uint32_t> find_rows(const Snapshot& snapshot, nb::handle object, const char* argument);

}  // namespace shortlist::bindings
