// A batch gives every query the answer that it gets alone, on any number of threads.
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "index.h"
#include "search/search.h"

using namespace shortlist;
using shortlist::testing::check;

namespace {

constexpr std::size_t kSize = 3000;
constexpr std::size_t kDim = 13;
constexpr std::size_t kQueries = 37;
constexpr std::size_t kK = 7;

std::vector<float> values(std::size_t count, std::uint32_t state) {
  std::vector<float> out(count);
  for (float& value : out) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return out;
}

struct Found {
  std::vector<float> scores;
  std::vector<std::int64_t> rows;
  bool operator==(const Found&) const = default;
};

Found together(const Snapshot& index, const std::vector<float>& queries, const Settings& settings, const Limits& limits,
               std::size_t threads) {
  Found found{std::vector<float>(kQueries * kK), std::vector<std::int64_t>(kQueries * kK)};
  search(index, queries.data(), kQueries, kK, settings, limits, threads, found.scores.data(), found.rows.data());
  return found;
}

Found alone(const Snapshot& index, const std::vector<float>& queries, const Settings& settings, const Limits& limits) {
  Found found{std::vector<float>(kQueries * kK), std::vector<std::int64_t>(kQueries * kK)};
  for (std::size_t i = 0; i < kQueries; ++i) {
    Limits own = limits;
    std::vector<std::int64_t> offsets;
    if (!limits.exclude_offsets.empty()) {
      const std::int64_t begin = limits.exclude_offsets[i];
      const std::int64_t end = limits.exclude_offsets[i + 1];
      own.exclude = limits.exclude.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
      offsets = {0, end - begin};
      own.exclude_offsets = offsets;
    }
    search(index, &queries[i * kDim], 1, kK, settings, own, 1, &found.scores[i * kK], &found.rows[i * kK]);
  }
  return found;
}

}  // namespace

int main() {
  const std::vector<float> rows = values(kSize * kDim, 1);
  const std::vector<float> queries = values(kQueries * kDim, 2);
  std::vector<std::uint8_t> allowed(kSize);
  for (std::size_t row = 0; row < kSize; ++row) allowed[row] = row % 3 != 0 ? 1 : 0;
  std::vector<std::uint32_t> excluded;
  std::vector<std::int64_t> offsets{0};
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (std::uint32_t row = 0; row < 40 * (i % 5); ++row) excluded.push_back((row * 7 + 1) % kSize);
    offsets.push_back(static_cast<std::int64_t>(excluded.size()));
  }
  for (const Metric metric : {Metric::dot, Metric::cosine, Metric::l2}) {
    for (const RowCodes codes : {RowCodes::int8, RowCodes::int4, RowCodes::pq4}) {
      for (const Store store : {Store::float32, Store::bfloat16, Store::int8}) {
        BuildOptions options;
        options.store = store;
        options.metric = metric;
        options.codes = codes;
        options.leaves = 40;
        options.tier = 50;
        options.threads = 2;
        options.spread = metric == Metric::dot ? 0.0f : 2.0f;
        const Index built = build(rows.data(), kSize, kDim, Ids(kSize), options, [](const char*, double) {});
        const Snapshot& index = *built.snapshot;
        const Filter filter = make_filter(index, allowed);
        Limits narrow;
        narrow.allow = &filter;
        narrow.exclude = excluded;
        narrow.exclude_offsets = offsets;
        for (const Limits& limits : {Limits{}, narrow}) {
          for (const float stop : {-1.0f, 0.0f, 0.5f}) {
            Settings settings;
            settings.exact = stop < 0.0f;
            settings.stop = settings.exact ? 0.0f : stop;
            settings.leaves = 12;
            settings.rerank = 25;
            const Found expected = alone(index, queries, settings, limits);
            for (const std::size_t threads : {1, 2, 3}) {
              check(together(index, queries, settings, limits, threads) == expected,
                    "metric " + std::to_string(static_cast<int>(metric)) + ", codes " +
                        std::to_string(static_cast<int>(codes)) + ", store " + std::to_string(static_cast<int>(store)) +
                        ", " + std::to_string(threads) + " threads");
            }
          }
        }
      }
    }
  }
  return shortlist::testing::finish();
}
