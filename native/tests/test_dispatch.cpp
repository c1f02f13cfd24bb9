// The level is chosen by the machine and can be overridden by name.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "check.h"
#include "kernels/dispatch.h"

using shortlist::testing::check;

int main() {
  const auto levels = shortlist::available_kernels();
  check(!levels.empty() && std::strcmp(levels.back()->name, "scalar") == 0, "scalar is the last resort");
  for (const shortlist::Kernels* level : levels) {
    check(shortlist::find_kernels(level->name) == level, std::string(level->name) + " is found by its name");
  }
  check(shortlist::find_kernels("sse9") == nullptr, "an unknown level is not found");

  setenv("SHORTLIST_SIMD", "sse9", 1);
  std::string message;
  try {
    shortlist::active_kernels();
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  check(message.find("scalar") != std::string::npos && message.find("'sse9'") != std::string::npos,
        "an unknown SHORTLIST_SIMD is refused with the names that would do: " + message);

  setenv("SHORTLIST_SIMD", "scalar", 1);
  check(std::strcmp(shortlist::active_kernels().name, "scalar") == 0, "SHORTLIST_SIMD is obeyed");
  setenv("SHORTLIST_SIMD", levels.front()->name, 1);
  check(std::strcmp(shortlist::active_kernels().name, "scalar") == 0, "the choice is made once");
  return shortlist::testing::finish();
}
