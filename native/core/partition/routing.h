// How many groups of leaves a query has to look into, measured on the rows it is learnt from.
#pragma once

#include <cstddef>

#include "codebook.h"

namespace shortlist {

// How many groups hold 97 % of the best leaves of a few rows taken as queries. Where centroids cluster well it is an
// eighth of all groups; where they lie in random directions, nearly all. `order` has the rows leaf by leaf.
std::size_t groups_needed(const Codebook& codebook, const float* rows, const Array<std::uint32_t>& order);

// What the spread of a leaf should count for: the number of standard deviations, divided by the root of the dimension,
// with which the leaves of some rows' true neighbours rank best. 0 where that hardly helps. `leaf_of` has the leaf of
// every row, `means` and `spreads` those of the leaves; rows in leaves beyond these are found without ranking.
float learn_spread(const Codebook& codebook, const float* rows, std::size_t size, const Array<std::uint32_t>& leaf_of,
                   const float* means, const Array<float>& spreads, std::size_t threads);

}  // namespace shortlist
