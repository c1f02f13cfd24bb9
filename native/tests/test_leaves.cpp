// The leaves that a query visits: exactly the best, the best first, of equal ones the lower.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "index.h"
#include "random.h"
#include "search/leaves.h"

using namespace shortlist;
using shortlist::testing::check;

namespace {

enum class Scores { kSpread, kNegative, kAroundZero, kFewValues, kAllEqual };

float score(Scores kind, Random& random) {
  const float unit = static_cast<float>(random.next() >> 40) * 0x1p-24f;
  switch (kind) {
    case Scores::kSpread:
      return 0.2f + unit;
    case Scores::kNegative:
      return -5.0f * unit - 0.1f;
    case Scores::kAroundZero:
      return 2.0f * unit - 1.0f;
    case Scores::kFewValues:
      return static_cast<float>(static_cast<int>(4.0f * unit));
    default:
      return 0.25f;
  }
}

void check_order(Scores kind, std::size_t shown, std::size_t keep, Random& random) {
  std::vector<Cell> all(shown);
  for (std::uint32_t leaf = 0; leaf < shown; ++leaf) all[leaf] = {leaf, score(kind, random)};
  for (std::size_t i = shown; i > 1; --i) std::swap(all[i - 1], all[random.next() % i]);
  Survivors survivors;
  survivors.reset(keep);
  const Survivors::Room room = survivors.make_room(shown);
  for (std::size_t i = 0; i < shown; ++i) {
    room.scores[i] = all[i].base;
    room.rows[i] = all[i].cell;
  }
  survivors.add(shown);
  std::vector<Cell> taken;
  take_leaves(Codebook{}, CodedQuery{}, survivors, taken);
  std::sort(all.begin(), all.end(),
            [](const Cell& a, const Cell& b) { return a.base > b.base || (a.base == b.base && a.cell < b.cell); });
  all.resize(std::min(keep, shown));
  const bool same = std::equal(all.begin(), all.end(), taken.begin(), taken.end(),
                               [](const Cell& a, const Cell& b) { return a.cell == b.cell && a.base == b.base; });
  check(same, "scores of kind " + std::to_string(static_cast<int>(kind)) + ", the best " + std::to_string(keep) +
                  " of " + std::to_string(shown));
}

}  // namespace

int main() {
  Random random(3);
  for (const Scores kind :
       {Scores::kSpread, Scores::kNegative, Scores::kAroundZero, Scores::kFewValues, Scores::kAllEqual}) {
    for (const std::size_t keep : {1, 2, 20, 63, 64, 65, 100, 480, 2000}) {
      for (const std::size_t shown : {keep - 1, keep, keep + 1, keep + keep / 5, 3 * keep + 7}) {
        if (shown > 0) check_order(kind, shown, keep, random);
      }
    }
  }
  return shortlist::testing::finish();
}
