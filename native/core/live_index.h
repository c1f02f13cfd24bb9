// An index whose rows come and go while it is searched.
//
// What is searched is a snapshot, which never changes. A change makes the next one beside it and then puts it in place:
// a search sees all of a change or nothing of it, and waits for no more than the exchange of a pointer. Writers take
// turns.
//
// New rows are encoded with the codebook as a segment of their own, and rows that they replace are marked as deleted in
// theirs. So a change costs what its rows cost, a few arrays of one value a leaf, and a copy of the marks of the
// segments it touches: nothing that grows with the index but 2.5 bits a row. Ids are found segment by segment, each in
// a table of its own.
//
// Afterwards the newest segments are merged while each has at least a kRatio-th of the rows of the one before it, and a
// segment is written anew once a kLost-th of its rows is deleted. So there are few segments, a row is copied a bounded
// number of times, and deleted rows take little memory and time. Rows keep their order throughout: that of their last
// upsert.
//
// `rebalance` learns a codebook from the rows there are, beside searches and changes. The ids that change meanwhile are
// noted. In the end their rows are taken as they then are, which is the only time that changes wait for it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "index.h"
#include "partition/nearest.h"

namespace shortlist {

struct Changes {
  std::size_t added = 0;
  std::size_t replaced = 0;
};

// How well the leaves still fit the rows.
struct Health {
  std::size_t rows = 0;
  std::size_t deleted = 0;  // rows that still take memory
  std::size_t segments = 0;
  std::size_t leaves = 0;
  std::size_t largest = 0;  // rows of the largest leaf
  std::size_t empty = 0;    // leaves without rows
  std::size_t tier = 0;     // rows in the tier
  double imbalance = 0.0;   // rows in the leaf of a mean row, over rows in a mean leaf: 1 = all leaves are as large
  double excess = 0.0;      // by what share of a mean leaf the leaves larger than it exceed it, on average
  double distance = 0.0;    // root mean square distance of the rows in leaves from their centroids
  double outside = 0.0;     // share of the rows that lie farther from their centroid than any that their leaf learnt
};
Health health_of(const Snapshot& snapshot);

class LiveIndex {
 public:
  // With few segments a search reads few; with many, rows are copied less often.
  static constexpr std::size_t kRatio = 16;
  static constexpr std::size_t kLost = 5;

  explicit LiveIndex(std::shared_ptr<const Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  // A copy shares the rows. It goes its own way from then on.
  LiveIndex(const LiveIndex& other) : snapshot_(other.snapshot()) {}
  LiveIndex& operator=(const LiveIndex&) = delete;

  std::shared_ptr<const Snapshot> snapshot() const;

  // Adds rows (size, dim), in place of those of the same ids. The ids are no row numbers, of the index's kind, and no
  // two alike. Throws std::length_error where there would be too many rows; nothing has changed then.
  Changes upsert(const float* embeddings, Ids ids, std::vector<Column> columns = {});

  // Deletes the rows of these ids, as far as there are any, and returns how many there were.
  std::size_t erase(const Ids& ids);

  // Learns leaves and codes again, and puts all rows into one segment. Searches and changes go on meanwhile. Throws
  // what `progress` throws; nothing has changed then.
  void rebalance(const LearnOptions& options, std::size_t threads, const Progress& progress);

 private:
  // What encoding a few rows needs and takes milliseconds to make.
  struct Encoder {
    explicit Encoder(std::shared_ptr<const Codebook> book);
    std::shared_ptr<const Codebook> codebook;
    Array<float> centroids;  // as coded
    Nearest nearest;
  };
  const Encoder& encoder(const Snapshot& snapshot);
  void finish_rebalance(std::shared_ptr<const Codebook> codebook, Segment segment);
  Changes add(const float* embeddings, Ids ids, std::vector<Column> columns);
  std::size_t remove(const Ids& ids);
  void publish(std::shared_ptr<const Snapshot> next);
  // Merges segments, and writes those anew that have lost many rows.
  void tidy();
  // Frees former snapshots that no search uses any more.
  void sweep();

  mutable std::mutex pointer_;  // held to copy or exchange snapshot_
  std::shared_ptr<const Snapshot> snapshot_;

  std::mutex rebalances_;  // held by a rebalance, and taken before writers_
  std::mutex writers_;     // held by a change; what follows is a writer's
  std::unique_ptr<const Encoder> encoder_;
  std::optional<std::vector<Ids>> changed_;  // ids that changed since a rebalance began
  // Former snapshots that searches still use: a search is not to spend its time on freeing one.
  std::vector<std::shared_ptr<const Snapshot>> former_;
};

}  // namespace shortlist
