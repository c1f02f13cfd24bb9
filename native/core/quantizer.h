// How a residual becomes bytes, and a query the numbers that the kernels multiply them with.
//
// int8: one value a dimension, row = scale * value. 4 bits: `dims_per_code` neighbouring dimensions share a code that
// names one of sixteen centres (product quantization, Jégou, Douze and Schmid 2011; with one dimension a code, Lloyd's
// and Max's scalar quantizer), row = scale * centres.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"
#include "kernels.h"

namespace shortlist {

inline constexpr std::size_t kCentres = 16;

// A query as a kernel takes it: a row of a cell scores base + cell's scale * (scale * sum + offset).
struct CodedQuery {
  const std::uint8_t* bytes;  // int8 values or 4-bit tables
  float scale;
  float offset;
  float norm;  // |query|
  // |true - coded score| of a coded row is at most the cell's scale * `error` + `residual_error` * |coded residual|.
  float error;
  float residual_error;
};

struct Quantizer {
  std::size_t dim = 0;
  std::size_t dims_per_code = 0;  // 0 = int8
  Array<float> centres;           // (codes, dims_per_code, kCentres)

  bool is_int8() const { return dims_per_code == 0; }
  std::size_t num_codes() const { return is_int8() ? dim : (dim + dims_per_code - 1) / dims_per_code; }
  std::size_t slices() const { return (num_codes() + (is_int8() ? 3 : 7)) / (is_int8() ? 4 : 8); }
  std::size_t block_bytes() const { return slices() * kSliceBytes; }
  std::size_t query_bytes() const { return slices() * (is_int8() ? 4 : kSliceTableBytes); }

  // The scale with which `count` residuals (count, dim) are coded.
  float scale_of(const float* residuals, std::size_t count) const;
  // Codes a residual as row `index` of the blocks, which were filled with `padding()`.
  void encode(const float* residual, float scale, std::size_t index, std::uint8_t* blocks) const;
  void decode(float scale, std::size_t index, const std::uint8_t* blocks, float* residual) const;
  std::uint8_t padding() const { return is_int8() ? 128 : 0; }

  // `bytes` has room for query_bytes(), `table` for 16 * num_codes() floats where there are tables.
  CodedQuery encode_query(const float* query, std::uint8_t* bytes, float* table) const;

  static Quantizer int8(std::size_t dim) { return {dim, 0, {}}; }
  // Learns the centres from residuals (count, dim), each already divided by its cell's scale.
  static Quantizer learn(const float* residuals, std::size_t count, std::size_t dim, std::size_t dims_per_code,
                         std::uint64_t seed, std::size_t threads);
};

}  // namespace shortlist
