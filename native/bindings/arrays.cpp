#include "arrays.h"

#include <nanobind/stl/string.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace shortlist::bindings {
namespace {

PyArrayObject* as_array(nb::handle object) { return reinterpret_cast<PyArrayObject*>(object.ptr()); }

std::string shape_of(nb::handle array) {
  PyArrayObject* a = as_array(array);
  std::string text = "(";
  for (int i = 0; i < PyArray_NDIM(a); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(PyArray_DIM(a, i));
  }
  return text + (PyArray_NDIM(a) == 1 ? ",)" : ")");
}

std::string dtype_of(nb::handle array) {
  return nb::cast<std::string>(nb::str(nb::handle(reinterpret_cast<PyObject*>(PyArray_DESCR(as_array(array))))));
}

[[noreturn]] void fail(const std::string& message) { throw nb::value_error(message.c_str()); }

nb::object steal(PyObject* object) {
  if (object == nullptr) throw nb::python_error();
  return nb::steal(object);
}

// Any array-like as an array of its own type.
nb::object any_array(nb::handle object) { return steal(PyArray_FromAny(object.ptr(), nullptr, 0, 0, 0, nullptr)); }

nb::object convert(nb::handle array, int type) {
  return steal(PyArray_FromAny(array.ptr(), PyArray_DescrFromType(type), 0, 0,
                               NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST | NPY_ARRAY_NOTSWAPPED, nullptr));
}

// Whether all sizes are below 2^56, so that rows of kMaxDim values are within kMaxNorm; NaN and infinity are not. A
// look at the exponents alone is integer arithmetic that the compiler turns into vectors.
bool all_small(const float* values, std::size_t count) {
  static_assert(kMaxDim * 0x1p56 * 0x1p56 <= static_cast<double>(kMaxNorm) * kMaxNorm);
  constexpr std::uint32_t kBeyond = (127 + 56) << 23;  // the exponent of 2^56
  std::uint32_t bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    bad |= ((bits & 0x7f800000u) + (0x80000000u - kBeyond)) & 0x80000000u;
  }
  return bad == 0;
}

double norm_of(const float* values, std::size_t count) {
  double squares = 0.0;
  for (std::size_t i = 0; i < count; ++i) squares += static_cast<double>(values[i]) * values[i];
  return std::sqrt(squares);
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

// As float32: what is beyond it becomes infinity, without NumPy's warning of it.
nb::object to_floats(nb::handle array) {
  const int type = PyArray_TYPE(as_array(array));
  if (type != NPY_FLOAT64 && type != NPY_LONGDOUBLE) return convert(array, NPY_FLOAT32);
  const nb::object wide = convert(array, NPY_FLOAT64);
  PyArrayObject* from = as_array(wide);
  nb::object floats = steal(PyArray_SimpleNew(PyArray_NDIM(from), PyArray_DIMS(from), NPY_FLOAT32));
  const auto* values = static_cast<const double*>(PyArray_DATA(from));
  std::transform(values, values + PyArray_SIZE(from), static_cast<float*>(PyArray_DATA(as_array(floats))),
                 [](double value) { return static_cast<float>(value); });
  return floats;
}

template <typename T>
NewArray<T> make(std::size_t rows, std::size_t columns, bool is_vector, int type) {
  npy_intp shape[2] = {static_cast<npy_intp>(rows), static_cast<npy_intp>(columns)};
  nb::object array = steal(PyArray_SimpleNew(is_vector ? 1 : 2, is_vector ? shape + 1 : shape, type));
  T* values = static_cast<T*>(PyArray_DATA(as_array(array)));
  return {std::move(array), values};
}

}  // namespace

void import_numpy() {
  if (_import_array() < 0) throw nb::python_error();
}

FloatMatrix::FloatMatrix(nb::handle object, const char* argument, std::size_t dim, bool allow_vector,
                         bool limit_norms) {
  const std::string name = "`" + std::string(argument) + "`";
  const bool ready = PyArray_Check(object.ptr()) && PyArray_TYPE(as_array(object)) == NPY_FLOAT32 &&
                     PyArray_ISCARRAY_RO(as_array(object));
  nb::object given = nb::borrow(object);
  if (ready) {
    array_ = given;
  } else {
    given = any_array(object);
    const int type = PyArray_TYPE(as_array(given));
    if (!PyTypeNum_ISFLOAT(type) && !PyTypeNum_ISINTEGER(type)) {
      fail(name + " must hold real numbers, got dtype " + dtype_of(given) + ".");
    }
    array_ = to_floats(given);
  }
  PyArrayObject* array = as_array(array_);
  const int ndim = PyArray_NDIM(array);
  is_vector_ = ndim == 1;
  const bool right_rank = ndim == 2 || (allow_vector && ndim == 1);
  if (right_rank) dim_ = static_cast<std::size_t>(PyArray_DIM(array, ndim - 1));
  if (!right_rank || (dim != 0 && dim_ != dim)) {
    const std::string expected = "(n, " + (dim == 0 ? "d" : std::to_string(dim)) + ")";
    fail(name + " must have shape " + expected +
         (allow_vector ? " or (" + (dim == 0 ? "d" : std::to_string(dim)) + ",)" : "") + ", got " + shape_of(array_) +
         ".");
  }
  if (dim_ == 0 || dim_ > kMaxDim) {
    fail(name + " must have 1 to " + std::to_string(kMaxDim) + " dimensions, got " + std::to_string(dim_) + ".");
  }
  if (!is_vector_) rows_ = static_cast<std::size_t>(PyArray_DIM(array, 0));
  data_ = static_cast<const float*>(PyArray_DATA(array));
  if (!all_small(data_, rows_ * dim_)) check_values(name, given, limit_norms);
}

