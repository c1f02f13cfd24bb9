#include "scan.h"

#include <algorithm>
#include <cmath>

#include "dispatch.h"

namespace shortlist {
namespace {

// Rows in the first batch, which has no threshold, and in the largest.
constexpr std::size_t kFirstBatch = 128;
constexpr std::size_t kLargestBatch = 4096;
static_assert(kFirstBatch % kBlockRows == 0 && kLargestBatch % kBlockRows == 0);

}  // namespace

float reached_by(const float* scores, std::size_t count, std::size_t keep) {
  constexpr int kSteps = 12;
  float low = scores[0];
  float high = scores[0];
  for (std::size_t i = 1; i < count; ++i) {
    low = scores[i] < low ? scores[i] : low;
    high = scores[i] > high ? scores[i] : high;
  }
  const std::size_t enough = keep + keep / 4;
  for (int step = 0; step < kSteps; ++step) {
    const float middle = low + 0.5f * (high - low);
    std::int32_t reaching = 0;
    for (std::size_t i = 0; i < count; ++i) reaching += scores[i] >= middle ? 1 : 0;
    if (static_cast<std::size_t>(reaching) < keep) {
      high = middle;
    } else {
      low = middle;
      if (static_cast<std::size_t>(reaching) <= enough) break;
    }
  }
  return low;
}

void Survivors::shrink() {
  if (size_ <= keep_) return;
  threshold_ = reached_by(scores_.data(), size_, keep_);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    scores_[kept] = scores_[i];
    rows_[kept] = rows_[i];
    kept += scores_[i] >= threshold_ ? 1 : 0;
  }
  // Only rows with equal scores are still too many: the first ones stay.
  size_ = std::min(kept, 2 * keep_);
}

std::int32_t least_sum(float score, float base, float scale, std::int32_t offset) {
  // Sums stay below 2^27: a limit of 2^30 keeps everything or nothing without overflow.
  constexpr double kLimit = 1 << 30;
  const double sum = (static_cast<double>(score) - base) / scale;
  if (!(sum > -kLimit)) return std::numeric_limits<std::int32_t>::min();  // also where scale is 0 and score <= base
  if (sum > kLimit) return std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>(std::ceil(sum)) + offset;
}

void scan(const Codes& codes, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
          const std::uint16_t* allow, const Excluded& excluded, ScanSpace& space, Survivors& survivors) {
  const Kernels& kernels = active_kernels();
  const std::size_t block_bytes = codes.block_bytes();
  space.rows.resize(kLargestBatch);
  space.sums.resize(kLargestBatch);
  std::size_t batch = kFirstBatch;
  std::size_t block = 0;  // next block of cells[next]
  for (std::size_t next = 0; next < num_cells;) {
    space.spans.clear();
    space.owners.clear();
    std::size_t room = batch / kBlockRows;
    while (room > 0 && next < num_cells) {
      const Cell& cell = cells[next];
      const std::size_t first = codes.first_block[cell.cell] + block;
      const std::size_t left = codes.first_block[cell.cell + 1] - first;
      const std::size_t taken = std::min(left, room);
      const std::size_t before = block * kBlockRows;
      const std::size_t rows = std::min(taken * kBlockRows, codes.count(cell.cell) - before);
      if (taken > 0) {
        space.spans.push_back({&codes.blocks[first * block_bytes], allow == nullptr ? nullptr : allow + first,
                               static_cast<std::uint32_t>(rows),
                               codes.starts[cell.cell] + static_cast<std::uint32_t>(before),
                               least_sum(survivors.threshold(), cell.base, codes.scales[cell.cell] * query.scale,
                                         query.offset)});
        space.owners.push_back(cell);
      }
      room -= taken;
      block += taken;
      if (taken == left) {
        ++next;
        block = 0;
      }
    }
    const std::size_t found = kernels.int8_select(space.spans.data(), space.spans.size(), codes.slices(),
                                                  query.values, space.rows.data(), space.sums.data());
    survivors.reserve(found);
    std::size_t i = 0;
    for (std::size_t s = 0; s < space.spans.size(); ++s) {
      const Span& span = space.spans[s];
      const float base = space.owners[s].base;
      const float scale = codes.scales[space.owners[s].cell] * query.scale;
      for (; i < found && space.rows[i] - span.first_row < span.num_rows; ++i) {
        if (!excluded.empty() && excluded.contains(space.rows[i])) continue;
        survivors.add(base + scale * static_cast<float>(space.sums[i] - query.offset), space.rows[i]);
      }
    }
    survivors.settle();
    batch = std::min(4 * batch, kLargestBatch);
  }
}

}  // namespace shortlist
