// The best k of a stream of scored rows: score descending, ties by lower row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace shortlist {

struct Scored {
  float score;
  std::uint32_t row;
};

struct Better {
  bool operator()(const Scored& a, const Scored& b) const {
    return a.score > b.score || (a.score == b.score && a.row < b.row);
  }
};
inline constexpr Better better;

// A binary heap with the worst of the kept rows on top, over memory the caller lends for k rows.
class TopK {
 public:
  TopK(Scored* space, std::size_t k) : heap_(space), k_(k) {}

  std::size_t size() const { return size_; }
  bool full() const { return size_ == k_; }

  // A row that scores less than this cannot enter; one that equals it can, by its row.
  float threshold() const { return full() ? heap_[0].score : -std::numeric_limits<float>::infinity(); }

  void push(Scored candidate) {
    if (!full()) {
      heap_[size_++] = candidate;
      std::push_heap(heap_, heap_ + size_, better);
    } else if (better(candidate, heap_[0])) {
      replace_top(candidate);
    }
  }

  // Leaves the kept rows best first in the lent memory.
  void sort() { std::sort(heap_, heap_ + size_, better); }

 private:
  void replace_top(Scored candidate) {
    std::size_t hole = 0;
    for (;;) {
      std::size_t child = 2 * hole + 1;
      if (child >= size_) break;
      if (child + 1 < size_ && better(heap_[child], heap_[child + 1])) ++child;
      if (!better(candidate, heap_[child])) break;
      heap_[hole] = heap_[child];
      hole = child;
    }
    heap_[hole] = candidate;
  }

  Scored* heap_;
  std::size_t k_;
  std::size_t size_ = 0;
};

}  // namespace shortlist
