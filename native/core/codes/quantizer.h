// How a residual becomes bytes, and a query the numbers that the kernels multiply them with.
//
// int8: one value a dimension, row = scale * value. 4 bits: `dims_per_code` neighbouring dimensions share a code that
// names one of sixteen centres (product quantization, Jégou, Douze and Schmid 2011), row = scale * centres. With one
// dimension a code the centres are even steps around 0, so that a query is multiplied with codes and needs no tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"
#include "kernels/kernels.h"

namespace shortlist {

inline constexpr std::size_t kCentres = 16;

// A query as a kernel takes it: a row of a cell scores base + cell's scale * (scale * sum + offset).
struct CodedQuery {
  const std::uint8_t* bytes;  // int8 values, or tables for codes with learned centres
  float scale;
  float offset;
  float norm;  // |query|
  // |true - coded score| of a coded row is at most the cell's scale * `error` + `residual_error` * |coded residual|.
  float error;
  float residual_error;
};

// 4-bit codes lower |error|² + (kAlong - 1) * <error, direction>², the anisotropic loss of Guo et al. (2020),
// "Accelerating Large-Scale Inference with Anisotropic Vector Quantization": the queries that a row matters to point
// its way, so that the part of its error in that direction changes their scores most. In the paper's terms this is a
// threshold of 0.40, 0.24 and 0.12 of the row's length in 32, 96 and 384 dimensions. Weights of 3 to 10 found the most
// of the true ten best among the 10 to 64 best estimates on the three sets of the benchmark; one weight for all rows
// and dimensions lost no more than 0.01 of recall on the best for each.
inline constexpr float kAlong = 6.0f;

struct Quantizer {
  std::size_t dim = 0;
  std::size_t dims_per_code = 0;  // 0 = int8
  Array<float> centres;           // (codes, dims_per_code, kCentres), or empty
  Array<float> steps;             // (dim) from one centre to the next, where they are even; or empty

  bool is_int8() const { return dims_per_code == 0; }
  std::size_t num_codes() const { return is_int8() ? dim : (dim + dims_per_code - 1) / dims_per_code; }
  std::size_t slices() const { return (num_codes() + (is_int8() ? 3 : 7)) / (is_int8() ? 4 : 8); }
  std::size_t block_bytes() const { return slices() * kSliceBytes; }
  std::size_t query_bytes() const { return slices() * (is_int8() ? 4 : centres.empty() ? 8 : kSliceTableBytes); }
  // Floats of scratch space that coding a query needs.
  std::size_t table_size() const { return is_int8() ? 0 : centres.empty() ? dim : num_codes() * kCentres; }

  // The scale with which `count` residuals (count, dim) are coded.
  float scale_of(const float* residuals, std::size_t count) const;
  // Codes a residual as row `index` of the blocks, which were filled with `padding()`. `direction` has length 1; null
  // gives every code its nearest centre.
  void encode(const float* residual, float scale, const float* direction, std::size_t index,
              std::uint8_t* blocks) const;
  void decode(float scale, std::size_t index, const std::uint8_t* blocks, float* residual) const;
  std::uint8_t padding() const { return is_int8() ? 128 : 0; }

  // `bytes` has room for query_bytes(), `table` for table_size().
  CodedQuery encode_query(const float* query, std::uint8_t* bytes, float* table) const;

  static Quantizer int8(std::size_t dim) { return {dim, 0, {}, {}}; }
  // Learns the steps or the centres from residuals (count, dim), each already divided by its cell's scale.
  static Quantizer learn(const float* residuals, std::size_t count, std::size_t dim, std::size_t dims_per_code,
                         std::uint64_t seed, std::size_t threads);

 private:
  void choose_nearest(const float* values, std::uint8_t* chosen) const;
  void lower_loss(const float* values, const float* direction, std::uint8_t* chosen) const;
  float error_along(const float* values, const float* direction, const std::uint8_t* chosen) const;
};

}  // namespace shortlist
