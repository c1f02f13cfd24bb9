#include "index.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace shortlist {
namespace {

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

// Rows of an index built without a word on its leaves that are searched exactly: 32 dimensions of so many are in some
// 20 microseconds.
constexpr std::size_t kFewRows = 10'000;

// The block of its codes that holds a position, and its place there.
struct Place {
  std::size_t block;
  std::size_t j;
};
Place place_of(const Codes& codes, std::size_t position) {
  const auto next = std::upper_bound(codes.starts.begin(), codes.starts.end(), position);
  const auto cell = static_cast<std::size_t>(next - codes.starts.begin()) - 1;
  const std::size_t i = position - codes.starts[cell];
  return {codes.first_block[cell] + i / kBlockRows, i % kBlockRows};
}

}  // namespace

bool Part::is_deleted(std::size_t position) const {
  if (live.empty()) return false;
  const Place place = place_of(segment->codes, position);
  return (live[place.block] >> place.j & 1u) == 0;
}

Snapshot::Snapshot(std::shared_ptr<const Codebook> book, std::vector<Part> all)
    : codebook(std::move(book)),
      parts(std::move(all)),
      number(next_number()),
      workspaces(std::make_shared<WorkspacePool>()) {
  for (Part& part : parts) {
    part.first = static_cast<std::uint32_t>(size);
    size += part.segment->size;
    num_live += part.segment->size - part.num_deleted;
  }
}

const Part& Snapshot::part_of_row(std::size_t row) const {
  if (parts.size() == 1) return parts[0];
  const auto after = std::upper_bound(parts.begin(), parts.end(), row,
                                      [](std::size_t wanted, const Part& part) { return wanted < part.first; });
  return *(after - 1);
}

std::int64_t Snapshot::integer_id(std::size_t row) const {
  const Part& part = part_of_row(row);
  return part.segment->ids.integer(row - part.first);
}

std::string_view Snapshot::string_id(std::size_t row) const {
  const Part& part = part_of_row(row);
  return part.segment->ids.string(row - part.first);
}

template <typename Id>
std::uint32_t Snapshot::find_in_parts(Id id) const {
  for (const Part& part : parts) {
    const std::uint32_t row = part.segment->ids.find(id);
    if (row == Ids::kNone) continue;
    if (!part.is_deleted(part.segment->position_of[row])) return part.first + row;
  }
  return Ids::kNone;
}

std::uint32_t Snapshot::find(std::int64_t id) const { return find_in_parts(id); }
std::uint32_t Snapshot::find(std::string_view id) const { return find_in_parts(id); }

void Snapshot::read_row(std::size_t row, float* out) const {
  const Part& part = part_of_row(row);
  part.segment->rows.read(part.segment->position_of[row - part.first], out);
}

std::size_t Snapshot::tier() const {
  std::size_t rows = 0;
  for (const Part& part : parts) rows += codebook->has_tier() ? part.segment->codes.count(codebook->num_leaves()) : 0;
  return rows;
}

bool follows(const Ids& first, const Ids& later) {
  return later.kind() != Ids::Kind::rows &&
         (first.kind() == Ids::Kind::strings) == (later.kind() == Ids::Kind::strings);
}

Snapshot with_segment(const Snapshot& snapshot, std::shared_ptr<const Segment> segment) {
  std::vector<Part> parts = snapshot.parts;
  parts.push_back({std::move(segment)});
  return Snapshot(snapshot.codebook, std::move(parts));
}

Snapshot without_rows(const Snapshot& snapshot, std::span<const std::uint32_t> rows) {
  std::vector<Part> parts = snapshot.parts;
  std::vector<bool> own(parts.size(), false);  // whose masks no other snapshot has
  for (const std::uint32_t row : rows) {
    const auto at = static_cast<std::size_t>(&snapshot.part_of_row(row) - snapshot.parts.data());
    Part& part = parts[at];
    const Codes& codes = part.segment->codes;
    if (!own[at]) {
      Array<std::uint16_t> live(codes.first_block[codes.num_cells()], 0xffff);
      std::copy(part.live.begin(), part.live.end(), live.begin());
      part.live = std::move(live);
      own[at] = true;
    }
    const Place place = place_of(codes, part.segment->position_of[row - part.first]);
    std::uint16_t& mask = part.live[place.block];
    part.num_deleted += mask >> place.j & 1u;
    mask = static_cast<std::uint16_t>(mask & ~(1u << place.j));
  }
  return Snapshot(snapshot.codebook, std::move(parts));
}

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress, std::shared_ptr<const Codebook> codebook) {
  const Metric metric = codebook == nullptr ? options.metric : codebook->metric;
  const PreparedRows rows(metric, embeddings, size, dim, options.threads, progress);
  Array<std::uint32_t> cells;
  if (codebook == nullptr) {
    Learned learned = learn(rows.data(), size, dim, options, options.threads, progress);
    codebook = std::make_shared<const Codebook>(std::move(learned.codebook));
    cells = std::move(learned.cells);
  } else {
    cells = codebook->cells_of(rows.data(), size, options.threads, [&](double done) { progress("assign", done); });
  }
  auto segment = std::make_shared<const Segment>(
      encode(*codebook, rows.data(), cells, std::move(ids), options.store, options.threads, progress));
  Index index;
  index.settings.exact = options.leaves == kAutomatic && size < kFewRows;
  index.snapshot = std::make_shared<const Snapshot>(std::move(codebook), std::vector<Part>{{std::move(segment)}});
  return index;
}

}  // namespace shortlist
