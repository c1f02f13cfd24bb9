// An index: rows in leaf order, their codes, and how to search them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "array.h"
#include "ids.h"
#include "kernels.h"

namespace shortlist {

enum class Metric : std::uint32_t { dot = 0, cosine = 1, l2 = 2 };

inline constexpr std::size_t kMaxK = 1000;

// Called with a stage of the build and the fraction of it done; throws to stop the build.
using Progress = std::function<void(const char* stage, double fraction)>;

struct BuildOptions {
  Metric metric = Metric::dot;
  std::size_t threads = 0;
  std::uint64_t seed = 0;
};

struct Settings {
  bool exact = false;
  std::uint32_t leaves = 32;
  std::uint32_t rerank = 50;
  std::uint32_t groups = 0;
  float stop = 0.0f;

  bool operator==(const Settings&) const = default;
};

// Rows that each query must not get back: those of query i at [offsets[i], offsets[i + 1]).
struct Exclusions {
  std::span<const std::uint32_t> rows;
  std::span<const std::int64_t> offsets;
};

struct Index {
  Metric metric = Metric::dot;
  std::size_t dim = 0;
  std::size_t size = 0;
  Array<float> rows;
  Ids ids;
  Settings settings;
  std::string note;
};

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress);

// Writes the best k rows of every query: scores descending, ties by lower row, padded with -inf and -1.
void search(const Index& index, const float* queries, std::size_t num_queries, std::size_t k,
            const Settings& settings, const Exclusions* exclude, std::size_t threads, float* scores,
            std::int64_t* rows);

}  // namespace shortlist
