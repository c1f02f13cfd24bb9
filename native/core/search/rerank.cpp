#include "search/rerank.h"

namespace shortlist {
namespace {

// Calls take({score, row}) for the rows at `positions` of one segment.
//
// Rows are read in the order they are found: sorting 50 of them by position first took 1 µs longer than it saved on the
// headline set, sorting 800 of them 20 µs.
template <typename Take>
void score_part(const Snapshot& snapshot, const Part& part, const std::uint32_t* positions, std::size_t count,
                Workspace& space, const Take& take) {
  const Segment& segment = *part.segment;
  space.scores.resize(count);
  for (std::size_t i = 0; i < count; ++i) __builtin_prefetch(&segment.row_of[positions[i]]);
  if (snapshot.codebook->metric == Metric::l2) {
    segment.rows.squared_distances(space.query.data(), positions, count, space.scores.data());
    for (float& score : space.scores) score = -score;
  } else {
    segment.rows.dot(space.query.data(), positions, count, space.scores.data());
  }
  for (std::size_t i = 0; i < count; ++i) take(Scored{space.scores[i], part.first + segment.row_of[positions[i]]});
}

// The same for positions of all segments.
template <typename Take>
void score_rows(const Snapshot& snapshot, const std::uint32_t* positions, std::size_t count, Workspace& space,
                const Take& take) {
  if (snapshot.parts.size() == 1) {
    score_part(snapshot, snapshot.parts[0], positions, count, space, take);
    return;
  }
  for (const Part& part : snapshot.parts) {
    space.in_part.clear();
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t position = positions[i] - part.first;
      if (positions[i] >= part.first && position < part.segment->size) space.in_part.push_back(position);
    }
    score_part(snapshot, part, space.in_part.data(), space.in_part.size(), space, take);
  }
}

}  // namespace

void rerank(const Snapshot& snapshot, const std::uint32_t* positions, std::size_t count, Workspace& space, TopK& best) {
  score_rows(snapshot, positions, count, space, [&](const Scored& row) {
    if (row.score >= best.threshold()) best.push(row);
  });
}

void take_range(const Snapshot& snapshot, const std::uint32_t* positions, std::size_t count, float least,
                Workspace& space, std::vector<Scored>& found) {
  score_rows(snapshot, positions, count, space, [&](const Scored& row) {
    if (row.score >= least) found.push_back(row);
  });
}

}  // namespace shortlist
