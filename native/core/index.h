// An index: a codebook, segments encoded with it, and which of their rows are deleted.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "array.h"
#include "codebook.h"
#include "ids.h"
#include "search/workspace.h"
#include "segment.h"

namespace shortlist {

inline constexpr std::size_t kMaxK = 10'000;

struct BuildOptions : LearnOptions {
  Store store = Store::float32;
  std::size_t threads = 0;
};

struct Settings {
  bool exact = false;
  std::uint32_t leaves = 32;
  std::uint32_t rerank = 50;
  std::uint32_t groups = 0;
  float stop = 0.5f;  // lowers recall by no more than 0.003 on any set tried, random vectors included

  bool operator==(const Settings&) const = default;
};

// Which rows of a segment are deleted. Deleting more of them copies this, about 2.5 bits a row of the segment.
struct Deletions {
  std::size_t count = 0;
  Array<std::uint16_t> masks;   // one a block of the codes, bit j = its row j is not deleted
  Array<std::uint64_t> live;    // by row, a bit each: 1 = not deleted
  Array<std::uint32_t> before;  // for each word of `live`, the rows before it that are not deleted

  std::size_t bytes() const { return masks.bytes() + live.bytes() + before.bytes(); }
  bool has(std::size_t row) const { return (live[row / 64] >> row % 64 & 1u) == 0; }
};

// Of a segment with these masks.
Deletions deletions_of(const Segment& segment, Array<std::uint16_t> masks);

// A segment in its place: its row i is row first + i of the snapshot, its position p is position first + p.
struct Part {
  std::shared_ptr<const Segment> segment;
  std::uint32_t first = 0;
  std::uint32_t first_live = 0;                          // rows before it that are not deleted
  std::shared_ptr<const Deletions> deletions = nullptr;  // null where none is

  std::size_t num_deleted() const { return deletions == nullptr ? 0 : deletions->count; }
  std::size_t num_live() const { return segment->size - num_deleted(); }
  bool is_deleted(std::size_t row) const { return deletions != nullptr && deletions->has(row); }
  std::size_t bytes() const { return segment->bytes() + (deletions == nullptr ? 0 : deletions->bytes()); }
  // How many rows of the segment before this one are not deleted.
  std::size_t live_before(std::size_t row) const {
    if (deletions == nullptr) return row;
    const std::uint64_t before = deletions->live[row / 64] & ((std::uint64_t{1} << row % 64) - 1);
    return deletions->before[row / 64] + static_cast<std::size_t>(std::popcount(before));
  }
};

// What a search sees: it never changes, whatever happens to the index meanwhile. Its rows are numbered with the deleted
// ones among them; users count those that are left (`place_of`).
struct Snapshot {
  std::shared_ptr<const Codebook> codebook;
  std::vector<Part> parts;
  std::size_t size = 0;       // rows, deleted ones among them
  std::size_t num_live = 0;   // rows that are not
  std::uint64_t number = 0;   // no other snapshot in this process has it
  std::uint64_t lineage = 0;  // that of the snapshot it was made from by a change
  std::shared_ptr<WorkspacePool> workspaces;

  Snapshot() = default;
  Snapshot(std::shared_ptr<const Codebook> book, std::vector<Part> all);
  // What a change makes of `before`.
  Snapshot(const Snapshot& before, std::shared_ptr<const Codebook> book, std::vector<Part> all);

  const Part& part_of_row(std::size_t row) const;
  Ids::Kind id_kind() const { return parts[0].segment->ids.kind(); }
  std::int64_t integer_id(std::size_t row) const;
  std::string_view string_id(std::size_t row) const;
  // The row called `id` that is not deleted, or Ids::kNone.
  std::uint32_t find(std::int64_t id) const;
  std::uint32_t find(std::string_view id) const;
  // Of each of `ids`.
  Array<std::uint32_t> find_all(const Ids& ids) const;
  // How many rows before this one are not deleted.
  std::size_t place_of(std::size_t row) const;
  // Calls take(row) for the rows that are not deleted, in rising order.
  template <typename Take>
  void for_each_live(const Take& take) const {
    for (const Part& part : parts) {
      for (std::size_t row = 0; row < part.segment->size; ++row) {
        if (!part.is_deleted(row)) take(part.first + row);
      }
    }
  }
  // Writes the row as it is stored.
  void read_row(std::size_t row, float* out) const;
  std::size_t tier() const;

 private:
  void place_parts();
  template <typename Id>
  std::uint32_t find_in_parts(Id id) const;
};

// Whether ids may follow those of a first segment: of one kind, and not row numbers, which would begin again.
bool follows(const Ids& first, const Ids& later);

// The parts of a snapshot without these rows, which may be named more than once.
std::vector<Part> without_rows(const Snapshot& snapshot, std::span<const std::uint32_t> rows);

// What is built, saved and loaded. A copy shares the rows and has settings of its own.
struct Index {
  std::shared_ptr<const Snapshot> snapshot;
  Settings settings;  // what a search uses that is given none
  std::string note;
};

// Learns a codebook where none is given, and encodes the rows with it: all options but the store and the threads are
// then unused.
Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress, std::shared_ptr<const Codebook> codebook = nullptr,
            std::vector<Column> columns = {});

}  // namespace shortlist
