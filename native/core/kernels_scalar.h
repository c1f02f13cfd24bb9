#pragma once

#include "kernels.h"

namespace shortlist {

extern const Kernels kScalarKernels;

}  // namespace shortlist
