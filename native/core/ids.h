// The caller's own names for rows: the row numbers themselves, int64 or UTF-8 strings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "array.h"

namespace shortlist {

class Ids {
 public:
  enum class Kind : std::uint32_t { rows = 0, integers = 1, strings = 2 };
  static constexpr std::uint32_t kNone = 0xffffffffu;

  Ids() : lookup_(std::make_shared<Lookup>()) {}
  // Row numbers 0 .. size - 1.
  explicit Ids(std::size_t size);
  explicit Ids(Array<std::int64_t> integers);
  // String i is bytes[offsets[i] .. offsets[i + 1]).
  Ids(Array<char> bytes, Array<std::uint64_t> offsets);

  Kind kind() const { return kind_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return integers_.bytes() + text_.bytes() + offsets_.bytes(); }
  std::int64_t integer(std::size_t row) const {
    return kind_ == Kind::integers ? integers_[row] : static_cast<std::int64_t>(row);
  }
  std::string_view string(std::size_t row) const {
    return {text_.data() + offsets_[row], static_cast<std::size_t>(offsets_[row + 1] - offsets_[row])};
  }

  // The row called `id`, or kNone. The first call builds the table.
  std::uint32_t find(std::int64_t id) const;
  std::uint32_t find(std::string_view id) const;

  // The first row whose id an earlier row already has, or kNone.
  std::uint32_t first_duplicate() const;

  const Array<std::int64_t>& integers() const { return integers_; }
  const Array<char>& text() const { return text_; }
  const Array<std::uint64_t>& offsets() const { return offsets_; }

 private:
  struct Lookup {
    std::once_flag once;
    Array<std::uint32_t> slots;  // a row or kNone, open addressing
    std::uint32_t duplicate = kNone;
  };
  template <typename Id>
  std::uint32_t find_slot(Id id) const;
  void fill() const;

  Kind kind_ = Kind::rows;
  std::size_t size_ = 0;
  Array<std::int64_t> integers_;
  Array<char> text_;
  Array<std::uint64_t> offsets_;
  std::shared_ptr<Lookup> lookup_;  // shared by copies, which hold the same ids
};

}  // namespace shortlist