void FloatMatrix::check_values(const std::string& name, nb::handle given, bool limit_norms) const {
  const float* end = data_ + rows_ * dim_;
  const float* bad = std::find_if(data_, end, [](float value) { return !std::isfinite(value); });
  if (bad != end) {
    const std::string row = " in row " + std::to_string((bad - data_) / static_cast<std::ptrdiff_t>(dim_)) + ".";
    const nb::object wide = convert(given, NPY_FLOAT64);
    const double value = static_cast<const double*>(PyArray_DATA(as_array(wide)))[bad - data_];
    if (std::isfinite(value)) {
      fail(name + " must fit float32, whose largest number is 3.4e38; got " + short_number(value) + row);
    }
    const std::string remedy = name != "`embeddings`"
                                   ? ""
                                   : " Leave such rows out: with keep = "
                                     "np.isfinite(embeddings).all(axis=1), give embeddings[keep] and "
                                     "their ids, ids[keep].";
    fail(name + " must be finite, got " + (std::isnan(*bad) ? "NaN" : "infinity") + row + remedy);
  }
  for (std::size_t row = 0; limit_norms && row < rows_; ++row) {
    const double norm = norm_of(data_ + row * dim_, dim_);
    if (norm <= static_cast<double>(kMaxNorm)) continue;
    fail(name + " must have norms up to 2**62 (4.6e18), so that scores fit float32; got " + short_number(norm) +
         " in row " + std::to_string(row) + ". Divide all embeddings and queries by one number.");
  }
}

NewArray<float> new_floats(std::size_t rows, std::size_t columns, bool is_vector) {
  return make<float>(rows, columns, is_vector, NPY_FLOAT32);
}

NewArray<std::uint8_t> new_bools(std::size_t count) { return make<std::uint8_t>(1, count, true, NPY_BOOL); }

NewArray<std::int64_t> new_integers(std::size_t rows, std::size_t columns, bool is_vector) {
  return make<std::int64_t>(rows, columns, is_vector, NPY_INT64);
}

NewArray<PyObject*> new_objects(std::size_t rows, std::size_t columns, bool is_vector) {
  NewArray<PyObject*> result = make<PyObject*>(rows, columns, is_vector, NPY_OBJECT);
  std::fill_n(result.values, rows * columns, nullptr);
  return result;
}

Integers::Integers(nb::handle object, const char* argument) {
  nb::object array = any_array(object);
  const bool empty = PyArray_SIZE(as_array(array)) == 0;
  if (PyArray_NDIM(as_array(array)) != 1 || !(empty || PyTypeNum_ISINTEGER(PyArray_TYPE(as_array(array))))) {
    fail("`" + std::string(argument) + "` must be a one-dimensional array of integers, got shape " + shape_of(array) +
         " and dtype " + dtype_of(array) + ".");
  }
  if (PyArray_TYPE(as_array(array)) == NPY_UINT64 && !empty) {
    nb::object wide = convert(array, NPY_UINT64);
    const auto* values = static_cast<const std::uint64_t*>(PyArray_DATA(as_array(wide)));
    const auto* end = values + PyArray_SIZE(as_array(wide));
    if (std::any_of(values, end, [](std::uint64_t v) { return v > INT64_MAX; })) {
      fail("`" + std::string(argument) + "` must fit in int64, got an integer above 2**63 - 1.");
    }
  }
  array_ = convert(array, NPY_INT64);
  values_ = {static_cast<const std::int64_t*>(PyArray_DATA(as_array(array_))),
             static_cast<std::size_t>(PyArray_SIZE(as_array(array_)))};
}

Bytes::Bytes(nb::handle object, std::size_t width, const char* argument) : width_(width) {
  array_ = any_array(object);
  PyArrayObject* array = as_array(array_);
  if (PyArray_NDIM(array) != 1 || static_cast<std::size_t>(PyArray_ITEMSIZE(array)) != width ||
      PyArray_TYPE(array) == NPY_OBJECT) {
    fail("`" + std::string(argument) + "` must be an array of one dimension and " + std::to_string(width) +
         " bytes a value, got " + shape_of(array_) + " of " + dtype_of(array_) + ".");
  }
  array_ = convert(array_, PyArray_TYPE(array));
  bytes_ = {static_cast<const std::uint8_t*>(PyArray_DATA(as_array(array_))),
            width * static_cast<std::size_t>(PyArray_SIZE(as_array(array_)))};
}

