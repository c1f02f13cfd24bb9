#pragma once

#include "kernels.h"

namespace shortlist {

extern const Kernels kNeonKernels;

}  // namespace shortlist
