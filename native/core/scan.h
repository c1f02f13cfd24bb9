// Scanning cells for the best coded rows of one query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "codes.h"
#include "topk.h"

namespace shortlist {

// About the best `keep` of the rows shown to it, by estimated score. A threshold rises as they come; what is below it
// need not be shown.
class Survivors {
 public:
  void reset(std::size_t keep) {
    keep_ = keep;
    threshold_ = -std::numeric_limits<float>::infinity();
    rows_.clear();
  }
  float threshold() const { return threshold_; }
  void add(Scored row) { rows_.push_back(row); }

  // Drops all but the best `keep` once there are many more.
  void settle() {
    if (rows_.size() >= 2 * keep_ || (rows_.size() > keep_ && threshold_ == -std::numeric_limits<float>::infinity())) {
      shrink();
    }
  }

  // Leaves the best `keep`, in no order.
  void shrink();

  std::vector<Scored>& rows() { return rows_; }

 private:
  std::size_t keep_ = 0;
  float threshold_ = 0.0f;
  std::vector<Scored> rows_;
};

// A cell to scan, and the inner product of the query with its centroid.
struct Cell {
  std::uint32_t cell;
  float base;
};

// Memory that a scan reuses.
struct ScanSpace {
  std::vector<Span> spans;
  std::vector<Cell> owners;  // of each span
  std::vector<std::uint32_t> rows;
  std::vector<std::int32_t> sums;
};

// Shows the rows of the cells to `survivors`, in batches so that the threshold is soon tight. `allow`, where given,
// has one 16-bit mask a block of `codes`.
void scan(const Codes& codes, const CodedQuery& query, const Cell* cells, std::size_t num_cells,
          const std::uint16_t* allow, ScanSpace& space, Survivors& survivors);

// The least sum that gives a row of a cell with this base and scale (the cell's times the query's) `score`.
std::int32_t least_sum(float score, float base, float scale, std::int32_t offset);

}  // namespace shortlist
