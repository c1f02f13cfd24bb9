#include "options.h"

#include <cmath>
#include <string_view>

#include "ids.h"

namespace shortlist::bindings {

void fail(const std::string& message) { throw nb::value_error(message.c_str()); }

namespace {

bool is_integer(nb::handle value) {
  if (PyLong_CheckExact(value.ptr())) return true;
  if (PyBool_Check(value.ptr()) || !PyIndex_Check(value.ptr())) return false;
  // The booleans of older NumPy are integers to Python.
  const nb::str name(value.type().attr("__name__"));
  return !std::string_view(name.c_str()).starts_with("bool");
}

}  // namespace

std::size_t count_or(nb::handle value, const char* argument, std::size_t automatic, std::size_t least,
                     std::size_t most) {
  if (value.is_none()) return automatic;
  if (!is_integer(value)) {
    fail("`" + std::string(argument) + "` must be an integer, got " + nb::repr(value).c_str() + ".");
  }
  const Py_ssize_t count = PyNumber_AsSsize_t(value.ptr(), nullptr);
  if (count == -1 && PyErr_Occurred()) {  // of NumPy, for an array that is no single integer
    PyErr_Clear();
    fail("`" + std::string(argument) + "` must be an integer, got " + nb::repr(value).c_str() + ".");
  }
  if (count < static_cast<Py_ssize_t>(least) || count > static_cast<Py_ssize_t>(most)) {
    fail("`" + std::string(argument) + "` must be from " + std::to_string(least) + " to " + std::to_string(most) +
         ", got " + nb::str(value).c_str() + ".");
  }
  return static_cast<std::size_t>(count);
}

Progress report_to(nb::handle callback) {
  return [callback](const char* stage, double fraction) {
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (!callback.is_none()) callback(stage, fraction);
  };
}

LearnOptions read_options(const std::string& metric, const GivenOptions& given, std::uint64_t seed) {
  constexpr std::size_t kMost = Ids::kNone - 1;
  LearnOptions options;
  options.metric = parse(kMetrics, metric, "metric");
  options.seed = seed;
  options.leaves = count_or(given.leaves, "leaves", kAutomatic, 1, kMost);
  options.tier = count_or(given.tier, "tier", kAutomatic, 0, kMost);
  if (!given.spread.is_none()) {
    options.spread = nb::cast<float>(given.spread);
    if (!(*options.spread >= 0.0f && *options.spread <= 100.0f)) {
      fail("`spread` must be from 0 to 100, got " + nb::cast<std::string>(nb::str(given.spread)) + ".");
    }
  }
  options.sample = count_or(given.sample, "sample", kAutomatic, 1, kMost);
  options.iterations = count_or(given.iterations, "iterations", kAutomatic, 1, 1000);
  if (!given.codes.is_none()) options.codes = parse(kCodes, nb::cast<std::string>(given.codes), "codes");
  return options;
}

void check_rows(std::size_t rows, std::size_t dim, const LearnOptions& options, const char* argument) {
  const std::string name = "`" + std::string(argument) + "`";
  if (rows == 0) fail(name + " must have at least one row, got shape (0, " + std::to_string(dim) + ").");
  if (rows >= Ids::kNone) fail(name + " must have fewer than 2**32 - 1 rows, got " + std::to_string(rows) + ".");
  if (options.leaves != kAutomatic && options.leaves > rows) {
    fail("`leaves` must be at most the number of rows, " + std::to_string(rows) + ", got " +
         std::to_string(options.leaves) + ".");
  }
}

double spread_of(const Codebook& codebook) {
  const double deviations =
      static_cast<double>(codebook.spread) * std::sqrt(static_cast<double>(codebook.augmentation.coded_dim()));
  return std::round(deviations * 1e6) / 1e6;
}

}  // namespace shortlist::bindings
