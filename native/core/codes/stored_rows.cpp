#include "codes/stored_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/dispatch.h"
#include "scattered.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 16384;
constexpr float kLargest = 127.0f;

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto rounded = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  const bool beyond = (rounded & 0x7fffu) == 0x7f80u;
  return beyond ? static_cast<std::uint16_t>(rounded - 1) : rounded;
}

float from_bf16(std::uint16_t value) { return std::bit_cast<float>(std::uint32_t{value} << 16); }

// Returns the scale.
float to_int8(const float* row, std::size_t dim, std::int8_t* out) {
  float largest = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) largest = std::max(largest, std::fabs(row[t]));
  const float scale = largest / kLargest;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding and taking it off rounds to the nearest integer
  for (std::size_t t = 0; t < dim; ++t) {
    // A scale below the least normal number is coarse: values can come out larger.
    const float value = scale > 0.0f ? std::clamp(row[t] / scale, -kLargest, kLargest) : 0.0f;
    out[t] = static_cast<std::int8_t>(value + kRound - kRound);
  }
  return scale;
}

}  // namespace

StoredRows::StoredRows(Store how, const float* rows, std::size_t num_dims, const Array<std::uint32_t>& order,
                       std::size_t threads, const std::function<void(double)>& tick)
    : store(how),
      dim(num_dims),
      values(order.size() * num_dims * value_bytes(how)),
      scales(how == Store::int8 ? order.size() : 0) {
  parallel_for((order.size() + kRowsPerPiece - 1) / kRowsPerPiece, threads,
               [&](std::size_t piece, std::size_t) {
                 const std::size_t last = std::min(order.size(), (piece + 1) * kRowsPerPiece);
                 for (std::size_t position = piece * kRowsPerPiece; position < last; ++position) {
                   write(position, scattered_row(rows, dim, order.data(), position, order.size()));
                 }
               },
               tick);
}

std::size_t StoredRows::value_bytes(Store store) {
  return store == Store::float32 ? sizeof(float) : store == Store::bfloat16 ? sizeof(std::uint16_t) : 1;
}

bool StoredRows::all_finite() const {
  const auto finite = [](float value) { return std::isfinite(value); };
  const std::size_t count = values.size() / value_bytes(store);
  if (store == Store::float32) return std::all_of(as<float>(), as<float>() + count, finite);
  if (store == Store::bfloat16) {
    return std::all_of(as<std::uint16_t>(), as<std::uint16_t>() + count,
                       [&](std::uint16_t value) { return finite(from_bf16(value)); });
  }
  return std::all_of(scales.begin(), scales.end(), finite);
}

void StoredRows::write(std::size_t position, const float* row) {
  const std::size_t first = position * dim;
  if (store == Store::float32) {
    std::copy_n(row, dim, as<float>() + first);
  } else if (store == Store::bfloat16) {
    std::transform(row, row + dim, as<std::uint16_t>() + first, to_bf16);
  } else {
    scales[position] = to_int8(row, dim, as<std::int8_t>() + first);
  }
}

void StoredRows::read(std::size_t position, float* out) const {
  const std::size_t first = position * dim;
  if (store == Store::float32) {
    std::copy_n(as<float>() + first, dim, out);
  } else if (store == Store::bfloat16) {
    std::transform(as<std::uint16_t>() + first, as<std::uint16_t>() + first + dim, out, from_bf16);
  } else {
    const float scale = scales[position];
    const std::int8_t* row = as<std::int8_t>() + first;
    std::transform(row, row + dim, out, [scale](std::int8_t value) { return scale * static_cast<float>(value); });
  }
}

void StoredRows::dot(const float* query, const std::uint32_t* positions, std::size_t count, float* out) const {
  const Kernels& kernels = active_kernels();
  switch (store) {
    case Store::float32:
      return kernels.dot_rows_f32(as<float>(), dim, positions, count, query, dim, out);
    case Store::bfloat16:
      return kernels.dot_rows_bf16(as<std::uint16_t>(), dim, positions, count, query, dim, out);
    case Store::int8:
      return kernels.dot_rows_int8(as<std::int8_t>(), scales.data(), dim, positions, count, query, dim, out);
  }
}

void StoredRows::squared_distances(const float* query, const std::uint32_t* positions, std::size_t count,
                                   float* out) const {
  const Kernels& kernels = active_kernels();
  switch (store) {
    case Store::float32:
      return kernels.l2_rows_f32(as<float>(), dim, positions, count, query, dim, out);
    case Store::bfloat16:
      return kernels.l2_rows_bf16(as<std::uint16_t>(), dim, positions, count, query, dim, out);
    case Store::int8:
      return kernels.l2_rows_int8(as<std::int8_t>(), scales.data(), dim, positions, count, query, dim, out);
  }
}

}  // namespace shortlist
