#pragma once

#include "kernels/kernels.h"

namespace shortlist {

extern const Kernels kAvx2Kernels;

}  // namespace shortlist
