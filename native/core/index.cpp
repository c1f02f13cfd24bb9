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

// Counts the rows that are not deleted, from this word on.
void count_live(std::size_t size, std::size_t first_word, Deletions& deletions) {
  const std::size_t words = deletions.live.size();
  if (deletions.before.empty()) deletions.before = Array<std::uint32_t>(words, 0);
  for (std::size_t word = first_word; word + 1 < words; ++word) {
    deletions.before[word + 1] =
        deletions.before[word] + static_cast<std::uint32_t>(std::popcount(deletions.live[word]));
  }
  const std::size_t live =
      words == 0 ? 0 : deletions.before[words - 1] + static_cast<std::size_t>(std::popcount(deletions.live[words - 1]));
  deletions.count = size - live;
}

// With arrays of its own. Null = of a segment without any.
Deletions copy_of(const Segment& segment, const Deletions* given) {
  const Codes& codes = segment.codes;
  Deletions own;
  own.masks = Array<std::uint16_t>(codes.first_block[codes.num_cells()], 0xffff);
  own.live = Array<std::uint64_t>((segment.size + 63) / 64, ~std::uint64_t{0});
  own.before = Array<std::uint32_t>(own.live.size(), 0);
  if (given != nullptr) {
    std::copy(given->masks.begin(), given->masks.end(), own.masks.begin());
    std::copy(given->live.begin(), given->live.end(), own.live.begin());
    std::copy(given->before.begin(), given->before.end(), own.before.begin());
    return own;
  }
  if (segment.size % 64 != 0) own.live[own.live.size() - 1] = (std::uint64_t{1} << segment.size % 64) - 1;
  count_live(segment.size, 0, own);
  return own;
}

}  // namespace

Deletions deletions_of(const Segment& segment, Array<std::uint16_t> masks) {
  const Codes& codes = segment.codes;
  Deletions deletions;
  deletions.masks = std::move(masks);
  deletions.live = Array<std::uint64_t>((segment.size + 63) / 64, 0);
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    for (std::size_t i = 0; i < codes.count(cell); ++i) {
      const std::uint16_t mask = deletions.masks[codes.first_block[cell] + i / kBlockRows];
      const std::uint32_t row = segment.row_of[codes.starts[cell] + i];
      deletions.live[row / 64] |= std::uint64_t{static_cast<unsigned>(mask >> i % kBlockRows) & 1u} << row % 64;
    }
  }
  count_live(segment.size, 0, deletions);
  return deletions;
}

Snapshot::Snapshot(std::shared_ptr<const Codebook> book, std::vector<Part> all)
    : codebook(std::move(book)),
      parts(std::move(all)),
      number(next_number()),
      lineage(number),
      workspaces(std::make_shared<WorkspacePool>()) {
  place_parts();
}

Snapshot::Snapshot(const Snapshot& before, std::shared_ptr<const Codebook> book, std::vector<Part> all)
    : codebook(std::move(book)),
      parts(std::move(all)),
      number(next_number()),
      lineage(before.lineage),
      workspaces(before.workspaces) {
  place_parts();
}

void Snapshot::place_parts() {
  for (Part& part : parts) {
    part.first = static_cast<std::uint32_t>(size);
    part.first_live = static_cast<std::uint32_t>(num_live);
    size += part.segment->size;
    num_live += part.num_live();
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
    if (!part.is_deleted(row)) return part.first + row;
  }
  return Ids::kNone;
}

std::uint32_t Snapshot::find(std::int64_t id) const { return find_in_parts(id); }
std::uint32_t Snapshot::find(std::string_view id) const { return find_in_parts(id); }

Array<std::uint32_t> Snapshot::find_all(const Ids& ids) const {
  Array<std::uint32_t> rows(ids.size());
  const bool are_text = ids.kind() == Ids::Kind::strings;
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = are_text ? find(ids.string(i)) : find(ids.integer(i));
  return rows;
}

std::size_t Snapshot::place_of(std::size_t row) const {
  if (num_live == size) return row;
  const Part& part = part_of_row(row);
  return part.first_live + part.live_before(row - part.first);
}

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

std::vector<Part> without_rows(const Snapshot& snapshot, std::span<const std::uint32_t> rows) {
  std::vector<Part> parts = snapshot.parts;
  std::vector<std::vector<std::uint32_t>> gone(parts.size());
  for (const std::uint32_t row : rows) {
    const Part& part = snapshot.part_of_row(row);
    gone[static_cast<std::size_t>(&part - snapshot.parts.data())].push_back(row - part.first);
  }
  for (std::size_t p = 0; p < parts.size(); ++p) {
    if (gone[p].empty()) continue;
    const Segment& segment = *parts[p].segment;
    auto deletions = std::make_shared<Deletions>(copy_of(segment, parts[p].deletions.get()));
    for (const std::uint32_t row : gone[p]) {
      deletions->live[row / 64] &= ~(std::uint64_t{1} << row % 64);
      const Codes::Place place = segment.codes.place_of(segment.position_of[row]);
      std::uint16_t& mask = deletions->masks[place.block];
      mask = static_cast<std::uint16_t>(mask & ~(1u << place.j));
    }
    count_live(segment.size, *std::min_element(gone[p].begin(), gone[p].end()) / 64, *deletions);
    parts[p].deletions = std::move(deletions);
  }
  return parts;
}

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress, std::shared_ptr<const Codebook> codebook, std::vector<Column> columns) {
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
  Segment segment = encode(*codebook, codebook->coded_centroids(), rows.data(), cells, std::move(ids), options.store,
                           options.threads, progress);
  segment.columns = std::move(columns);
  Index index;
  index.settings.exact = options.leaves == kAutomatic && size < kFewRows;
  index.snapshot = std::make_shared<const Snapshot>(
      std::move(codebook), std::vector<Part>{{std::make_shared<const Segment>(std::move(segment))}});
  return index;
}

}  // namespace shortlist
