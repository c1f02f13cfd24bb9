// Chooses the kernels for this machine once, when they are first asked for.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/kernels.h"

namespace shortlist {

// The levels this binary holds and this machine can run, best first; the last is always scalar.
std::vector<const Kernels*> available_kernels();

// The level named by the environment variable SHORTLIST_SIMD (scalar, avx2, avx512 or neon), otherwise the
// best available one. Throws std::invalid_argument for a name that is unknown or cannot run here.
const Kernels& active_kernels();

// The available level called `name`, or null.
const Kernels* find_kernels(std::string_view name);

}  // namespace shortlist
