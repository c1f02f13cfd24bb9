// An index: a codebook, segments encoded with it, and which of their rows are deleted.
#pragma once

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

// A segment in its place: its row i is row first + i of the index, its position p is position first + p.
struct Part {
  std::shared_ptr<const Segment> segment;
  std::uint32_t first = 0;
  std::size_t num_deleted = 0;
  Array<std::uint16_t> live = {};  // one mask a block, bit j = its row j is not deleted; empty where none is

  bool is_deleted(std::size_t position) const;
};

// What a search sees: it never changes, whatever happens to the index meanwhile.
struct Snapshot {
  std::shared_ptr<const Codebook> codebook;
  std::vector<Part> parts;
  std::size_t size = 0;      // rows, deleted ones among them
  std::size_t num_live = 0;  // rows that are not
  std::uint64_t number = 0;  // no other snapshot in this process has it
  std::shared_ptr<WorkspacePool> workspaces;

  Snapshot() = default;
  Snapshot(std::shared_ptr<const Codebook> book, std::vector<Part> all);

  const Part& part_of_row(std::size_t row) const;
  Ids::Kind id_kind() const { return parts[0].segment->ids.kind(); }
  std::int64_t integer_id(std::size_t row) const;
  std::string_view string_id(std::size_t row) const;
  // The row called `id` that is not deleted, or Ids::kNone.
  std::uint32_t find(std::int64_t id) const;
  std::uint32_t find(std::string_view id) const;
  // Writes the row as it is stored.
  void read_row(std::size_t row, float* out) const;
  std::size_t tier() const;

 private:
  template <typename Id>
  std::uint32_t find_in_parts(Id id) const;
};

// Whether ids may follow those of a first segment: of one kind, and not row numbers, which would begin again.
bool follows(const Ids& first, const Ids& later);

// Snapshots that differ from one by a segment more, whose ids no row has yet, or by deleted rows.
Snapshot with_segment(const Snapshot& snapshot, std::shared_ptr<const Segment> segment);
Snapshot without_rows(const Snapshot& snapshot, std::span<const std::uint32_t> rows);

// What is built, saved and loaded. A copy shares the rows and has settings of its own.
struct Index {
  std::shared_ptr<const Snapshot> snapshot;
  Settings settings;  // what a search uses that is given none
  std::string note;
};

// Learns a codebook where none is given, and encodes the rows with it: all options but the store and the threads are
// then unused.
Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress, std::shared_ptr<const Codebook> codebook = nullptr);

}  // namespace shortlist