Mask::Mask(nb::handle object, const char* argument, std::size_t size) {
  array_ = any_array(object);
  PyArrayObject* array = as_array(array_);
  if (PyArray_TYPE(array) != NPY_BOOL || PyArray_NDIM(array) != 1 ||
      static_cast<std::size_t>(PyArray_SIZE(array)) != size) {
    fail("`" + std::string(argument) + "` must be a boolean array of shape (" + std::to_string(size) + ",), got " +
         shape_of(array_) + " of " + dtype_of(array_) + ".");
  }
  array_ = convert(array_, NPY_BOOL);
  values_ = {static_cast<const std::uint8_t*>(PyArray_DATA(as_array(array_))), size};
}

namespace {

// A one-dimensional array as shortlist.ids.as_ids gives it.
class IdArray {
 public:
  IdArray(nb::handle object, const char* argument) : argument_(argument), array_(any_array(object)) {
    const int type = PyArray_TYPE(as_array(array_));
    are_text_ = type == NPY_OBJECT;
    if (PyArray_NDIM(as_array(array_)) != 1 || !(are_text_ || PyArray_EquivTypenums(type, NPY_INT64))) {
      fail("`" + argument_ + "` must be an int64 array or an object array of str, got shape " + shape_of(array_) +
           " and dtype " + dtype_of(array_) + ".");
    }
    array_ = convert(array_, are_text_ ? NPY_OBJECT : NPY_INT64);
  }

  bool are_text() const { return are_text_; }
  std::size_t size() const { return static_cast<std::size_t>(PyArray_SIZE(as_array(array_))); }
  std::span<const std::int64_t> integers() const {
    return {static_cast<const std::int64_t*>(PyArray_DATA(as_array(array_))), size()};
  }
  // UTF-8 that lives as long as the array.
  std::string_view text(std::size_t i) const {
    PyObject* item = static_cast<PyObject* const*>(PyArray_DATA(as_array(array_)))[i];
    const std::string where = " at position " + std::to_string(i) + ".";
    if (item == nullptr || !PyUnicode_Check(item)) {
      fail("`" + argument_ + "` must be an int64 array or an object array of str, got something else" + where);
    }
    Py_ssize_t length = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(item, &length);
    if (bytes == nullptr) {
      PyErr_Clear();
      fail("`" + argument_ + "` must be text that UTF-8 can hold, got " + nb::repr(nb::handle(item)).c_str() + where);
    }
    return {bytes, static_cast<std::size_t>(length)};
  }

 private:
  std::string argument_;
  nb::object array_;
  bool are_text_ = false;
};

Ids text_ids(const IdArray& given) {
  std::string text;
  Array<std::uint64_t> offsets(given.size() + 1);
  offsets[0] = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    text.append(given.text(i));
    offsets[i + 1] = text.size();
  }
  Array<char> bytes(text.size());
  std::copy(text.begin(), text.end(), bytes.begin());
  return Ids(std::move(bytes), std::move(offsets));
}

Ids integer_ids(std::span<const std::int64_t> values) {
  Array<std::int64_t> own(values.size());
  std::copy(values.begin(), values.end(), own.begin());
  return Ids(std::move(own));
}

bool are_row_numbers(std::span<const std::int64_t> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != static_cast<std::int64_t>(i)) return false;
  }
  return true;
}

Ids ids_of(const IdArray& given) { return given.are_text() ? text_ids(given) : integer_ids(given.integers()); }

Ids read_unique_ids(const IdArray& given, std::size_t size, const char* remedy) {
  if (given.size() != size) {
    fail("`ids` must have one id for each of the " + std::to_string(size) + " embeddings, got " +
         std::to_string(given.size()) + ".");
  }
  Ids ids = ids_of(given);
  if (const std::uint32_t row = ids.first_duplicate(); row != Ids::kNone) {
    const std::string name =
        given.are_text() ? "'" + std::string(ids.string(row)) + "'" : std::to_string(ids.integer(row));
    fail("`ids` must be unique, got " + name + " again at position " + std::to_string(row) + ". " + remedy);
  }
  return ids;
}

}  // namespace

Ids read_ids(nb::handle object, std::size_t size) {
  if (object.is_none()) return Ids(size);
  const IdArray given(object, "ids");
  if (given.size() == size && !given.are_text() && are_row_numbers(given.integers())) return Ids(size);
  return read_unique_ids(given, size,
                         "Where several rows have one name, such as a title, leave `ids` out and look names up by "
                         "row: names[result.rows].");
}

Ids read_new_ids(nb::handle object, std::size_t size) {
  return read_unique_ids(IdArray(object, "ids"), size, "Give the last of them alone.");
}

Ids read_some_ids(nb::handle object, const char* argument) { return ids_of(IdArray(object, argument)); }

Array<std::uint32_t> find_rows(const Snapshot& snapshot, nb::handle object, const char* argument) {
  const IdArray given(object, argument);
  Array<std::uint32_t> rows(given.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = given.are_text() ? snapshot.find(given.text(i)) : snapshot.find(given.integers()[i]);
  }
  return rows;
}

}  // namespace shortlist::bindings
