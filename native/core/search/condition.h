// Conditions on the columns of rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "columns.h"
#include "segment.h"

namespace shortlist {

// Either several conditions, or a test of one column. A row without a value meets no test but `missing`, also where the
// test is negated.
struct Condition {
  enum class Test { all, any, among, below, at_most, above, at_least, missing };
  Test test = Test::all;
  std::vector<Condition> parts;  // of all and any

  std::string column;
  bool negated = false;
  // What the values of the column are compared with, of its type. `among` takes any number, comparisons one. Of a list
  // one value that passes is enough.
  std::vector<std::int64_t> integers;  // booleans too; sorted
  std::vector<double> reals;           // sorted
  std::vector<std::string> texts;      // sorted
};

// Which rows of the segment meet the condition, by row.
std::vector<std::uint8_t> rows_meeting(const Condition& condition, const Segment& segment);

}  // namespace shortlist
