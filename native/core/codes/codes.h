// Rows in cells, each coded relative to its cell's centroid: row = centroid + coded residual + error.
//
// Used twice: the rows of an index are coded in leaves, and the centroids of the leaves in groups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "array.h"
#include "codes/quantizer.h"
#include "kernels/kernels.h"

namespace shortlist {

// Blocks in a run: what the kernels search at a time.
inline constexpr std::size_t kRunBlocks = 4;

struct Codes {
  Quantizer quantizer;
  Array<std::uint32_t> starts;       // (cells + 1) position of each cell's first row
  Array<std::uint32_t> first_block;  // (cells + 1) each cell starts a block
  Array<float> scales;               // (cells)
  Array<float> usual_radii;          // (cells) expected |row - centroid|; empty where it is not used
  Array<float> radii;                // (cells) largest |row - centroid|
  Array<float> errors;               // (cells) largest |row - decoded row|
  Array<std::uint8_t> blocks;
  // For each run of kRunBlocks blocks of a cell, the largest projection of a row of it or of a later run on the
  // centroid, <row, centroid> / |centroid|². Rows that lie in falling order of it need not all be scanned. May be
  // empty.
  Array<float> run_projections;

  std::size_t num_cells() const { return scales.size(); }
  std::size_t count(std::size_t cell) const { return starts[cell + 1] - starts[cell]; }
  const std::uint8_t* blocks_of(std::size_t cell) const {
    return blocks.data() + first_block[cell] * quantizer.block_bytes();
  }
  std::size_t bytes() const {
    return run_projections.bytes() + starts.bytes() + first_block.bytes() + scales.bytes() + radii.bytes() +
           errors.bytes() + blocks.bytes() + quantizer.centres.bytes();
  }

  // The block that holds a position, and its place there.
  struct Place {
    std::size_t block;
    std::size_t j;
  };
  Place place_of(std::size_t position) const;

  // Fills first_block from starts.
  void place_blocks();

  // Where the runs of a cell begin in run_projections; for num_cells(), its size.
  std::size_t first_run(std::size_t cell) const { return first_block[cell] / kRunBlocks + cell; }

  // Sets the projections of a cell's runs to what no row has.
  void drop_runs(std::size_t cell);

  // How many of the first blocks of a cell can hold a row whose part along the centroid scores at least `least`, for a
  // query whose inner product with the centroid is `base`.
  std::size_t blocks_reaching(std::size_t cell, float base, float least) const;

  // The row at `position` of `cell`, as coded.
  void decode(std::size_t cell, std::size_t position, const float* centroid, float* row) const;
};

// Writes the row at `position` to `out` (dim values).
using ReadRow = std::function<void(std::size_t position, float* out)>;

// The rows to code, in cell order, and for each a query that finds it, of any length, where 4-bit codes are to keep its
// score rather than the row.
struct Source {
  ReadRow read;
  ReadRow query = nullptr;
};

// Codes the rows, with these scales or, where there are none, with those of `sizes_of`. `centroids` has dim values a
// cell. `sorted` says whether the rows of a cell lie in falling order of their projections on the centroid.
Codes encode(Quantizer quantizer, Array<std::uint32_t> starts, const float* centroids, const Source& source,
             std::size_t threads, bool sorted = false, const std::function<void(double fraction)>& tick = nullptr,
             Array<float> scales = {});

// The scales that fit the rows of each cell, and the largest |row - centroid| of each.
struct CellSizes {
  Array<float> scales;
  Array<float> radii;
};
CellSizes sizes_of(const Quantizer& quantizer, const Array<std::uint32_t>& starts, const float* centroids,
                   const ReadRow& read, std::size_t threads);

// <row, centroid> / |centroid|², the row's projection in lengths of the centroid, or 1 where the centroid is zero.
float projection_on(const float* row, const float* centroid, std::size_t dim);

// A quantizer of 4-bit codes for such rows, learned from some of them.
Quantizer learn_quantizer(std::size_t dim, std::size_t dims_per_code, const Array<std::uint32_t>& starts,
                          const float* centroids, const ReadRow& read, std::uint64_t seed, std::size_t threads);

}  // namespace shortlist
