#pragma once

#include "kernels/kernels.h"

namespace shortlist {

extern const Kernels kAvx512Kernels;

}  // namespace shortlist
