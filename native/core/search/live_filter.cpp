#include "search/live_filter.h"

#include <stdexcept>
#include <utility>

namespace shortlist {

LiveFilter::LiveFilter(std::shared_ptr<const Snapshot> snapshot, Filter filter) {
  keep(std::move(filter), std::move(snapshot));
}

LiveFilter::LiveFilter(std::shared_ptr<const Snapshot> snapshot, Filter filter, Condition condition)
    : condition_(std::move(condition)) {
  keep(std::move(filter), std::move(snapshot));
}

LiveFilter::LiveFilter(Pointer first, Pointer second, Combine combine)
    : first_(std::move(first)), second_(std::move(second)), combine_(combine) {}

std::shared_ptr<const Filter> LiveFilter::of(const std::shared_ptr<const Snapshot>& now) {
  const std::lock_guard lock(mutex_);
  if (filter_ != nullptr && filter_->snapshot == now->number) return filter_;
  if (first_ != nullptr) {
    const auto first = first_->of(now);
    keep(second_ == nullptr ? opposite(*now, *first) : combine_(*now, *first, *second_->of(now)), nullptr);
    return filter_;
  }
  if (lineage_ != now->lineage) {
    throw std::invalid_argument(
        "`allow` must be a filter made by this index or a copy of it, got another's; make one of this index.");
  }
  keep(condition_ ? follow(*filter_, segments_, *now, *condition_) : follow(*filter_, *snapshot_, *now), now);
  return filter_;
}

std::size_t LiveFilter::bytes() {
  const std::lock_guard lock(mutex_);
  return filter_ == nullptr ? 0 : filter_->bytes();
}

void LiveFilter::keep(Filter filter, std::shared_ptr<const Snapshot> now) {
  filter_ = std::make_shared<const Filter>(std::move(filter));
  if (now == nullptr) return;
  lineage_ = now->lineage;
  segments_.clear();
  for (const Part& part : now->parts) segments_.push_back(part.segment);
  if (!condition_) snapshot_ = std::move(now);
}

}  // namespace shortlist
