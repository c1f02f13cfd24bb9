#include "kernels/dispatch.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels/scalar.h"
#ifdef SHORTLIST_HAS_AVX2
#include "kernels/avx2.h"
#endif
#ifdef SHORTLIST_HAS_AVX512
#include "kernels/avx512.h"
#endif
#ifdef SHORTLIST_HAS_NEON
#ifdef __linux__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "kernels/neon.h"
#endif

namespace shortlist {
namespace {

#ifdef SHORTLIST_HAS_AVX512
bool runs_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}
#endif

#ifdef SHORTLIST_HAS_NEON
bool runs_neon() {
#ifdef __linux__
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;  // every 64-bit Apple computer has the dot product instructions
#endif
}
#endif

const Kernels& choose() {
  const char* name = std::getenv("SHORTLIST_SIMD");
  if (name == nullptr || *name == '\0') return *available_kernels().front();
  if (const Kernels* found = find_kernels(name)) return *found;
  std::string names;
  for (const Kernels* level : available_kernels()) {
    names += (names.empty() ? "" : ", ") + std::string(level->name);
  }
  throw std::invalid_argument("SHORTLIST_SIMD must be one of the levels this machine can run (" + names + "), got '" +
                              name + "'.");
}

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> levels;
#ifdef SHORTLIST_HAS_AVX512
  if (runs_avx512()) levels.push_back(&kAvx512Kernels);
#endif
#ifdef SHORTLIST_HAS_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) levels.push_back(&kAvx2Kernels);
#endif
#ifdef SHORTLIST_HAS_NEON
  if (runs_neon()) levels.push_back(&kNeonKernels);
#endif
  levels.push_back(&kScalarKernels);
  return levels;
}

const Kernels* find_kernels(std::string_view name) {
  for (const Kernels* level : available_kernels()) {
    if (name == level->name) return level;
  }
  return nullptr;
}

const Kernels& active_kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace shortlist
