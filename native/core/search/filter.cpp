#include "search/filter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "index.h"
#include "search/condition.h"

namespace shortlist {
namespace {

// Sets the bit of each row of the codes that allowed(position) picks.
template <typename Allowed>
Array<std::uint16_t> masks_of(const Codes& codes, const Allowed& allowed) {
  const std::size_t cells = codes.num_cells();
  Array<std::uint16_t> masks(codes.first_block[cells], 0);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    for (std::size_t i = 0; i < codes.count(cell); ++i) {
      if (!allowed(codes.starts[cell] + i)) continue;
      std::uint16_t& mask = masks[codes.first_block[cell] + i / kBlockRows];
      mask = static_cast<std::uint16_t>(mask | 1u << i % kBlockRows);
    }
  }
  return masks;
}

// Adds up how many rows of each cell the masks have.
void count(const Codes& codes, const Array<std::uint16_t>& masks, Array<std::uint32_t>& counts) {
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    std::uint32_t in_cell = 0;
    for (std::size_t block = codes.first_block[cell]; block < codes.first_block[cell + 1]; ++block) {
      in_cell += static_cast<std::uint32_t>(std::popcount(masks[block]));
    }
    counts[cell] += in_cell;
  }
}

// Calls take(position) for the rows of the masks.
template <typename Take>
void for_each_row(const Codes& codes, const Array<std::uint16_t>& masks, const Take& take) {
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    const std::size_t first = codes.first_block[cell];
    for (std::size_t block = first; block < codes.first_block[cell + 1]; ++block) {
      for (unsigned mask = masks[block]; mask != 0; mask &= mask - 1) {
        take(codes.starts[cell] + static_cast<std::uint32_t>((block - first) * kBlockRows) +
             static_cast<std::uint32_t>(std::countr_zero(mask)));
      }
    }
  }
}

// So many rows are scored one by one in the time of an approximate search, and exactly: 4,096 of 32 dimensions take
// some 50 microseconds.
std::size_t few_rows(const Snapshot& snapshot) {
  constexpr std::size_t kBytes = 4096 * 32 * sizeof(float);
  const std::size_t row_bytes = snapshot.codebook->dim * StoredRows::value_bytes(snapshot.parts[0].segment->rows.store);
  return std::clamp<std::size_t>(kBytes / row_bytes, 1024, 4096);
}

void describe_leaves(const Snapshot& snapshot, Filter& filter) {
  const std::size_t leaves = snapshot.codebook->num_leaves();
  double rows = 0.0, squares = 0.0, filled = 0.0, all = 0.0, all_squares = 0.0;
  for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
    const double own = filter.in_cell[leaf];
    double size = 0.0;
    for (const Part& part : snapshot.parts) size += static_cast<double>(part.segment->codes.count(leaf));
    rows += own;
    squares += own * own;
    filled += own > 0.0 ? 1.0 : 0.0;
    all += size;
    all_squares += size * size;
  }
  if (filled == 0.0) return;
  filter.per_leaf = rows / filled;
  // Rows chosen at random have as many leaves to themselves as all rows have, in the sense of Herfindahl's index; their
  // number alone adds `rows` to the squares.
  const double even = rows * rows / (all * all) * all_squares;
  filter.is_uneven = squares - rows > 1.25 * even;
}

// Of these rows of each part, those that are not deleted.
Filter filter_of(const Snapshot& snapshot, std::vector<Array<std::uint16_t>> masks) {
  const Codebook& codebook = *snapshot.codebook;
  Filter filter;
  filter.snapshot = snapshot.number;
  filter.rows = std::move(masks);
  filter.in_cell = Array<std::uint32_t>(codebook.num_cells(), 0);
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    const Part& part = snapshot.parts[p];
    if (part.deletions != nullptr) {
      Array<std::uint16_t> left(filter.rows[p].size());
      for (std::size_t block = 0; block < left.size(); ++block) {
        left[block] = static_cast<std::uint16_t>(filter.rows[p][block] & part.deletions->masks[block]);
      }
      filter.rows[p] = std::move(left);
    }
    count(part.segment->codes, filter.rows[p], filter.in_cell);
  }
  for (const std::uint32_t in_cell : filter.in_cell) filter.count += in_cell;
  filter.leaves = masks_of(codebook.centroids, [&](std::size_t leaf) { return filter.in_cell[leaf] != 0; });
  Array<std::uint32_t> in_group(codebook.centroids.num_cells(), 0);
  count(codebook.centroids, filter.leaves, in_group);
  filter.groups = Array<std::uint8_t>(in_group.size());
  for (std::size_t group = 0; group < in_group.size(); ++group) filter.groups[group] = in_group[group] != 0;
  describe_leaves(snapshot, filter);
  if (filter.count > few_rows(snapshot)) return filter;
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    const Part& part = snapshot.parts[p];
    for_each_row(part.segment->codes, filter.rows[p],
                 [&](std::uint32_t position) { filter.positions.push_back(part.first + position); });
  }
  return filter;
}

Array<std::uint16_t> masks_meeting(const Condition& condition, const Segment& segment) {
  const std::vector<std::uint8_t> rows = rows_meeting(condition, segment);
  return masks_of(segment.codes, [&](std::size_t position) { return rows[segment.row_of[position]] != 0; });
}

