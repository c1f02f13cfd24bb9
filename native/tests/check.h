// What a native test needs: a check that says where it failed, and an exit status.
#pragma once

#include <cstdio>
#include <source_location>
#include <string>

namespace shortlist::testing {

inline int failures = 0;

inline void check(bool holds, const std::string& what, std::source_location where = std::source_location::current()) {
  if (holds) return;
  if (++failures <= 20) std::printf("%s:%u: %s\n", where.file_name(), unsigned{where.line()}, what.c_str());
}

// What main returns.
inline int finish() {
  if (failures > 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace shortlist::testing
