#include "search/condition.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace shortlist {
namespace {

// Calls test(value) for the values of each row that has some; a row passes where one does.
template <typename Read, typename Test>
void test_rows(const Column& column, bool negated, const Read& read, const Test& test,
               std::vector<std::uint8_t>& passed) {
  for (std::size_t row = 0; row < passed.size(); ++row) {
    if (column.is_missing(row)) continue;
    const auto [begin, end] = column.values_of(row);
    bool passes = false;
    for (std::size_t value = begin; value < end && !passes; ++value) passes = test(read(value));
    passed[row] = passes != negated ? 1 : 0;
  }
}

template <typename Value, typename Bound, typename Read>
void compare_rows(const Condition& condition, const Column& column, const std::vector<Bound>& bounds, const Read& read,
                  std::vector<std::uint8_t>& passed) {
  const auto test_with = [&](const auto& test) { test_rows(column, condition.negated, read, test, passed); };
  const auto& bound = bounds[0];
  switch (condition.test) {
    case Condition::Test::below:
      return test_with([&](Value value) { return value < bound; });
    case Condition::Test::at_most:
      return test_with([&](Value value) { return value <= bound; });
    case Condition::Test::above:
      return test_with([&](Value value) { return value > bound; });
    case Condition::Test::at_least:
      return test_with([&](Value value) { return value >= bound; });
    default:
      if (bounds.size() == 1) return test_with([&](Value value) { return value == bound; });
      return test_with([&](Value value) { return std::binary_search(bounds.begin(), bounds.end(), value); });
  }
}

template <typename T>
T read_value(const Column& column, std::size_t value) {
  T result;
  std::memcpy(&result, &column.values[value * sizeof(T)], sizeof(T));
  return result;
}

void test_column(const Condition& condition, const Column& column, std::vector<std::uint8_t>& passed) {
  if (condition.test == Condition::Test::missing) {
    for (std::size_t row = 0; row < passed.size(); ++row) passed[row] = column.is_missing(row) != condition.negated;
    return;
  }
  if (condition.integers.empty() && condition.reals.empty() && condition.texts.empty()) {  // among nothing
    test_rows(column, condition.negated, [](std::size_t) { return 0; }, [](int) { return false; }, passed);
    return;
  }
  switch (column.type) {
    case ColumnType::text: {
      const auto read = [&](std::size_t value) {
        const auto [begin, end] = column.bytes_of(value);
        return std::string_view(reinterpret_cast<const char*>(column.values.data()) + begin, end - begin);
      };
      return compare_rows<std::string_view>(condition, column, condition.texts, read, passed);
    }
    case ColumnType::float64: {
      const auto read = [&](std::size_t value) { return read_value<double>(column, value); };
      return compare_rows<double>(condition, column, condition.reals, read, passed);
    }
    case ColumnType::boolean: {
      const auto read = [&](std::size_t value) { return std::int64_t{column.values[value] != 0}; };
      return compare_rows<std::int64_t>(condition, column, condition.integers, read, passed);
    }
    case ColumnType::int64: {
      if (!condition.reals.empty()) {  // compared with a number that is not whole
        const auto read = [&](std::size_t value) {
          return static_cast<double>(read_value<std::int64_t>(column, value));
        };
        return compare_rows<double>(condition, column, condition.reals, read, passed);
      }
      const auto read = [&](std::size_t value) { return read_value<std::int64_t>(column, value); };
      return compare_rows<std::int64_t>(condition, column, condition.integers, read, passed);
    }
  }
}

}  // namespace

std::vector<std::uint8_t> rows_meeting(const Condition& condition, const Segment& segment) {
  std::vector<std::uint8_t> rows(segment.size, condition.test == Condition::Test::all ? 1 : 0);
  if (condition.test == Condition::Test::all || condition.test == Condition::Test::any) {
    for (const Condition& part : condition.parts) {
      const std::vector<std::uint8_t> own = rows_meeting(part, segment);
      for (std::size_t row = 0; row < rows.size(); ++row) {
        rows[row] = condition.test == Condition::Test::all ? rows[row] & own[row] : rows[row] | own[row];
      }
    }
    return rows;
  }
  if (const Column* column = find_column(segment.columns, condition.column)) {
    test_column(condition, *column, rows);
  } else if (condition.test == Condition::Test::missing && !condition.negated) {
    std::fill(rows.begin(), rows.end(), std::uint8_t{1});
  }
  return rows;
}

}  // namespace shortlist
