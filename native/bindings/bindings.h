#pragma once

#include <nanobind/nanobind.h>

namespace shortlist::bindings {

void bind_codebook(nanobind::module_& m);
void bind_index(nanobind::module_& m);
void bind_train(nanobind::module_& m);

}  // namespace shortlist::bindings
