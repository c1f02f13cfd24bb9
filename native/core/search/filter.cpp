#include "search/filter.h"

#include "index.h"

namespace shortlist {
namespace {

// Sets the bit of each row that `allowed` picks, and returns how many each cell has.
template <typename Allowed>
std::vector<std::size_t> set_bits(const Codes& codes, Array<std::uint16_t>& masks, const Allowed& allowed) {
  const std::size_t cells = codes.num_cells();
  masks = Array<std::uint16_t>(codes.first_block[cells], 0);
  std::vector<std::size_t> counts(cells, 0);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    for (std::size_t i = 0; i < codes.count(cell); ++i) {
      if (!allowed(codes.starts[cell] + i)) continue;
      std::uint16_t& mask = masks[codes.first_block[cell] + i / kBlockRows];
      mask = static_cast<std::uint16_t>(mask | 1u << i % kBlockRows);
      ++counts[cell];
    }
  }
  return counts;
}

}  // namespace

Filter make_filter(const Index& index, std::span<const std::uint8_t> allowed) {
  Filter filter;
  filter.row_of = index.row_of;
  const auto in_leaf =
      set_bits(index.codes, filter.rows, [&](std::size_t position) { return allowed[index.row_of[position]] != 0; });
  for (const std::size_t count : in_leaf) filter.count += count;
  const auto in_group = set_bits(index.centroids, filter.leaves, [&](std::size_t leaf) { return in_leaf[leaf] != 0; });
  filter.groups = Array<std::uint8_t>(in_group.size());
  for (std::size_t group = 0; group < in_group.size(); ++group) filter.groups[group] = in_group[group] != 0;
  if (filter.count > Filter::kFew) return filter;
  for (std::uint32_t position = 0; position < index.size; ++position) {
    if (allowed[index.row_of[position]] != 0) filter.positions.push_back(position);
  }
  return filter;
}

void read_filter(const Index& index, const Filter& filter, std::span<std::uint8_t> allowed) {
  const Codes& codes = index.codes;
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    for (std::size_t i = 0; i < codes.count(cell); ++i) {
      const std::uint16_t mask = filter.rows[codes.first_block[cell] + i / kBlockRows];
      allowed[index.row_of[codes.starts[cell] + i]] = static_cast<std::uint8_t>(mask >> i % kBlockRows & 1u);
    }
  }
}

}  // namespace shortlist
