#include "live_index.h"

#include <algorithm>
#include <cmath>
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
  if (changed_) changed_->push_back(segment.ids);
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
  if (changed_) changed_->push_back(ids);
  const auto next = std::make_shared<const Snapshot>(*now, now->codebook, without_rows(*now, gone));
  publish(next);
  return now->num_live - next->num_live;
}

void LiveIndex::rebalance(const LearnOptions& options, std::size_t threads, const Progress& progress) {
  const std::lock_guard turn(rebalances_);
  std::shared_ptr<const Snapshot> from;
  {
    const std::lock_guard lock(writers_);
    from = snapshot();
    if (from->num_live == 0) return;
    changed_.emplace();
  }
  try {
    const Segment all = merge(*from->codebook, from->codebook->coded_centroids(), from->parts);
    from.reset();
    Array<float> rows(all.size * all.rows.dim);
    for (std::size_t row = 0; row < all.size; ++row) all.rows.read(all.position_of[row], &rows[row * all.rows.dim]);
    Learned learned = learn(rows.data(), all.size, all.rows.dim, options, threads, progress);
    auto codebook = std::make_shared<const Codebook>(std::move(learned.codebook));
    Segment segment = encode(*codebook, codebook->coded_centroids(), rows.data(), learned.cells, all.ids,
                             all.rows.store, threads, progress);
    segment.columns = all.columns;
    finish_rebalance(std::move(codebook), std::move(segment));
  } catch (...) {
    const std::lock_guard lock(writers_);
    changed_.reset();
    throw;
  }
}

void LiveIndex::finish_rebalance(std::shared_ptr<const Codebook> codebook, Segment segment) {
  const std::lock_guard lock(writers_);
  {
    const std::shared_ptr<const Snapshot> now = snapshot();
    const Snapshot rebuilt(*now, codebook, {{std::make_shared<const Segment>(std::move(segment))}});
    std::vector<std::uint32_t> outdated;         // rows of `rebuilt`
    std::vector<bool> is_new(now->size, false);  // rows of `now`
    std::size_t num_new = 0;
    for (const Ids& ids : *changed_) {
      for (const std::uint32_t row : rebuilt.find_all(ids)) {
        if (row != Ids::kNone) outdated.push_back(row);
      }
      for (const std::uint32_t row : now->find_all(ids)) {
        if (row == Ids::kNone || is_new[row]) continue;
        is_new[row] = true;
        ++num_new;
      }
    }
    std::vector<Part> parts = without_rows(rebuilt, outdated);
    auto own = std::make_unique<const Encoder>(codebook);
    if (num_new > 0) {
      std::vector<std::uint32_t> others;
      now->for_each_live([&](std::size_t row) {
        if (!is_new[row]) others.push_back(static_cast<std::uint32_t>(row));
      });
      const Segment changed = merge(*now->codebook, encoder(*now).centroids, without_rows(*now, others));
      Array<float> rows(changed.size * codebook->dim);
      for (std::size_t row = 0; row < changed.size; ++row) {
        changed.rows.read(changed.position_of[row], &rows[row * codebook->dim]);
      }
      Array<std::uint32_t> cells(changed.size);
      codebook->find_cells(own->nearest, rows.data(), changed.size, cells.data());
      Segment later =
          encode(*codebook, own->centroids, rows.data(), cells, changed.ids, changed.rows.store, 1, kSilent);
      later.columns = changed.columns;
      parts.push_back({std::make_shared<const Segment>(std::move(later))});
    }
    publish(std::make_shared<const Snapshot>(*now, codebook, std::move(parts)));
    encoder_ = std::move(own);
  }
  changed_.reset();
  tidy();
  sweep();
}

Health health_of(const Snapshot& snapshot) {
  const Codebook& codebook = *snapshot.codebook;
  const std::size_t dim = codebook.augmentation.coded_dim();
  const Array<float> centroids = codebook.coded_centroids();
  std::vector<std::size_t> sizes(codebook.num_cells(), 0);
  std::size_t outside = 0;
  double distances = 0.0;
  std::vector<float> row(codebook.dim);
  std::vector<float> coded(dim);
  for (const Part& part : snapshot.parts) {
    const Segment& segment = *part.segment;
    for (std::size_t cell = 0; cell < sizes.size(); ++cell) {
      for (std::size_t i = segment.codes.starts[cell]; i < segment.codes.starts[cell + 1]; ++i) {
        if (part.is_deleted(segment.row_of[i])) continue;
        ++sizes[cell];
        segment.rows.read(i, row.data());
        codebook.augmentation.row(row.data(), coded.data());
        double squares = 0.0;
        for (std::size_t t = 0; t < dim; ++t) {
          const double off = static_cast<double>(coded[t]) - centroids[cell * dim + t];
          squares += off * off;
        }
        if (cell < codebook.num_leaves()) distances += squares;
        outside += squares > static_cast<double>(codebook.radii[cell]) * codebook.radii[cell] * 1.000001 ? 1 : 0;
      }
    }
  }
  const std::size_t leaves = codebook.num_leaves();
  Health health{.rows = snapshot.num_live,
                .deleted = snapshot.size - snapshot.num_live,
                .segments = snapshot.parts.size(),
                .leaves = leaves,
                .tier = codebook.has_tier() ? sizes[leaves] : 0};
  double squares = 0.0;
  for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
    health.largest = std::max(health.largest, sizes[leaf]);
    health.empty += sizes[leaf] == 0 ? 1 : 0;
    squares += static_cast<double>(sizes[leaf]) * static_cast<double>(sizes[leaf]);
  }
  const auto in_leaves = static_cast<double>(health.rows - health.tier);
  if (in_leaves > 0) {
    const double mean = in_leaves / static_cast<double>(leaves);
    std::size_t larger = 0;
    for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
      const double above = static_cast<double>(sizes[leaf]) - mean;
      if (above <= 0.0) continue;
      health.excess += above / mean;
      ++larger;
    }
    if (larger > 0) health.excess /= static_cast<double>(larger);
    health.imbalance = squares / mean / in_leaves;
    health.distance = std::sqrt(distances / in_leaves);
  }
  if (health.rows > 0) health.outside = static_cast<double>(outside) / static_cast<double>(health.rows);
  return health;
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
