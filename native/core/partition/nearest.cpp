#include "partition/nearest.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/dispatch.h"

namespace shortlist {

Nearest::Nearest(const float* centroids, std::size_t count, std::size_t dim)
    : centroids_(centroids), count_(count), dim_(dim), quantizer_(Quantizer::int8(dim)), middle_(dim) {
  std::vector<double> sum(dim_, 0.0);
  for (std::size_t i = 0; i < count_ * dim_; ++i) sum[i % dim_] += centroids_[i];
  for (std::size_t t = 0; t < dim_; ++t) middle_[t] = static_cast<float>(sum[t] / static_cast<double>(count_));

  const std::size_t blocks = (count_ + kBlockRows - 1) / kBlockRows;
  codes_ = Array<std::uint8_t>(blocks * quantizer_.block_bytes(), quantizer_.padding());
  scales_ = Array<float>(blocks * kBlockRows, 0.0f);
  bias_ = Array<float>(blocks * kBlockRows, -std::numeric_limits<float>::infinity());
  std::vector<float> way(dim_);
  for (std::size_t centroid = 0; centroid < count_; ++centroid) {
    double squares = 0.0;
    for (std::size_t t = 0; t < dim_; ++t) {
      way[t] = centroids_[centroid * dim_ + t] - middle_[t];
      squares += static_cast<double>(way[t]) * way[t];
    }
    scales_[centroid] = quantizer_.scale_of(way.data(), 1);
    bias_[centroid] = static_cast<float>(-0.5 * squares);
    quantizer_.encode(way.data(), scales_[centroid], nullptr, centroid, codes_.data());
  }
}

void Nearest::find(const float* rows, std::size_t num_rows, std::uint32_t* nearest) const {
  constexpr std::size_t kRowsTogether = 64;
  const Kernels& kernels = active_kernels();
  const std::size_t num_candidates = std::min(count_, kBlockRows);
  const std::size_t query_bytes = quantizer_.query_bytes();
  std::vector<std::uint8_t> bytes(kRowsTogether * query_bytes);
  std::vector<float> way(dim_);
  Int8Query queries[kRowsTogether];
  std::uint32_t candidates[kRowsTogether * kBlockRows];
  float scores[kRowsTogether * kBlockRows];
  for (std::size_t first = 0; first < num_rows; first += kRowsTogether) {
    const std::size_t some = std::min(kRowsTogether, num_rows - first);
    for (std::size_t i = 0; i < some; ++i) {
      const float* row = rows + (first + i) * dim_;
      for (std::size_t t = 0; t < dim_; ++t) way[t] = row[t] - middle_[t];
      const CodedQuery coded = quantizer_.encode_query(way.data(), &bytes[i * query_bytes], nullptr);
      queries[i] = {reinterpret_cast<const std::int8_t*>(coded.bytes), coded.scale, coded.offset};
    }
    kernels.int8_best(codes_.data(), scales_.size() / kBlockRows, quantizer_.slices(), scales_.data(), bias_.data(),
                      queries, some, candidates, scores);
    for (std::size_t i = 0; i < some; ++i) {
      const std::uint32_t* own = &candidates[i * kBlockRows];
      float distances[kBlockRows];
      kernels.l2_rows_f32(centroids_, dim_, own, num_candidates, rows + (first + i) * dim_, dim_, distances);
      nearest[first + i] = own[std::min_element(distances, distances + num_candidates) - distances];
    }
  }
}

}  // namespace shortlist
