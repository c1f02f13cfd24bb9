#include "attributes.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "arrays.h"
#include "bindings.h"
#include "options.h"

namespace shortlist::bindings {
namespace {

constexpr Name<ColumnType> kTypes[] = {{"int64", ColumnType::int64},
                                       {"float64", ColumnType::float64},
                                       {"bool", ColumnType::boolean},
                                       {"str", ColumnType::text}};

constexpr Name<Condition::Test> kTests[] = {
    {"in", Condition::Test::among},    {"contains", Condition::Test::among}, {"missing", Condition::Test::missing},
    {"<", Condition::Test::below},     {"<=", Condition::Test::at_most},     {">", Condition::Test::above},
    {">=", Condition::Test::at_least}, {"all", Condition::Test::all},        {"any", Condition::Test::any}};

std::string type_name(const Column& column) {
  const std::string name = name_of(kTypes, column.type);
  return column.is_list ? "list[" + name + "]" : name;
}

Column read_column(nb::handle given, std::size_t rows) {
  const nb::tuple fields = nb::cast<nb::tuple>(given);
  Column column;
  column.name = nb::cast<std::string>(fields[0]);
  std::string type = nb::cast<std::string>(fields[1]);
  column.is_list = type.starts_with("list[") && type.ends_with("]");
  if (column.is_list) type = type.substr(5, type.size() - 6);
  column.type = parse(kTypes, type, "type");
  std::size_t count = 0;
  if (column.type == ColumnType::text) {
    const Ids texts = read_some_ids(fields[2], "values");
    count = texts.size();
    if (count > 0 && texts.kind() != Ids::Kind::strings) fail("`values` of text must be an object array of str.");
    column.values = Array<std::uint8_t>(texts.text().size());
    std::copy(texts.text().begin(), texts.text().end(), column.values.begin());
    column.text_ends = Array<std::uint64_t>(count);
    for (std::size_t i = 0; i < count; ++i) column.text_ends[i] = texts.offsets()[i + 1];
  } else {
    const Bytes values(fields[2], Column::value_bytes(column.type), "values");
    count = values.size();
    column.values = Array<std::uint8_t>(values.bytes().size());
    std::copy(values.bytes().begin(), values.bytes().end(), column.values.begin());
  }
  if (column.is_list) {
    const Integers ends(fields[3], "ends");
    const auto given_ends = ends.values();
    const bool rise = std::is_sorted(given_ends.begin(), given_ends.end()) &&
                      (given_ends.empty() || given_ends.front() >= 0) &&
                      (given_ends.empty() ? 0 : given_ends.back()) == static_cast<std::int64_t>(count);
    if (given_ends.size() != rows || !rise) fail("`ends` must rise to the number of values, one for each row.");
    column.list_ends = Array<std::uint64_t>(rows);
    std::copy(given_ends.begin(), given_ends.end(), column.list_ends.begin());
  } else if (count != rows) {
    fail("`values` must have one for each row.");
  }
  if (!fields[4].is_none()) {
    const Mask missing(fields[4], "missing", rows);
    column.missing = Array<std::uint8_t>(rows);
    std::copy(missing.values().begin(), missing.values().end(), column.missing.begin());
  }
  return column;
}

nb::object value_of(const Column& column, std::size_t value) {
  const auto [begin, end] = column.bytes_of(value);
  const std::uint8_t* bytes = column.values.data() + begin;
  switch (column.type) {
    case ColumnType::int64: {
      std::int64_t integer;
      std::memcpy(&integer, bytes, sizeof integer);
      return nb::int_(integer);
    }
    case ColumnType::float64: {
      double real;
      std::memcpy(&real, bytes, sizeof real);
      return nb::float_(real);
    }
    case ColumnType::boolean:
      return nb::bool_(*bytes != 0);
    case ColumnType::text:
      break;
  }
  return nb::str(reinterpret_cast<const char*>(bytes), end - begin);
}

nb::object row_of(const Column* column, std::size_t row) {
  if (column == nullptr || column->is_missing(row)) return nb::none();
  const auto [begin, end] = column->values_of(row);
  if (!column->is_list) return value_of(*column, begin);
  nb::list values;
  for (std::size_t value = begin; value < end; ++value) values.append(value_of(*column, value));
  return values;
}

}  // namespace

std::vector<Column> read_columns(nb::handle columns, std::size_t rows) {
  std::vector<Column> read;
  for (const nb::handle column : nb::cast<nb::list>(columns)) read.push_back(read_column(column, rows));
  return read;
}

Condition read_condition(nb::handle plan) {
  const nb::tuple fields = nb::cast<nb::tuple>(plan);
  Condition condition;
  condition.test = parse(kTests, nb::cast<std::string>(fields[0]), "test");
  if (condition.test == Condition::Test::all || condition.test == Condition::Test::any) {
    for (const nb::handle part : nb::cast<nb::list>(fields[1])) condition.parts.push_back(read_condition(part));
    return condition;
  }
  condition.column = nb::cast<std::string>(fields[1]);
  condition.integers = nb::cast<std::vector<std::int64_t>>(fields[2]);
  condition.reals = nb::cast<std::vector<double>>(fields[3]);
  condition.texts = nb::cast<std::vector<std::string>>(fields[4]);
  condition.negated = nb::cast<bool>(fields[5]);
  std::sort(condition.integers.begin(), condition.integers.end());
  std::sort(condition.reals.begin(), condition.reals.end());
  std::sort(condition.texts.begin(), condition.texts.end());
  return condition;
}

nb::dict types_of(const Snapshot& snapshot) {
  nb::dict types;
  for (const Part& part : snapshot.parts) {
    for (const Column& column : part.segment->columns) types[nb::cast(column.name)] = type_name(column);
  }
  return types;
}

nb::dict values_of(const Snapshot& snapshot, std::span<const std::uint32_t> rows) {
  nb::dict all;
  for (const auto [name, type] : types_of(snapshot)) {
    const auto text = nb::cast<std::string>(name);
    nb::list values;
    for (const std::uint32_t row : rows) {
      const Part& part = snapshot.part_of_row(row);
      values.append(row_of(find_column(part.segment->columns, text), row - part.first));
    }
    all[name] = values;
  }
  return all;
}

}  // namespace shortlist::bindings
