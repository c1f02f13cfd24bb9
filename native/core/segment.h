// Rows encoded with a codebook, never changed once they are: codes, rows, ids and columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "array.h"
#include "codebook.h"
#include "codes/codes.h"
#include "codes/stored_rows.h"
#include "ids.h"

namespace shortlist {

enum class ColumnType : std::uint32_t { int64 = 0, float64 = 1, boolean = 2, text = 3 };

// An attribute of the rows, by row: one value each, or a list.
struct Column {
  std::string name;
  ColumnType type = ColumnType::int64;
  bool is_list = false;
  Array<std::uint8_t> values;      // little-endian; of text all UTF-8, one after another
  Array<std::uint64_t> text_ends;  // (values) of text: where each ends in `values`
  Array<std::uint64_t> list_ends;  // (rows) of lists: how many values there are up to the end of each
  Array<std::uint8_t> missing;     // (rows) 1 = the row has no value; empty = all have one
  static std::size_t value_bytes(ColumnType type) {
    return type == ColumnType::boolean || type == ColumnType::text ? 1 : 8;
  }
  std::size_t bytes() const { return values.bytes() + text_ends.bytes() + list_ends.bytes() + missing.bytes(); }
};

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

// Encodes rows (size, dim), prepared. `cells` has the cell of each.
Segment encode(const Codebook& codebook, const float* rows, const Array<std::uint32_t>& cells, Ids ids, Store store,
               std::size_t threads, const Progress& progress);

}  // namespace shortlist
