// Rows in cells, each row int8 relative to its cell's centroid: row = centroid + scale * value + error.
//
// One idea serves twice: the rows of an index are coded in leaves, the centroids of the leaves in groups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"
#include "kernels.h"

namespace shortlist {

struct Codes {
  std::size_t dim = 0;
  Array<std::uint32_t> starts;       // (cells + 1) position of each cell's first row
  Array<std::uint32_t> first_block;  // (cells + 1) each cell starts a block
  Array<float> scales;               // (cells)
  Array<float> radii;                // (cells) largest |row - centroid|
  Array<float> errors;               // (cells) largest |row - decoded row|
  Array<std::uint8_t> blocks;

  std::size_t num_cells() const { return scales.size(); }
  std::size_t slices() const { return (dim + 3) / 4; }
  std::size_t block_bytes() const { return slices() * kSliceBytes; }
  std::size_t count(std::size_t cell) const { return starts[cell + 1] - starts[cell]; }
  const std::uint8_t* blocks_of(std::size_t cell) const { return &blocks[first_block[cell] * block_bytes()]; }
  std::size_t bytes() const {
    return starts.bytes() + first_block.bytes() + scales.bytes() + radii.bytes() + errors.bytes() + blocks.bytes();
  }

  // Fills first_block from starts.
  void place_blocks();

  // The row at `position` of `cell`, as coded.
  void decode(std::size_t cell, std::size_t position, const float* centroid, float* row) const;
};

// Writes the row at `position` to `out` (dim values).
using ReadRow = std::function<void(std::size_t position, float* out)>;

// Codes rows that lie in cell order. `centroids` has dim values a cell.
Codes encode(std::size_t dim, Array<std::uint32_t> starts, const float* centroids, const ReadRow& read,
             std::size_t threads, const std::function<void(double fraction)>& tick = nullptr);

// A query as the int8 kernels take it: query = scale * values + error. A coded row scores
// <query, centroid> + its cell's scale * `scale` * (sum - offset).
struct CodedQuery {
  std::int8_t* values;  // 4 * slices
  float scale;
  std::int32_t offset;
  float norm;   // |query|
  float error;  // |query - scale * values|
};
CodedQuery encode_query(const float* query, std::size_t dim, std::int8_t* values);

}  // namespace shortlist
