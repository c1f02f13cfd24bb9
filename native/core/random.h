// A small seeded generator whose numbers are the same on every machine and compiler, which the standard library's
// distributions do not promise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace shortlist {

// splitmix64 (Steele, Lea and Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Below `bound`, which is at most 2^32.
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(((next() >> 32) * bound) >> 32); }

  // `count` different numbers below `bound`, in rising order.
  std::vector<std::uint32_t> choose(std::size_t count, std::size_t bound) {
    std::vector<std::uint32_t> chosen;
    chosen.reserve(count);
    for (std::size_t i = 0; i < bound && chosen.size() < count; ++i) {
      if (below(bound - i) < count - chosen.size()) chosen.push_back(static_cast<std::uint32_t>(i));
    }
    return chosen;
  }

  // The same numbers in random order (Fisher and Yates 1938).
  std::vector<std::uint32_t> shuffle(std::vector<std::uint32_t> numbers) {
    for (std::size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[below(i)]);
    return numbers;
  }

 private:
  std::uint64_t state_;
};

}  // namespace shortlist
