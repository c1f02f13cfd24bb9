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

std::size_t select(const Kernels& kernels, const Quantizer& quantizer, const CodedQuery& query, ScanSpace& space) {
  const Span* spans = space.spans.data();
  const std::size_t count = space.spans.size();
  if (!quantizer.is_int8()) {
    return kernels.code4_select(spans, count, quantizer.slices(), query.bytes, space.rows.data(), space.sums.data());
  }
  const auto* values = reinterpret_cast<const std::int8_t*>(query.bytes);
  return kernels.int8_select(spans, count, quantizer.slices(), values, space.rows.data(), space.sums.data());
}

}  // namespace

void Survivors::shrink() {
  if (size_ <= keep_) return;
  const Kernels& kernels = active_kernels();
  threshold_ = kernels.reached_by(scores_.data(), size_, keep_);
  size_ = kernels.keep_reaching(threshold_, scores_.data(), rows_.data(), size_);
  // Only rows with equal scores are still too many: the first ones stay.
  size_ = std::min(size_, 2 * keep_);
}

std::int32_t least_sum(float score, float base, float scale, const CodedQuery& query) {
  // Sums stay below 2^27: a limit of 2^30 keeps everything or nothing without overflow.
  constexpr float kLimit = 1 << 30;
  const float sum = ((score - base) / scale - query.offset) / query.scale;
  if (!(sum > -kLimit)) return std::numeric_limits<std::int32_t>::min();  // also where a scale is 0 and score <= base
  if (sum > kLimit) return std::numeric_limits<std::int32_t>::max();
  const auto whole = static_cast<std::int32_t>(sum);
  return static_cast<float>(whole) < sum ? whole + 1 : whole;
}

std::size_t scan_some(const Codes& codes, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
                      const std::uint16_t* allow, float reach, float threshold, std::size_t num_rows,
                      ScanPlace& place, ScanSpace& space) {
  const std::size_t block_bytes = codes.quantizer.block_bytes();
  space.rows.resize(std::max(space.rows.size(), num_rows));
  space.sums.resize(std::max(space.sums.size(), num_rows));
  space.spans.clear();
  space.owners.clear();
  std::size_t room = num_rows / kBlockRows;
  while (room > 0 && place.next < num_cells) {
    const Cell& cell = cells[place.next];
    if (place.block == 0 && reach > 0.0f && cell.base + reach * codes.radii[cell.cell] < threshold) {
      ++place.next;
      continue;
    }
    const std::size_t first = codes.first_block[cell.cell] + place.block;
    const std::size_t left = codes.first_block[cell.cell + 1] - first;
    const std::size_t taken = std::min(left, room);
    const std::size_t before = place.block * kBlockRows;
    const std::size_t rows = std::min(taken * kBlockRows, codes.count(cell.cell) - before);
    if (taken > 0) {
      space.spans.push_back({&codes.blocks[first * block_bytes], allow == nullptr ? nullptr : allow + first,
                             static_cast<std::uint32_t>(rows),
                             codes.starts[cell.cell] + static_cast<std::uint32_t>(before),
                             least_sum(threshold, cell.base, codes.scales[cell.cell], query)});
      space.owners.push_back(cell);
    }
    room -= taken;
    place.block += taken;
    if (taken == left) place = {place.next + 1, 0};
  }
  return select(active_kernels(), codes.quantizer, query, space);
}

void scan(const Codes& codes, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
          const std::uint16_t* allow, const Excluded& excluded, float reach, ScanSpace& space, Survivors& survivors) {
  std::size_t batch = kFirstBatch;
  for (ScanPlace place; place.next < num_cells;) {
    const std::size_t found =
        scan_some(codes, query, cells, num_cells, allow, reach, survivors.threshold(), batch, place, space);
    survivors.reserve(found);
    std::size_t i = 0;
    for (std::size_t s = 0; s < space.spans.size(); ++s) {
      const Span& span = space.spans[s];
      const float cell_scale = codes.scales[space.owners[s].cell];
      const float base = space.owners[s].base + cell_scale * query.offset;
      const float scale = cell_scale * query.scale;
      for (; i < found && space.rows[i] - span.first_row < span.num_rows; ++i) {
        if (!excluded.empty() && excluded.contains(space.rows[i])) continue;
        survivors.add(base + scale * static_cast<float>(space.sums[i]), space.rows[i]);
      }
    }
    survivors.settle();
    batch = std::min(4 * batch, kLargestBatch);
  }
}

}  // namespace shortlist
