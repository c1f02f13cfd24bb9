// The only place where Python and the engine meet.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "index.h"
#include "kernels/dispatch.h"

namespace nb = nanobind;
using namespace nb::literals;

NB_MODULE(_native, m) {
  m.doc() = "The engine of Shortlist.";
  // Settings that a module or a traceback still holds when Python ends are no leak worth a message to people.
  nb::set_leak_warnings(false);
  m.attr("MAX_DIM") = shortlist::kMaxDim;
  m.attr("MAX_K") = shortlist::kMaxK;
  shortlist::bindings::import_numpy();
  shortlist::bindings::bind_codebook(m);
  shortlist::bindings::bind_index(m);
  shortlist::bindings::bind_train(m);
  m.def(
      "simd_level", [] { return std::string(shortlist::active_kernels().name); },
      "The instruction set chosen for this process.");
  m.def(
      "simd_levels",
      [] {
        std::vector<std::string> names;
        for (const shortlist::Kernels* level : shortlist::available_kernels()) names.emplace_back(level->name);
        return names;
      },
      "The instruction sets this machine can run, best first.");
}
