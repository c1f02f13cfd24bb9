// The sections of an index file, or of the same in memory: the file is whole and every section lies within it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "array.h"
#include "file/checksum.h"
#include "file/format.h"

namespace shortlist {

class Reader {
 public:
  Reader(const std::string& path, bool map);
  explicit Reader(std::span<const char> memory);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader();

  [[noreturn]] void damaged(const std::string& what) const;
  void require(bool sound, const char* what) const {
    if (!sound) damaged(what);
  }

  // Sections are those of this segment and column from now on.
  void of_segment(std::size_t segment) {
    segment_ = segment;
    column_ = 0;
  }
  void of_column(std::size_t column) { column_ = column; }

  // The section as an array; `lazy` sections of a mapped file are not read. `size` values are expected.
  template <typename T>
  Array<T> array(SectionKind kind, std::size_t size, bool lazy = false) const {
    Array<T> values = array_of_any_size<T>(kind, lazy);
    require(values.size() == size, "has a section of the wrong size");
    return values;
  }
  template <typename T>
  Array<T> array_of_any_size(SectionKind kind, bool lazy = false) const {
    const Key wanted{segment_, column_, static_cast<std::uint16_t>(kind)};
    const auto section = std::lower_bound(table_.begin(), table_.end(), wanted,
                                          [](const FileSection& s, const Key& key) { return key_of(s) < key; });
    require(section != table_.end() && key_of(*section) == wanted, "lacks a section");
    require(section->bytes % sizeof(T) == 0, "has a section of the wrong size");
    const std::size_t size = section->bytes / sizeof(T);
    Array<T> values;
    if (mapped_ != nullptr) {
      values = Array<T>(reinterpret_cast<const T*>(static_cast<const char*>(mapped_.get()) + section->offset), size,
                        mapped_);
      if (lazy) return values;
    } else {
      values = Array<T>(size);
      read(section->offset, values.data(), section->bytes);
    }
    require(checksum(values.data(), section->bytes) == section->checksum, "has a damaged section");
    return values;
  }

 private:
  using Key = std::tuple<std::size_t, std::size_t, std::uint16_t>;
  static Key key_of(const FileSection& section) { return {section.segment, section.column, section.kind}; }

  [[noreturn]] void throw_error() const;
  void map_file();
  void read(std::size_t offset, void* out, std::size_t bytes) const;
  void read_table();

  // Between sections there are zeros up to the next boundary.
  void require_zeros(std::size_t begin, std::size_t end) const;

  std::string path_;
  std::string name_;              // for messages
  const char* memory_ = nullptr;  // read instead of a file
  std::size_t bytes_ = 0;
  int file_ = -1;
  std::size_t segment_ = 0;
  std::size_t column_ = 0;
  std::shared_ptr<const void> mapped_;
  std::vector<FileSection> table_;  // by key
};

}  // namespace shortlist
