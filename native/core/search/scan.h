// Scanning cells for the best coded rows of one query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "codes/codes.h"
#include "search/filter.h"
#include "search/topk.h"

namespace shortlist {

// About the best `keep` of the rows shown to it, by estimated score. A threshold rises as they come; what is
// below it need not be shown.
class Survivors {
 public:
  void reset(std::size_t keep) {
    keep_ = keep;
    size_ = 0;
    threshold_ = -std::numeric_limits<float>::infinity();
  }
  std::size_t keep() const { return keep_; }
  float threshold() const { return threshold_; }
  std::size_t size() const { return size_; }
  const float* scores() const { return scores_.data(); }
  const std::uint32_t* rows() const { return rows_.data(); }

  // Where the next ones go.
  struct Room {
    float* scores;
    std::uint32_t* rows;
  };
  Room make_room(std::size_t count) {
    if (scores_.size() < size_ + count) {
      scores_.resize(2 * (size_ + count));
      rows_.resize(2 * (size_ + count));
    }
    return {scores_.data() + size_, rows_.data() + size_};
  }
  // Takes `count` that were put there.
  void add(std::size_t count) { size_ += count; }

  // Drops the worst once there are many more than `keep`.
  void settle() {
    const bool many = size_ >= 2 * keep_;
    if (many || (size_ > keep_ && threshold_ == -std::numeric_limits<float>::infinity())) shrink();
  }

  // Leaves the best `keep` and perhaps a quarter more, in the order they came. No branch depends on a score, which
  // takes a third of the time of std::nth_element (0.3 instead of 1 microsecond for a hundred scores).
  void shrink();

  // Leaves exactly the best `keep`, of equal ones those in the lowest rows, and the worst of them as threshold: neither
  // depends on the order in which rows were shown.
  void choose();

 private:
  void drop();

  std::size_t keep_ = 0;
  std::size_t size_ = 0;
  float threshold_ = 0.0f;
  std::vector<float> scores_;
  std::vector<std::uint32_t> rows_;
  std::vector<Scored> ranked_;
};

// A cell to scan, and the inner product of the query with its centroid.
struct Cell {
  std::uint32_t cell;
  float base;
};

// Coded rows to scan: those that `masks` lets through, one 16-bit mask a block, null = all. The row at position p of
// the codes is reported as first + p.
struct CodedRows {
  const Codes& codes;
  const std::uint16_t* masks = nullptr;
  std::uint32_t first = 0;
};

// Memory that a scan reuses.
struct ScanSpace {
  std::vector<Span> spans;
  std::vector<Cell> owners;  // of each span
  std::vector<std::uint32_t> rows;
  std::vector<std::int32_t> sums;
};

// How far a scan has come: the next block of cells[next].
struct ScanPlace {
  std::size_t next = 0;
  std::size_t block = 0;
};

// Selects among the next `num_rows` rows (a multiple of kBlockRows) of the cells, into space.rows and space.sums, those
// whose estimated score reaches `threshold`, and returns how many there are. space.spans and space.owners say where.
// Where `stop_width` is not 0, a cell is left at the first run whose projection on the centroid scores so much less
// than the threshold that stop_width * the usual radius of the cell does not make up for it.
std::size_t scan_some(const CodedRows& rows, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
                      float stop_width, float threshold, std::size_t num_rows, ScanPlace& place, ScanSpace& space);

// Shows what was selected in one cell to `survivors`, except for positions in `excluded`.
void show(const Codes& codes, const CodedQuery& query, const Cell& cell, const std::uint32_t* rows,
          const std::int32_t* sums, std::size_t count, const Excluded& excluded, Survivors& survivors);

// Shows the rows of the cells to `survivors`, in batches so that the threshold is soon tight. The positions in
// `excluded` are passed over; `stop_width` is as in scan_some.
void scan(const CodedRows& rows, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
          const Excluded& excluded, float stop_width, ScanSpace& space, Survivors& survivors);

// A sum that every row of a cell with this base and scale reaches if its estimate reaches `score`, rounding
// included; about the least one.
std::int32_t least_sum(float score, float base, float scale, const CodedQuery& query);

}  // namespace shortlist
