#pragma once

#include "kernels/kernels.h"

namespace shortlist {

extern const Kernels kScalarKernels;

}  // namespace shortlist
