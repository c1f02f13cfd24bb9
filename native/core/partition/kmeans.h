// Lloyd's k-means, seeded, the same result on any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "array.h"

namespace shortlist {

struct KMeans {
  Array<float> centroids;           // (num_clusters, dim)
  Array<std::uint32_t> assignment;  // of each row
  std::size_t num_clusters = 0;

  // The centroids that rows were assigned by, before clusters without rows were dropped; and for each the number of its
  // cluster now, or for a dropped one that of the nearest cluster that was kept.
  Array<float> trained;
  std::vector<std::uint32_t> number;
};

struct KMeansOptions {
  std::size_t clusters;
  std::size_t sample;  // rows to train on
  std::size_t iterations;
  std::uint64_t seed;
  std::size_t threads;
};

// Clusters `rows` (num_rows, dim) into at most min(clusters, sample) clusters, none of them empty.
KMeans kmeans(const float* rows, std::size_t num_rows, std::size_t dim, const KMeansOptions& options,
              const std::function<void(const char* stage, double fraction)>& progress = nullptr);

// order[starts[c] .. starts[c + 1]) are the rows assigned to cluster c, in rising order.
struct Members {
  Members(const std::uint32_t* assignment, std::size_t num_rows, std::size_t num_clusters);
  Array<std::uint32_t> order;
  Array<std::uint32_t> starts;
};

}  // namespace shortlist
