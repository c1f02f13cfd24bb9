// Options of the engine as Python spells them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>

#include "codebook.h"
#include "codes/stored_rows.h"

namespace shortlist::bindings {

namespace nb = nanobind;

[[noreturn]] void fail(const std::string& message);

template <typename Enum>
struct Name {
  const char* name;
  Enum value;
};
inline constexpr Name<RowCodes> kCodes[] = {{"int8", RowCodes::int8}, {"int4", RowCodes::int4}, {"pq4", RowCodes::pq4}};
inline constexpr Name<Store> kStores[] = {
    {"float32", Store::float32}, {"bfloat16", Store::bfloat16}, {"int8", Store::int8}};
inline constexpr Name<Metric> kMetrics[] = {{"dot", Metric::dot}, {"cosine", Metric::cosine}, {"l2", Metric::l2}};

template <typename Enum, std::size_t N>
Enum parse(const Name<Enum> (&names)[N], const std::string& name, const char* argument) {
  std::string expected;
  for (const auto& entry : names) {
    if (name == entry.name) return entry.value;
    expected += (expected.empty() ? "'" : ", '") + std::string(entry.name) + "'";
  }
  fail("`" + std::string(argument) + "` must be one of " + expected + ", got '" + name + "'.");
}

template <typename Enum, std::size_t N>
const char* name_of(const Name<Enum> (&names)[N], Enum value) {
  return std::find_if(std::begin(names), std::end(names), [&](const auto& e) { return e.value == value; })->name;
}

// None = `automatic`; otherwise an integer within the bounds.
std::size_t count_or(nb::handle value, const char* argument, std::size_t automatic, std::size_t least,
                     std::size_t most);

inline constexpr std::size_t kMaxThreads = 1024;

// Calls `callback`, where it is not None, and lets Ctrl-C stop the work.
Progress report_to(nb::handle callback);

// What a codebook is learnt with.
struct GivenOptions {
  nb::handle leaves, codes, tier, spread, sample, iterations;
};
LearnOptions read_options(const std::string& metric, const GivenOptions& given, std::uint64_t seed);

// Throws ValueError where there are no rows, too many, or fewer than leaves.
void check_rows(std::size_t rows, std::size_t dim, const LearnOptions& options, const char* argument);

// In standard deviations.
double spread_of(const Codebook& codebook);

inline const char* codes_of(const Codebook& codebook) {
  return name_of(kCodes, static_cast<RowCodes>(codebook.quantizer.dims_per_code));
}

}  // namespace shortlist::bindings
