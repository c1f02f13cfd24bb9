#include "kernels/dispatch.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels/scalar.h"
#ifdef SHORTLIST_HAS_AVX2
#include <cpuid.h>

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

#ifdef SHORTLIST_HAS_AVX2
// Asked of the processor itself: __builtin_cpu_supports answers no to everything where the compiler's runtime is
// Zig's, which builds the wheels.
struct Processor {
  bool avx2 = false;
  bool avx512 = false;

  Processor() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0 || (c & bit_FMA) == 0) return;
    unsigned saved = 0, high = 0;  // the registers that the system keeps for each thread
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x06) != 0x06 || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;
    avx2 = (b & bit_AVX2) != 0;
    constexpr unsigned kWide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    constexpr unsigned kBytes = bit_AVX512VBMI | bit_AVX512VNNI;
    avx512 = avx2 && (saved & 0xe6) == 0xe6 && (b & kWide) == kWide && (c & kBytes) == kBytes;
  }
};
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
#ifdef SHORTLIST_HAS_AVX2
  const Processor processor;
#endif
#ifdef SHORTLIST_HAS_AVX512
  if (processor.avx512) levels.push_back(&kAvx512Kernels);
#endif
#ifdef SHORTLIST_HAS_AVX2
  if (processor.avx2) levels.push_back(&kAvx2Kernels);
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
