#pragma once

#include "kernels/kernels.h"

namespace shortlist {

extern const Kernels kNeonKernels;

}  // namespace shortlist
