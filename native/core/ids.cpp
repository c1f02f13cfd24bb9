#include "ids.h"

#include <bit>
#include <functional>
#include <utility>

namespace shortlist {
namespace {

// splitmix64's finisher: every bit of the id reaches every bit of the slot.
std::uint64_t hash(std::int64_t id) {
  std::uint64_t h = static_cast<std::uint64_t>(id) + 0x9e3779b97f4a7c15u;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  return h ^ (h >> 31);
}

std::uint64_t hash(std::string_view id) { return std::hash<std::string_view>()(id); }

}  // namespace

Ids::Ids(std::size_t size) : size_(size), lookup_(std::make_shared<Lookup>()) {}

Ids::Ids(Array<std::int64_t> integers)
    : kind_(Kind::integers),
      size_(integers.size()),
      integers_(std::move(integers)),
      lookup_(std::make_shared<Lookup>()) {}

Ids::Ids(Array<char> bytes, Array<std::uint64_t> offsets)
    : kind_(Kind::strings),
      size_(offsets.size() - 1),
      text_(std::move(bytes)),
      offsets_(std::move(offsets)),
      lookup_(std::make_shared<Lookup>()) {}

template <typename Id>
std::uint32_t Ids::find_slot(Id id) const {
  std::call_once(lookup_->once, [this] { fill(); });
  const Array<std::uint32_t>& slots = lookup_->slots;
  const std::size_t mask = slots.size() - 1;
  for (std::size_t slot = hash(id) & mask;; slot = (slot + 1) & mask) {
    const std::uint32_t row = slots[slot];
    if (row == kNone) return kNone;
    if constexpr (std::is_same_v<Id, std::int64_t>) {
      if (integers_[row] == id) return row;
    } else {
      if (string(row) == id) return row;
    }
  }
}

void Ids::fill() const {
  Lookup& lookup = *lookup_;
  lookup.slots = Array<std::uint32_t>(std::bit_ceil(2 * size_ + 1), kNone);
  const std::size_t mask = lookup.slots.size() - 1;
  const auto insert = [&](auto id, auto same, std::uint32_t row) {
    std::size_t slot = hash(id) & mask;
    for (; lookup.slots[slot] != kNone; slot = (slot + 1) & mask) {
      if (same(lookup.slots[slot])) {
        if (lookup.duplicate == kNone) lookup.duplicate = row;
        return;
      }
    }
    lookup.slots[slot] = row;
  };
  for (std::uint32_t row = 0; row < size_; ++row) {
    if (kind_ == Kind::integers) {
      insert(integers_[row], [&](std::uint32_t other) { return integers_[other] == integers_[row]; }, row);
    } else {
      insert(string(row), [&](std::uint32_t other) { return string(other) == string(row); }, row);
    }
  }
}

std::uint32_t Ids::find(std::int64_t id) const {
  if (kind_ == Kind::integers) return find_slot(id);
  const bool known = kind_ == Kind::rows && id >= 0 && static_cast<std::uint64_t>(id) < size_;
  return known ? static_cast<std::uint32_t>(id) : kNone;
}

std::uint32_t Ids::find(std::string_view id) const { return kind_ == Kind::strings ? find_slot(id) : kNone; }

std::uint32_t Ids::first_duplicate() const {
  if (kind_ == Kind::rows) return kNone;
  std::call_once(lookup_->once, [this] { fill(); });
  return lookup_->duplicate;
}

}  // namespace shortlist
