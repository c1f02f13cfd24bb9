// A filter of an index that changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "index.h"
#include "search/condition.h"
#include "search/filter.h"

namespace shortlist {

// Candidates of an index: those of some ids, those that meet a condition, or a combination of others. What it is in one
// snapshot is kept until it is asked for another.
class LiveFilter {
 public:
  using Pointer = std::shared_ptr<LiveFilter>;
  using Combine = Filter (*)(const Snapshot&, const Filter&, const Filter&);

  // The ids that `filter` allows in the snapshot.
  LiveFilter(std::shared_ptr<const Snapshot> snapshot, Filter filter);
  // What meets the condition, which `filter` allows in the snapshot.
  LiveFilter(std::shared_ptr<const Snapshot> snapshot, Filter filter, Condition condition);
  // `both` or `either` of two; without a second one, the opposite of the first.
  LiveFilter(Pointer first, Pointer second, Combine combine);

  // Throws std::invalid_argument for a snapshot of another index.
  std::shared_ptr<const Filter> of(const std::shared_ptr<const Snapshot>& now);
  std::size_t bytes();

 private:
  void keep(Filter filter, std::shared_ptr<const Snapshot> now);

  std::mutex mutex_;
  std::shared_ptr<const Filter> filter_;
  std::uint64_t lineage_ = 0;
  std::optional<Condition> condition_;
  std::vector<std::weak_ptr<const Segment>> segments_;  // that filter_ is of
  std::shared_ptr<const Snapshot> snapshot_;            // its ids are still needed where there is no condition
  Pointer first_;
  Pointer second_;
  Combine combine_ = nullptr;
};

}  // namespace shortlist
