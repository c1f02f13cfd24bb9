#include "search/filter.h"

#include "index.h"

namespace shortlist {
namespace {

// Sets the bit of each row that `allowed` picks, and adds to `counts` how many each cell has.
template <typename Allowed>
Array<std::uint16_t> masks_of(const Codes& codes, const Allowed& allowed, std::vector<std::size_t>& counts) {
  const std::size_t cells = codes.num_cells();
  Array<std::uint16_t> masks(codes.first_block[cells], 0);
  counts.resize(cells);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    for (std::size_t i = 0; i < codes.count(cell); ++i) {
      if (!allowed(codes.starts[cell] + i)) continue;
      std::uint16_t& mask = masks[codes.first_block[cell] + i / kBlockRows];
      mask = static_cast<std::uint16_t>(mask | 1u << i % kBlockRows);
      ++counts[cell];
    }
  }
  return masks;
}

}  // namespace

std::size_t Filter::bytes() const {
  std::size_t total = leaves.bytes() + groups.bytes();
  for (const Array<std::uint16_t>& masks : rows) total += masks.bytes();
  return total;
}

Filter make_filter(const Snapshot& snapshot, std::span<const std::uint8_t> allowed) {
  const Codebook& codebook = *snapshot.codebook;
  Filter filter;
  filter.snapshot = snapshot.number;
  std::vector<std::size_t> in_leaf(codebook.num_cells(), 0);
  for (const Part& part : snapshot.parts) {
    const Segment& segment = *part.segment;
    filter.rows.push_back(masks_of(
        segment.codes, [&](std::size_t position) { return allowed[part.first + segment.row_of[position]] != 0; },
        in_leaf));
  }
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    const Array<std::uint16_t>& live = snapshot.parts[p].live;
    Array<std::uint16_t>& masks = filter.rows[p];
    for (std::size_t block = 0; block < live.size(); ++block) {
      masks[block] = static_cast<std::uint16_t>(masks[block] & live[block]);
    }
    for (const std::uint16_t mask : masks) filter.count += static_cast<std::size_t>(std::popcount(mask));
  }
  std::vector<std::size_t> in_group;
  filter.leaves = masks_of(codebook.centroids, [&](std::size_t leaf) { return in_leaf[leaf] != 0; }, in_group);
  filter.groups = Array<std::uint8_t>(in_group.size());
  for (std::size_t group = 0; group < in_group.size(); ++group) filter.groups[group] = in_group[group] != 0;
  if (filter.count > Filter::kFew) return filter;
  for (const Part& part : snapshot.parts) {
    for (std::size_t position = 0; position < part.segment->size; ++position) {
      if (allowed[part.first + part.segment->row_of[position]] == 0 || part.is_deleted(position)) continue;
      filter.positions.push_back(part.first + static_cast<std::uint32_t>(position));
    }
  }
  return filter;
}

void read_filter(const Snapshot& snapshot, const Filter& filter, std::span<std::uint8_t> allowed) {
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    const Part& part = snapshot.parts[p];
    const Codes& codes = part.segment->codes;
    for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
      for (std::size_t i = 0; i < codes.count(cell); ++i) {
        const std::uint16_t mask = filter.rows[p][codes.first_block[cell] + i / kBlockRows];
        const std::uint32_t row = part.first + part.segment->row_of[codes.starts[cell] + i];
        allowed[row] = static_cast<std::uint8_t>(mask >> i % kBlockRows & 1u);
      }
    }
  }
}

}  // namespace shortlist
