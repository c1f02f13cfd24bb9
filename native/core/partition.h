// Which leaf every row belongs to: k-means in two levels, so that training and assigning n rows to L leaves costs
// about n sqrt(L) distances instead of n L.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"
#include "kmeans.h"

namespace shortlist {

struct PartitionOptions {
  std::size_t leaves;
  std::size_t sample;      // rows to train on
  std::size_t iterations;  // of k-means at each level
  std::uint64_t seed;
  std::size_t threads;
};

// Leaves for `rows` (num_rows, dim), at most the number asked for.
KMeans partition(const float* rows, std::size_t num_rows, std::size_t dim, const PartitionOptions& options,
                 const std::function<void(const char* stage, double fraction)>& progress);

}  // namespace shortlist
