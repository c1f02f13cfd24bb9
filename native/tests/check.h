// What a native test needs: a check that says where it failed, and an exit status.
#pragma once

#include <cstdio>
#include <string>

namespace shortlist::testing {

inline int failures = 0;

// The built-ins say what std::source_location does, which Clang 14 lacks.
inline void check(bool holds, const std::string& what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (holds) return;
  if (++failures <= 20) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

// What main returns.
inline int finish() {
  if (failures > 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace shortlist::testing
