#include "search/leaves.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/dispatch.h"

namespace shortlist {
namespace {

// Rises with the score, and orders what is not a number too.
std::int32_t ordered(float score) {
  const auto bits = std::bit_cast<std::int32_t>(score);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

bool comes_first(const Cell& a, const Cell& b) {
  const std::int32_t first = ordered(a.base);
  const std::int32_t second = ordered(b.base);
  return first > second || (first == second && a.cell < b.cell);
}

// Writes many leaves as sort_leaves does: into buckets by score, and sorted there, where few are. For 480 leaves that
// took 7 µs where choosing them and std::sort took 20.
void sort_many_leaves(const float* scores, const std::uint32_t* leaves, std::size_t count, Cell* sorted) {
  constexpr int kBits = 9;
  std::int32_t lowest = ordered(scores[0]);
  std::int32_t highest = lowest;
  for (std::size_t i = 1; i < count; ++i) {
    lowest = std::min(lowest, ordered(scores[i]));
    highest = std::max(highest, ordered(scores[i]));
  }
  const auto below = [&](float score) {
    return static_cast<std::uint32_t>(highest) - static_cast<std::uint32_t>(ordered(score));
  };
  const std::uint32_t range = static_cast<std::uint32_t>(highest) - static_cast<std::uint32_t>(lowest);
  const int shift = std::max(0, static_cast<int>(std::bit_width(range)) - kBits);
  std::uint32_t ends[(1 << kBits) + 1] = {};
  for (std::size_t i = 0; i < count; ++i) ++ends[(below(scores[i]) >> shift) + 1];
  for (std::size_t bucket = 0; bucket < (1 << kBits); ++bucket) ends[bucket + 1] += ends[bucket];
  for (std::size_t i = 0; i < count; ++i) sorted[ends[below(scores[i]) >> shift]++] = {leaves[i], scores[i]};
  std::uint32_t begin = 0;
  for (std::size_t bucket = 0; bucket < (1 << kBits); ++bucket) {
    if (ends[bucket] > begin + 1) std::sort(sorted + begin, sorted + ends[bucket], comes_first);
    begin = ends[bucket];
  }
}

// Writes the leaves, the best first, of equal ones the lower. Each of a few finds its place by counting those before
// it: no branch depends on a score, which takes two thirds of the time of std::sort.
void sort_leaves(const float* scores, const std::uint32_t* leaves, std::size_t count, Cell* sorted) {
  constexpr std::size_t kFew = 64;
  if (count > kFew) {
    sort_many_leaves(scores, leaves, count, sorted);
    return;
  }
  std::int32_t keys[kFew];
  for (std::size_t i = 0; i < count; ++i) keys[i] = ordered(scores[i]);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t place = 0;
    for (std::size_t j = 0; j < count; ++j) {
      const std::uint32_t larger = keys[j] > keys[i] ? 1 : 0;
      const std::uint32_t equal = keys[j] == keys[i] ? 1 : 0;
      const std::uint32_t lower = leaves[j] < leaves[i] ? 1 : 0;
      place += larger | (equal & lower);
    }
    sorted[place] = {leaves[i], scores[i]};
  }
}

}  // namespace

void choose_groups(const Codebook& codebook, const Settings& settings, const Filter* allow, Workspace& space) {
  const FloatBlocks& groups = codebook.groups;
  const std::size_t wanted =
      settings.groups != 0 ? settings.groups : std::max<std::size_t>(codebook.default_groups, settings.leaves);
  space.group_scores.resize(groups.count() * kBlockRows);
  float* scores = space.group_scores.data();
  active_kernels().f32_scores(groups.blocks.data(), groups.count(), codebook.routing_dim(), space.augmented.data(), 0,
                              1, scores, 0);
  if (allow != nullptr) {
    for (std::size_t g = 0; g < groups.num_rows; ++g) {
      if (allow->groups[g] == 0) scores[g] = -std::numeric_limits<float>::max();
    }
  }
  const float least = wanted < groups.num_rows ? active_kernels().reached_by(scores, groups.num_rows, wanted)
                                               : -std::numeric_limits<float>::infinity();
  space.cells.resize(groups.num_rows);
  std::size_t chosen = 0;
  std::size_t best = 0;
  for (std::uint32_t g = 0; g < groups.num_rows; ++g) {
    space.cells[chosen] = {g, scores[g]};
    best = scores[g] > space.cells[best].base ? chosen : best;
    chosen += scores[g] >= least ? 1 : 0;
  }
  space.cells.resize(chosen);
  std::swap(space.cells[0], space.cells[best]);
}

void take_leaves(const Codebook& codebook, const CodedQuery& query, Survivors& leaves, std::vector<Cell>& cells) {
  leaves.shrink();
  const std::size_t first = codebook.has_tier() ? 1 : 0;
  cells.resize(first + leaves.size());
  if (codebook.has_tier()) cells[0] = {static_cast<std::uint32_t>(codebook.num_leaves()), 0.0f};
  sort_leaves(leaves.scores(), leaves.rows(), leaves.size(), &cells[first]);
  cells.resize(first + std::min(leaves.size(), leaves.keep()));
  if (codebook.spread == 0.0f) return;
  for (std::size_t i = first; i < cells.size(); ++i) {
    cells[i].base -= codebook.spread * query.norm * codebook.spreads[cells[i].cell];
  }
}

}  // namespace shortlist
