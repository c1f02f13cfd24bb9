// Memory that calls of training hand on to one another: each step needs as much as the last, and fresh pages cost more
// than what is written to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace shortlist {

// Floats that hold anything at first. What was handed out starts at a cache line of its own.
class Scratch {
 public:
  explicit Scratch(std::size_t floats) {
    {
      const std::lock_guard lock(mutex());
      if (!kept().empty()) {
        values_ = std::move(kept().back());
        kept().pop_back();
      }
    }
    if (values_.size() < floats + kLine) values_.resize(floats + kLine);
    next_ = values_.data();
    while (reinterpret_cast<std::uintptr_t>(next_) % (kLine * sizeof(float)) != 0) ++next_;
  }
  ~Scratch() {
    const std::lock_guard lock(mutex());
    if (kept().size() < kMost) kept().push_back(std::move(values_));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // The next `floats` of those asked for, of which `rounded(floats)` are used up.
  float* take(std::size_t floats) {
    float* taken = next_;
    next_ += rounded(floats);
    return taken;
  }
  static constexpr std::size_t rounded(std::size_t floats) { return (floats + kLine - 1) / kLine * kLine; }

 private:
  static constexpr std::size_t kLine = 16;
  static constexpr std::size_t kMost = 2;  // as many as calls that are likely to run at once
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::vector<std::vector<float>>& kept() {
    static std::vector<std::vector<float>> all;
    return all;
  }
  std::vector<float> values_;
  float* next_;
};

}  // namespace shortlist
