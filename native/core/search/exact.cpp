#include "search/exact.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "search/coded_rows.h"
#include "search/rerank.h"
#include "search/scan.h"

namespace shortlist {
namespace {

// Rows between two looks at the threshold; fewer at first, when there may be none yet.
constexpr std::size_t kFirstRows = 256;
constexpr std::size_t kMostRows = 4096;
static_assert(kFirstRows % kBlockRows == 0 && kMostRows % kBlockRows == 0);

constexpr double kUlp = 0x1p-23;
constexpr double kSmallest = 0x1p-149;  // what a product below the normal numbers is rounded to

float rounded_down(double value) {
  return std::nextafter(static_cast<float>(value), -std::numeric_limits<float>::infinity());
}

// What the codes of a row can hide of its score, for one query.
//
// With x = c + r + e (the row as it is stored: centroid, coded residual, error of the code) and |e| <= cell error, the
// inner product <q, x> differs from its estimate by at most |<q, e>| + |<q, r> - its coded value| and what rounding
// adds. By Cauchy and Schwarz no row of a cell exceeds <q, c> + |q| * radius.
class Bounds {
 public:
  Bounds(const Codebook& codebook, const Segment& segment, const CodedQuery& query, const Workspace& space)
      : codes_(segment.codes),
        query_(query),
        norm_(query.norm * (1.0 + 4.0 * kUlp)),
        l2_(codebook.metric == Metric::l2) {
    // A float inner product of D values is off by at most about D ulps of |q||x|; the terms of least_sum add
    // a few.
    const auto terms = static_cast<double>(codebook.augmentation.coded_dim() + 16);
    terms_ = 4.0 * kUlp * terms;
    rounding_ = terms_ * norm_ * segment.max_norm + terms * kSmallest;
    if (!l2_) return;
    for (std::size_t t = 0; t < codebook.dim; ++t) {
      const double value = static_cast<double>(space.query[t]) - codebook.augmentation.mean[t];
      from_mean_ += value * value;
    }
  }

  // The inner product that every row with this score or a better one has, less rounding. For squared
  // distances, <q', x'> = (|q - mean|² - |q - x|²) / 2.
  double product(float score) const {
    if (!l2_ || !std::isfinite(score)) return score - rounding_;
    return 0.5 * (score + from_mean_) - rounding_ - terms_ * (from_mean_ - score);
  }

  // No row of the cell has a larger inner product; `base` is that of its centroid.
  double most(std::size_t cell, float base) const { return base + norm_ * codes_.radii[cell] * (1.0 + 4.0 * kUlp); }

  // The estimate of a row of the cell may be this much too low.
  double slack(std::size_t cell, float base) const {
    const double scale = codes_.scales[cell];
    const double error = codes_.errors[cell];
    const double coded = scale * query_.error + query_.residual_error * (codes_.radii[cell] + error) + norm_ * error;
    return coded * (1.0 + 16.0 * kUlp) + terms_ * (scale * std::fabs(query_.offset) + std::fabs(base));
  }

 private:
  const Codes& codes_;
  const CodedQuery& query_;
  double norm_;
  bool l2_;
  double terms_ = 0.0;
  double rounding_ = 0.0;
  double from_mean_ = 0.0;
};

// The inner products of the query with the centroids of all cells.
void score_cells(const Codebook& codebook, Workspace& space) {
  const FloatBlocks& leaves = codebook.leaves;
  space.cell_scores.resize((leaves.count() + 1) * kBlockRows);
  active_kernels().f32_scores(leaves.blocks.data(), leaves.count(), codebook.augmentation.coded_dim(),
                              space.augmented.data(), 0, 1, space.cell_scores.data(), 0);
  if (codebook.has_tier()) space.cell_scores[leaves.num_rows] = 0.0f;
}

// Fills space.cells with the cells that can hold a row of inner product `least`, each with its slack added to
// its base: estimates are then upper bounds.
void choose_cells(const Codes& codes, const Bounds& bounds, double least, Workspace& space) {
  space.cells.clear();
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    const float base = space.cell_scores[cell];
    if (!(bounds.most(cell, base) >= least)) continue;
    space.cells.push_back({static_cast<std::uint32_t>(cell), static_cast<float>(base + bounds.slack(cell, base))});
  }
}

// Calls take(positions, count) for every row that can reach least_score(), which may rise, and may be returned;
// some rows at a time.
template <typename Least, typename Take>
void scan_possible(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, Workspace& space,
                   const Least& least_score, const Take& take) {
  score_cells(*snapshot.codebook, space);
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    const CodedRows coded = coded_rows(snapshot, p, allow);
    const Bounds bounds(*snapshot.codebook, *snapshot.parts[p].segment, query, space);
    choose_cells(coded.codes, bounds, bounds.product(least_score()), space);
    std::size_t rows = kFirstRows;
    for (ScanPlace place; place.next < space.cells.size(); rows = std::min(2 * rows, kMostRows)) {
      const float least = rounded_down(bounds.product(least_score()));
      std::size_t found =
          scan_some(coded, query, space.cells.data(), space.cells.size(), 0.0f, least, rows, place, space.scan);
      std::uint32_t* positions = space.scan.rows.data();
      if (!space.excluded.empty()) {
        const auto end = std::remove_if(positions, positions + found,
                                        [&](std::uint32_t position) { return space.excluded.contains(position); });
        found = static_cast<std::size_t>(end - positions);
      }
      take(positions, found);
    }
  }
}

}  // namespace

void exact_search(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, float known, Workspace& space,
                  TopK& best) {
  scan_possible(
      snapshot, query, allow, space, [&] { return std::max(known, best.threshold()); },
      [&](const std::uint32_t* positions, std::size_t count) { rerank(snapshot, positions, count, space, best); });
}

void exact_range(const Snapshot& snapshot, const CodedQuery& query, const Filter* allow, float least, Workspace& space,
                 std::vector<Scored>& found) {
  scan_possible(
      snapshot, query, allow, space, [&] { return least; },
      [&](const std::uint32_t* positions, std::size_t count) {
        take_range(snapshot, positions, count, least, space, found);
      });
}

}  // namespace shortlist
