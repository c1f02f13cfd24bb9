// A fixed-size array on its own 64-byte boundary, or a view into memory that something else keeps alive (a mapped
// file). Copying shares the memory: what an index holds is written once, while it is built.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace shortlist {

template <typename T>
class Array {
 public:
  Array() = default;

  // `size` elements whose values are not set.
  explicit Array(std::size_t size) : size_(size) {
    if (size == 0) return;
    // Large arrays are read in random order: huge pages save most of the address translation.
    constexpr std::size_t kHugePage = std::size_t{1} << 21;
    if (size > std::numeric_limits<std::size_t>::max() / sizeof(T) - kHugePage) throw std::bad_alloc();
    const std::size_t bytes = size * sizeof(T);
    const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded);
    if (memory == nullptr) throw std::bad_alloc();
    owner_ = std::shared_ptr<const void>(memory, [](const void* p) { std::free(const_cast<void*>(p)); });
    data_ = static_cast<T*>(memory);
#ifdef MADV_HUGEPAGE
    if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  }

  Array(std::size_t size, T value) : Array(size) {
    for (std::size_t i = 0; i < size; ++i) data_[i] = value;
  }

  // A view of `size` elements at `data`, which `owner` keeps alive.
  Array(const T* data, std::size_t size, std::shared_ptr<const void> owner)
      : data_(const_cast<T*>(data)), size_(size), owner_(std::move(owner)) {}

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  operator std::span<const T>() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::shared_ptr<const void> owner_;
};

}  // namespace shortlist
