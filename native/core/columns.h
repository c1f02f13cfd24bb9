// Attributes of rows: one value each, or a list of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "array.h"

namespace shortlist {

enum class ColumnType : std::uint32_t { int64 = 0, float64 = 1, boolean = 2, text = 3 };

// An attribute, by row.
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
  bool is_missing(std::size_t row) const { return !missing.empty() && missing[row] != 0; }

  // The values of a row, and the bytes of a value, as [begin, end).
  std::pair<std::size_t, std::size_t> values_of(std::size_t row) const {
    if (!is_list) return {row, row + 1};
    return {row == 0 ? 0 : list_ends[row - 1], list_ends[row]};
  }
  std::pair<std::size_t, std::size_t> bytes_of(std::size_t value) const {
    const std::size_t width = value_bytes(type);
    if (type != ColumnType::text) return {value * width, (value + 1) * width};
    return {value == 0 ? 0 : text_ends[value - 1], text_ends[value]};
  }
};

// The column of this name, or null.
const Column* find_column(const std::vector<Column>& columns, const std::string& name);

// Makes a column row by row.
class ColumnWriter {
 public:
  ColumnWriter(std::string name, ColumnType type, bool is_list);
  // Adds what a row of another column of this type has; null = nothing.
  void add(const Column* from, std::size_t row);
  Column finish();

 private:
  void add_value(const std::uint8_t* begin, const std::uint8_t* end);

  Column column_;
  std::vector<std::uint8_t> values_;
  std::vector<std::uint64_t> text_ends_;
  std::vector<std::uint64_t> list_ends_;
  std::vector<std::uint8_t> missing_;
  std::size_t num_values_ = 0;
  bool any_missing_ = false;
};

}  // namespace shortlist
