#include "live_index.h"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "merge.h"

namespace shortlist {
namespace {

const Progress kSilent = [](const char*, double) {};

}  // namespace

LiveIndex::Encoder::Encoder(std::shared_ptr<const Codebook> book)
    : codebook(std::move(book)),
      centroids(codebook->coded_centroids()),
      nearest(codebook->clusters.data(), codebook->leaf_of_cluster.size(), codebook->dim) {}

std::shared_ptr<const Snapshot> LiveIndex::snapshot() const {
  const std::lock_guard lock(pointer_);
  return snapshot_;
}

const LiveIndex::Encoder& LiveIndex::encoder(const Snapshot& snapshot) {
  if (encoder_ == nullptr || encoder_->codebook != snapshot.codebook) {
    encoder_ = std::make_unique<const Encoder>(snapshot.codebook);
  }
  return *encoder_;
}

void LiveIndex::publish(std::shared_ptr<const Snapshot> next) {
  former_.reserve(former_.size() + 1);  // what follows cannot fail
  {
    const std::lock_guard lock(pointer_);
    std::swap(snapshot_, next);
  }
  former_.push_back(std::move(next));
}

void LiveIndex::sweep() {
  std::erase_if(former_, [](const auto& snapshot) { return snapshot.use_count() == 1; });
}

Changes LiveIndex::upsert(const float* embeddings, Ids ids, std::vector<Column> columns) {
  const std::lock_guard lock(writers_);
  const Changes changes = add(embeddings, std::move(ids), std::move(columns));
  tidy();
  sweep();
  return changes;
}

Changes LiveIndex::add(const float* embeddings, Ids ids, std::vector<Column> columns) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const Codebook& codebook = *now->codebook;
  const std::size_t size = ids.size();
  if (size == 0) return {};
  if (size >= Ids::kNone - now->size) throw std::length_error("an index holds at most 2^32 - 1 rows");
  const Encoder& own = encoder(*now);
  const PreparedRows rows(codebook.metric, embeddings, size, codebook.dim, 1, kSilent);
  Array<std::uint32_t> cells(size);
  codebook.find_cells(own.nearest, rows.data(), size, cells.data());
  std::vector<std::uint32_t> replaced;
  for (const std::uint32_t row : now->find_all(ids)) {
    if (row != Ids::kNone) replaced.push_back(row);
  }
  Segment segment = encode(codebook, own.centroids, rows.data(), cells, std::move(ids),
                           now->parts[0].segment->rows.store, 1, kSilent);
  segment.columns = std::move(columns);
  std::vector<Part> parts = without_rows(*now, replaced);
  parts.push_back({std::make_shared<const Segment>(std::move(segment))});
  publish(std::make_shared<const Snapshot>(*now, now->codebook, std::move(parts)));
  return {size - replaced.size(), replaced.size()};
}

std::size_t LiveIndex::erase(const Ids& ids) {
  const std::lock_guard lock(writers_);
  const std::size_t gone = remove(ids);
  tidy();
  sweep();
  return gone;
}

std::size_t LiveIndex::remove(const Ids& ids) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  std::vector<std::uint32_t> gone;
  for (const std::uint32_t row : now->find_all(ids)) {
    if (row != Ids::kNone) gone.push_back(row);
  }
  if (gone.empty()) return 0;
  const auto next = std::make_shared<const Snapshot>(*now, now->codebook, without_rows(*now, gone));
  publish(next);
  return now->num_live - next->num_live;
}

void LiveIndex::tidy() {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const std::vector<Part>& parts = now->parts;
  std::size_t first = parts.size() - 1;  // of those that become one
  for (std::size_t rows = parts[first].num_live(); first > 0 && rows * kRatio >= parts[first - 1].num_live();) {
    rows += parts[--first].num_live();
  }
  try {
    std::vector<Part> next;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const bool rewrite = p < first ? parts[p].num_deleted() * kLost > parts[p].segment->size
                                     : p + 1 < parts.size() || parts[p].num_deleted() * kLost > parts[p].segment->size;
      if (!rewrite) {
        next.push_back(parts[p]);
        continue;
      }
      const std::size_t count = p < first ? 1 : parts.size() - p;
      const std::span<const Part> together(&parts[p], count);
      next.push_back({std::make_shared<const Segment>(merge(*now->codebook, encoder(*now).centroids, together))});
      p += count - 1;
      if (next.back().segment->size == 0 && (next.size() > 1 || p + 1 < parts.size())) next.pop_back();
    }
    const bool same =
        next.size() == parts.size() && std::equal(next.begin(), next.end(), parts.begin(),
                                                  [](const Part& a, const Part& b) { return a.segment == b.segment; });
    if (!same) publish(std::make_shared<const Snapshot>(*now, now->codebook, std::move(next)));
  } catch (const std::bad_alloc&) {
    // The change is made. Its segments are merged after a later one.
  }
}

}  // namespace shortlist
