#include "search/scan.h"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"

namespace shortlist {
namespace {

// Rows in the first batch, which has no threshold, and in the largest.
constexpr std::size_t kFirstBatch = 256;
constexpr std::size_t kLargestBatch = 4096;
static_assert(kFirstBatch % kBlockRows == 0 && kLargestBatch % kBlockRows == 0);

std::size_t select(const Kernels& kernels, const Quantizer& quantizer, const CodedQuery& query, ScanSpace& space) {
  const Span* spans = space.spans.data();
  const std::size_t count = space.spans.size();
  if (!quantizer.centres.empty()) {
    return kernels.code4_select(spans, count, quantizer.slices(), query.bytes, space.rows.data(), space.sums.data());
  }
  const auto* values = reinterpret_cast<const std::int8_t*>(query.bytes);
  const auto select_rows = quantizer.is_int8() ? kernels.int8_select : kernels.int4_select;
  return select_rows(spans, count, quantizer.slices(), values, space.rows.data(), space.sums.data());
}

}  // namespace

void Survivors::drop() {
  const Kernels& kernels = active_kernels();
  threshold_ = kernels.reached_by(scores_.data(), size_, keep_);
  size_ = kernels.keep_reaching(threshold_, scores_.data(), rows_.data(), size_);
}

void Survivors::shrink() {
  if (size_ <= keep_) return;
  drop();
  if (size_ > 2 * keep_) choose();  // many are equal
}

void Survivors::choose() {
  if (size_ < keep_) return;
  if (size_ > keep_) drop();
  ranked_.resize(size_);
  for (std::size_t i = 0; i < size_; ++i) ranked_[i] = {scores_[i], rows_[i]};
  std::nth_element(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(keep_ - 1), ranked_.end(), better);
  size_ = keep_;
  for (std::size_t i = 0; i < size_; ++i) {
    scores_[i] = ranked_[i].score;
    rows_[i] = ranked_[i].row;
  }
  threshold_ = scores_[keep_ - 1];
}

std::int32_t least_sum(float score, float base, float scale, const CodedQuery& query) {
  // Sums stay below 2^28: a limit of 2^30 keeps everything or nothing without overflow.
  static_assert(255 * 127 * kMaxCodedDim < std::size_t{1} << 28);
  constexpr float kLimit = 1 << 30;
  const float product = (score - base) / scale;
  const float sum = (product - query.offset) / query.scale;
  if (!(sum > -kLimit)) return std::numeric_limits<std::int32_t>::min();  // also where a scale is 0 and score <= base
  if (sum > kLimit) return std::numeric_limits<std::int32_t>::max();
  // Both this and the estimate round a few times, each time to 2^-24 of no more than these.
  const float slack = 0x1p-20f * (std::fabs(base / scale) + std::fabs(product) + std::fabs(query.offset)) / query.scale;
  const float least = sum - slack;
  if (!(least > -kLimit)) return std::numeric_limits<std::int32_t>::min();
  const auto whole = static_cast<std::int32_t>(least);
  return static_cast<float>(whole) < least ? whole + 1 : whole;
}

std::size_t scan_some(const CodedRows& coded, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
                      float stop_width, float threshold, std::size_t num_rows, ScanPlace& place, ScanSpace& space) {
  const Codes& codes = coded.codes;
  const std::size_t block_bytes = codes.quantizer.block_bytes();
  space.rows.resize(std::max(space.rows.size(), num_rows));
  space.sums.resize(std::max(space.sums.size(), num_rows));
  space.spans.clear();
  space.owners.clear();
  std::size_t room = num_rows / kBlockRows;
  while (room > 0 && place.next < num_cells) {
    const Cell& cell = cells[place.next];
    const std::size_t first = codes.first_block[cell.cell] + place.block;
    const std::size_t end =
        stop_width > 0.0f
            ? codes.blocks_reaching(cell.cell, cell.base, threshold - stop_width * codes.usual_radii[cell.cell])
            : codes.first_block[cell.cell + 1] - codes.first_block[cell.cell];
    const std::size_t left = end - std::min(end, place.block);
    const std::size_t taken = std::min(left, room);
    const std::size_t before = place.block * kBlockRows;
    const std::size_t rows = std::min(taken * kBlockRows, codes.count(cell.cell) - before);
    if (taken > 0) {
      space.spans.push_back({&codes.blocks[first * block_bytes], coded.masks == nullptr ? nullptr : coded.masks + first,
                             static_cast<std::uint32_t>(rows),
                             coded.first + codes.starts[cell.cell] + static_cast<std::uint32_t>(before),
                             least_sum(threshold, cell.base, codes.scales[cell.cell], query)});
      space.owners.push_back(cell);
    }
    room -= taken;
    place.block += taken;
    if (taken < left) continue;
    place = {place.next + 1, 0};
    if (place.next == 1) break;  // what it found says how much of the others to scan
  }
  return select(active_kernels(), codes.quantizer, query, space);
}

void show(const Codes& codes, const CodedQuery& query, const Cell& cell, const std::uint32_t* rows,
          const std::int32_t* sums, std::size_t count, const Excluded& excluded, Survivors& survivors) {
  const float cell_scale = codes.scales[cell.cell];
  const float base = cell.base + cell_scale * query.offset;
  const float scale = cell_scale * query.scale;
  const Survivors::Room room = survivors.make_room(count);
  if (excluded.empty()) {
    for (std::size_t i = 0; i < count; ++i) room.scores[i] = base + scale * static_cast<float>(sums[i]);
    std::copy_n(rows, count, room.rows);
    survivors.add(count);
    return;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (excluded.contains(rows[i])) continue;
    room.scores[kept] = base + scale * static_cast<float>(sums[i]);
    room.rows[kept++] = rows[i];
  }
  survivors.add(kept);
}

void scan(const CodedRows& rows, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
          const Excluded& excluded, float stop_width, ScanSpace& space, Survivors& survivors) {
  std::size_t batch = kFirstBatch;
  for (ScanPlace place; place.next < num_cells;) {
    const std::size_t found =
        scan_some(rows, query, cells, num_cells, stop_width, survivors.threshold(), batch, place, space);
    std::size_t i = 0;
    for (std::size_t s = 0; s < space.spans.size(); ++s) {
      const Span& span = space.spans[s];
      const std::size_t first = i;
      while (i < found && space.rows[i] - span.first_row < span.num_rows) ++i;
      show(rows.codes, query, space.owners[s], &space.rows[first], &space.sums[first], i - first, excluded, survivors);
    }
    survivors.settle();
    batch = std::min(4 * batch, kLargestBatch);
  }
}

}  // namespace shortlist
