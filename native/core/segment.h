// Rows encoded with a codebook, never changed once they are: codes, rows, ids and columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "array.h"
#include "codebook.h"
#include "codes/codes.h"
#include "codes/stored_rows.h"
#include "columns.h"
#include "ids.h"

namespace shortlist {

// Rows lie cell by cell, in each in falling order of their projections on its centroid: a row's place is its position.
struct Segment {
  std::size_t size = 0;
  Codes codes;                  // scales and usual radii are the codebook's
  Array<std::uint32_t> row_of;  // by position
  StoredRows rows;              // by position
  Ids ids;                      // by row
  std::vector<Column> columns;

  // Made from the above by `finish`.
  Array<std::uint32_t> position_of;  // by row
  double max_norm = 0.0;             // no coded row is longer
  void finish(const Codebook& codebook, const float* coded_centroids);

  std::size_t bytes() const;
};

// Encodes rows (size, dim), prepared. `centroids` are the codebook's coded centroids; `cells` has the cell of each row.
Segment encode(const Codebook& codebook, const Array<float>& centroids, const float* rows,
               const Array<std::uint32_t>& cells, Ids ids, Store store, std::size_t threads, const Progress& progress);

}  // namespace shortlist