// Combines the masks of filters block by block.
template <typename Combine>
Filter combined(const Snapshot& snapshot, const Filter& a, const Filter& b, const Combine& combine) {
  std::vector<Array<std::uint16_t>> masks;
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    Array<std::uint16_t> own(a.rows[p].size());
    for (std::size_t block = 0; block < own.size(); ++block) {
      own[block] = static_cast<std::uint16_t>(combine(a.rows[p][block], b.rows[p][block]));
    }
    masks.push_back(std::move(own));
  }
  return filter_of(snapshot, std::move(masks));
}

}  // namespace

Settings settings_for(const Filter& filter, const Snapshot& snapshot, const Settings& settings, std::size_t k) {
  // Measured with settings tuned to a recall of .95 without a filter, on scaled copies and on clusters of 32
  // dimensions, with random and with clustered filters: so many leaves gave the recall without one. At random, 2 to 6
  // times the leaves were needed where a half to a hundredth of the rows is allowed, and more where a leaf had fewer
  // than k of them; where the filter follows the clusters, up to a hundred leaves, however few were without it.
  constexpr double kRowsForEach = 40.0;
  constexpr double kUnevenLeaves = 100.0;
  if (settings.exact || filter.is_few()) return settings;
  const double share = static_cast<double>(filter.count) / static_cast<double>(snapshot.num_live);
  if (share >= 0.95) return settings;
  double leaves = settings.leaves / std::sqrt(share);
  leaves = std::max(leaves, kRowsForEach * static_cast<double>(k) / std::max(1.0, filter.per_leaf));
  if (filter.is_uneven) leaves = std::max(leaves, kUnevenLeaves);
  Settings wider = settings;
  wider.leaves = static_cast<std::uint32_t>(std::ceil(
      std::min(leaves, std::max<double>(settings.leaves, static_cast<double>(snapshot.codebook->num_leaves())))));
  if (wider.leaves > settings.leaves) wider.groups = 0;
  return wider;
}

std::size_t Filter::bytes() const {
  std::size_t total = leaves.bytes() + groups.bytes() + in_cell.bytes();
  for (const Array<std::uint16_t>& masks : rows) total += masks.bytes();
  return total;
}

Filter make_filter(const Snapshot& snapshot, std::span<const std::uint8_t> allowed) {
  std::vector<Array<std::uint16_t>> masks;
  for (const Part& part : snapshot.parts) {
    const Segment& segment = *part.segment;
    masks.push_back(masks_of(
        segment.codes, [&](std::size_t position) { return allowed[part.first + segment.row_of[position]] != 0; }));
  }
  return filter_of(snapshot, std::move(masks));
}

Filter make_filter(const Snapshot& snapshot, const Condition& condition) {
  std::vector<Array<std::uint16_t>> masks;
  for (const Part& part : snapshot.parts) masks.push_back(masks_meeting(condition, *part.segment));
  return filter_of(snapshot, std::move(masks));
}

Filter both(const Snapshot& snapshot, const Filter& a, const Filter& b) {
  return combined(snapshot, a, b, [](unsigned x, unsigned y) { return x & y; });
}

Filter either(const Snapshot& snapshot, const Filter& a, const Filter& b) {
  return combined(snapshot, a, b, [](unsigned x, unsigned y) { return x | y; });
}

Filter opposite(const Snapshot& snapshot, const Filter& filter) {
  const Filter every = make_filter(snapshot, Condition{});
  return combined(snapshot, every, filter, [](unsigned x, unsigned y) { return x & ~y; });
}

Filter follow(const Filter& filter, const std::vector<std::weak_ptr<const Segment>>& before, const Snapshot& now,
              const Condition& condition) {
  std::vector<Array<std::uint16_t>> masks;
  for (const Part& part : now.parts) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const std::weak_ptr<const Segment>& other) {
      return !other.owner_before(part.segment) && !part.segment.owner_before(other);
    });
    masks.push_back(same == before.end() ? masks_meeting(condition, *part.segment)
                                         : filter.rows[static_cast<std::size_t>(same - before.begin())]);
  }
  return filter_of(now, std::move(masks));
}

Filter follow(const Filter& filter, const Snapshot& before, const Snapshot& now) {
  std::vector<Array<std::uint16_t>> masks;
  for (const Part& part : now.parts) {
    const Segment& segment = *part.segment;
    const auto same = std::find_if(before.parts.begin(), before.parts.end(),
                                   [&](const Part& other) { return other.segment == part.segment; });
    if (same != before.parts.end()) {
      masks.push_back(filter.rows[static_cast<std::size_t>(same - before.parts.begin())]);
      continue;
    }
    const bool are_text = segment.ids.kind() == Ids::Kind::strings;
    masks.push_back(masks_of(segment.codes, [&](std::size_t position) {
      const std::uint32_t own = segment.row_of[position];
      const std::uint32_t row = are_text ? before.find(segment.ids.string(own)) : before.find(segment.ids.integer(own));
      if (row == Ids::kNone) return false;
      const Part& from = before.part_of_row(row);
      const Codes::Place place = from.segment->codes.place_of(from.segment->position_of[row - from.first]);
      const auto p = static_cast<std::size_t>(&from - before.parts.data());
      return (filter.rows[p][place.block] >> place.j & 1u) != 0;
    }));
  }
  return filter_of(now, std::move(masks));
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
