#include "columns.h"

#include <algorithm>

namespace shortlist {
namespace {

template <typename T>
Array<T> array_of(const std::vector<T>& values) {
  Array<T> array(values.size());
  std::copy(values.begin(), values.end(), array.begin());
  return array;
}

}  // namespace

const Column* find_column(const std::vector<Column>& columns, const std::string& name) {
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return c.name == name; });
  return found == columns.end() ? nullptr : &*found;
}

ColumnWriter::ColumnWriter(std::string name, ColumnType type, bool is_list) {
  column_.name = std::move(name);
  column_.type = type;
  column_.is_list = is_list;
}

void ColumnWriter::add(const Column* from, std::size_t row) {
  const bool missing = from == nullptr || from->is_missing(row);
  any_missing_ = any_missing_ || missing;
  missing_.push_back(missing ? 1 : 0);
  if (!missing) {
    const auto [first, last] = from->values_of(row);
    for (std::size_t value = first; value < last; ++value) {
      const auto [begin, end] = from->bytes_of(value);
      add_value(from->values.data() + begin, from->values.data() + end);
    }
  } else if (!column_.is_list) {  // a value is there, and means nothing
    static constexpr std::uint8_t kZeros[8] = {};
    add_value(kZeros, kZeros + (column_.type == ColumnType::text ? 0 : Column::value_bytes(column_.type)));
  }
  if (column_.is_list) list_ends_.push_back(num_values_);
}

void ColumnWriter::add_value(const std::uint8_t* begin, const std::uint8_t* end) {
  values_.insert(values_.end(), begin, end);
  if (column_.type == ColumnType::text) text_ends_.push_back(values_.size());
  ++num_values_;
}

Column ColumnWriter::finish() {
  column_.values = array_of(values_);
  column_.text_ends = array_of(text_ends_);
  column_.list_ends = array_of(list_ends_);
  if (any_missing_) column_.missing = array_of(missing_);
  return std::move(column_);
}

}  // namespace shortlist
