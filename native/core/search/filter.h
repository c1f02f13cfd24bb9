// Which rows a search may return: the same ones for every query (`Filter`), less some for each (`Excluded`).
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "array.h"

namespace shortlist {

struct Condition;
struct Segment;
struct Settings;
struct Snapshot;

// Rows of a snapshot that may be returned, as the scans read them. Leaves and groups without any are never visited.
struct Filter {
  std::size_t count = 0;
  std::vector<Array<std::uint16_t>> rows;  // for each part, one mask a block of its codes
  Array<std::uint32_t> in_cell;            // how many rows of each cell
  Array<std::uint16_t> leaves;             // one mask a block of the coded centroids
  Array<std::uint8_t> groups;              // 1 = has rows
  std::vector<std::uint32_t> positions;    // of the rows, where they are few: these are scored one by one
  double per_leaf = 0.0;                   // rows of a leaf that has any, on average
  bool is_uneven = false;                  // whether some leaves have a far larger share of their rows than others
  std::uint64_t snapshot = 0;              // the number of the snapshot that this is for

  bool is_few() const { return positions.size() == count; }
  std::size_t bytes() const;
};

// The settings with which a search finds as much of what the filter allows as it would of all rows with these. The
// fewer rows a filter allows, the further away are the best of them: in more leaves.
Settings settings_for(const Filter& filter, const Snapshot& snapshot, const Settings& settings, std::size_t k);

// Allows the rows for which allowed[row] is not 0 and that are not deleted.
Filter make_filter(const Snapshot& snapshot, std::span<const std::uint8_t> allowed);

// Allows the rows that meet the condition and are not deleted.
Filter make_filter(const Snapshot& snapshot, const Condition& condition);

// What a filter of one snapshot allows in a later one: the rows of the same ids.
Filter follow(const Filter& filter, const Snapshot& before, const Snapshot& now);

// The same of a filter with a condition, which is asked of the segments that are new.
Filter follow(const Filter& filter, const std::vector<std::weak_ptr<const Segment>>& before, const Snapshot& now,
              const Condition& condition);

// Rows that both filters of the snapshot allow, one of them, or not this one.
Filter both(const Snapshot& snapshot, const Filter& a, const Filter& b);
Filter either(const Snapshot& snapshot, const Filter& a, const Filter& b);
Filter opposite(const Snapshot& snapshot, const Filter& filter);

// Sets allowed[row] to 1 for the rows that the filter allows, and to 0 for the others.
void read_filter(const Snapshot& snapshot, const Filter& filter, std::span<std::uint8_t> allowed);

// Positions that one query must not get, in a table of twice their number.
class Excluded {
 public:
  void clear() { size_ = 0; }
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  // Makes the table for up to `count` positions.
  void reset(std::size_t count) {
    size_ = 0;
    slots_.assign(std::bit_ceil(2 * count + 2), kNone);
    shift_ = 64 - std::countr_zero(slots_.size());
  }
  void insert(std::uint32_t position) {
    std::size_t slot = find(position);
    if (slots_[slot] == position) return;
    slots_[slot] = position;
    ++size_;
  }
  bool contains(std::uint32_t position) const { return slots_[find(position)] == position; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  std::size_t find(std::uint32_t position) const {
    std::size_t slot = static_cast<std::size_t>(position * 0x9e3779b97f4a7c15u >> shift_);
    while (slots_[slot] != kNone && slots_[slot] != position) slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }

  std::vector<std::uint32_t> slots_;
  std::size_t size_ = 0;
  int shift_ = 63;
};

}  // namespace shortlist
