// Segments written together as one.
#pragma once

#include <span>

#include "index.h"

namespace shortlist {

// The rows of some parts that follow one another, without the deleted ones, as one segment: in their order, with their
// codes and values. `centroids` are the codebook's coded centroids.
Segment merge(const Codebook& codebook, const Array<float>& centroids, std::span<const Part> parts);

}  // namespace shortlist
