// A kind of index that tests go through: how it scores, and what it keeps of a row.
#pragma once

#include <string>

#include "index.h"

namespace shortlist::testing {

struct Kind {
  Metric metric;
  RowCodes codes;
  Store store;
  std::string name() const {
    return "metric " + std::to_string(static_cast<int>(metric)) + ", codes " + std::to_string(static_cast<int>(codes)) +
           ", store " + std::to_string(static_cast<int>(store)) + ": ";
  }
};

}  // namespace shortlist::testing
