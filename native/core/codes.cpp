#include "codes.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kCellsPerPiece = 16;
constexpr float kLargest = 127.0f;

std::size_t byte_of(std::size_t slices, std::size_t index, std::size_t t) {
  return ((index / kBlockRows * slices + t / 4) * kBlockRows + index % kBlockRows) * 4 + t % 4;
}

void encode_cell(Codes& codes, std::size_t cell, const float* centroid, const ReadRow& read,
                 std::vector<float>& residuals) {
  const std::size_t dim = codes.dim;
  const std::size_t count = codes.count(cell);
  residuals.resize(count * dim);
  float largest = 0.0f;
  double radius = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    float* residual = &residuals[i * dim];
    read(codes.starts[cell] + i, residual);
    double squares = 0.0;
    for (std::size_t t = 0; t < dim; ++t) {
      residual[t] -= centroid[t];
      largest = std::max(largest, std::fabs(residual[t]));
      squares += static_cast<double>(residual[t]) * residual[t];
    }
    radius = std::max(radius, squares);
  }
  const float scale = largest / kLargest;
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  double error = 0.0;
  std::uint8_t* blocks = &codes.blocks[codes.first_block[cell] * codes.block_bytes()];
  const std::size_t padded = (codes.first_block[cell + 1] - codes.first_block[cell]) * codes.block_bytes();
  std::fill_n(blocks, padded, std::uint8_t{128});
  const std::size_t slices = codes.slices();
  for (std::size_t i = 0; i < count; ++i) {
    const float* residual = &residuals[i * dim];
    double squares = 0.0;
    for (std::size_t t = 0; t < dim; ++t) {
      const float value = std::clamp(std::nearbyintf(residual[t] * inverse), -kLargest, kLargest);
      const double left = static_cast<double>(residual[t]) - static_cast<double>(scale) * value;
      squares += left * left;
      blocks[byte_of(slices, i, t)] = static_cast<std::uint8_t>(static_cast<int>(value) + 128);
    }
    error = std::max(error, squares);
  }
  codes.scales[cell] = scale;
  codes.radii[cell] = static_cast<float>(std::sqrt(radius));
  codes.errors[cell] = static_cast<float>(std::sqrt(error));
}

}  // namespace

void Codes::place_blocks() {
  const std::size_t cells = starts.size() - 1;
  first_block = Array<std::uint32_t>(cells + 1);
  first_block[0] = 0;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const std::size_t blocks_here = (count(cell) + kBlockRows - 1) / kBlockRows;
    first_block[cell + 1] = first_block[cell] + static_cast<std::uint32_t>(blocks_here);
  }
}

void Codes::decode(std::size_t cell, std::size_t position, const float* centroid, float* row) const {
  const std::uint8_t* own = blocks_of(cell);
  for (std::size_t t = 0; t < dim; ++t) {
    const int value = own[byte_of(slices(), position - starts[cell], t)] - 128;
    row[t] = centroid[t] + scales[cell] * static_cast<float>(value);
  }
}

Codes encode(std::size_t dim, Array<std::uint32_t> starts, const float* centroids, const ReadRow& read,
             std::size_t threads, const std::function<void(double)>& tick) {
  const std::size_t cells = starts.size() - 1;
  Codes codes;
  codes.dim = dim;
  codes.starts = std::move(starts);
  codes.place_blocks();
  codes.scales = Array<float>(cells);
  codes.radii = Array<float>(cells);
  codes.errors = Array<float>(cells);
  codes.blocks = Array<std::uint8_t>(codes.first_block[cells] * codes.block_bytes());
  parallel_for(
      (cells + kCellsPerPiece - 1) / kCellsPerPiece, threads,
      [&](std::size_t piece, std::size_t) {
        std::vector<float> residuals;
        const std::size_t last = std::min(cells, (piece + 1) * kCellsPerPiece);
        for (std::size_t cell = piece * kCellsPerPiece; cell < last; ++cell) {
          encode_cell(codes, cell, centroids + cell * dim, read, residuals);
        }
      },
      tick);
  return codes;
}

CodedQuery encode_query(const float* query, std::size_t dim, std::int8_t* values) {
  float largest = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) largest = std::max(largest, std::fabs(query[t]));
  CodedQuery coded{values, largest / kLargest, 0, 0.0f, 0.0f};
  const float inverse = coded.scale > 0.0f ? 1.0f / coded.scale : 0.0f;
  std::int32_t sum = 0;
  float squares = 0.0f;
  float left_squares = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    // Adding and taking off 1.5 * 2^23 rounds to the nearest integer in two additions.
    constexpr float kRound = 12582912.0f;
    const float value = query[t] * inverse + kRound - kRound;
    const float left = query[t] - coded.scale * value;
    squares += query[t] * query[t];
    left_squares += left * left;
    const auto integer = static_cast<std::int32_t>(value);
    values[t] = static_cast<std::int8_t>(integer);
    sum += integer;
  }
  for (std::size_t t = dim; t < (dim + 3) / 4 * 4; ++t) values[t] = 0;
  coded.offset = 128 * sum;
  coded.norm = std::sqrt(squares);
  coded.error = std::sqrt(left_squares);
  return coded;
}

}  // namespace shortlist
