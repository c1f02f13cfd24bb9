// An index of several segments answers as one of all its rows; deleted rows never come back; a file holds all of it.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "file/file.h"
#include "index.h"
#include "kind.h"
#include "random.h"
#include "search/search.h"

using namespace shortlist;
using shortlist::testing::check;
using shortlist::testing::Kind;

namespace {

constexpr std::size_t kSize = 3000;
constexpr std::size_t kDim = 13;
constexpr std::size_t kQueries = 37;
constexpr std::size_t kK = 20;
constexpr std::size_t kCuts[] = {0, 1700, 1701, 2400, kSize};

const Progress kSilent = [](const char*, double) {};

std::vector<float> values(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.next() >> 40) * 0x1p-23f - 1.0f;
  return out;
}

Ids ids_of(std::size_t first, std::size_t count) {
  Array<std::int64_t> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = static_cast<std::int64_t>(7 * (first + i));
  return Ids(std::move(ids));
}

BuildOptions options_of(const Kind& kind, std::size_t threads) {
  BuildOptions options;
  options.metric = kind.metric;
  options.codes = kind.codes;
  options.store = kind.store;
  options.leaves = 40;
  options.tier = 50;
  options.threads = threads;
  options.spread = 1.0f;
  return options;
}

// Rows [first, last) alone, encoded with the codebook.
std::shared_ptr<const Segment> segment_of(const std::shared_ptr<const Codebook>& codebook, const float* rows,
                                          std::size_t first, std::size_t last, const Kind& kind, std::size_t threads) {
  const Index index = build(rows + first * kDim, last - first, kDim, ids_of(first, last - first),
                            options_of(kind, threads), kSilent, codebook);
  return index.snapshot->parts[0].segment;
}

Snapshot with_segment(const Snapshot& snapshot, std::shared_ptr<const Segment> segment) {
  std::vector<Part> parts = snapshot.parts;
  parts.push_back({std::move(segment)});
  return Snapshot(snapshot, snapshot.codebook, std::move(parts));
}

Snapshot deleted(const Snapshot& snapshot, std::span<const std::uint32_t> rows) {
  return Snapshot(snapshot, snapshot.codebook, without_rows(snapshot, rows));
}

struct Found {
  std::vector<float> scores;
  std::vector<std::int64_t> rows;
  bool operator==(const Found&) const = default;
};

Found found_by(const Snapshot& snapshot, const std::vector<float>& queries, const Settings& settings,
               const Limits& limits = {}) {
  Found found{std::vector<float>(kQueries * kK), std::vector<std::int64_t>(kQueries * kK)};
  search(snapshot, queries.data(), kQueries, kK, settings, limits, 2, found.scores.data(), found.rows.data());
  return found;
}

Settings exact() {
  Settings settings;
  settings.exact = true;
  return settings;
}

// Everything scanned and the best 30 of it scored: without an early stop, what is found depends on estimates alone.
Settings by_estimate(std::uint32_t leaves) {
  Settings settings;
  settings.leaves = leaves;
  settings.rerank = 30;
  settings.stop = 0.0f;
  return settings;
}

void check_searches(const Snapshot& one, const Snapshot& several, const std::vector<float>& queries, const Kind& kind) {
  check(found_by(one, queries, exact()) == found_by(several, queries, exact()), kind.name() + "exact");
  check(found_by(one, queries, by_estimate(12)) == found_by(several, queries, by_estimate(12)),
        kind.name() + "the best estimates of the same leaves");
}

void check_deletions(const Snapshot& one, const Snapshot& several, const std::vector<float>& queries,
                     const Kind& kind) {
  const Found before = found_by(one, queries, exact());
  std::vector<std::uint32_t> gone;
  for (std::size_t i = 0; i < kQueries; ++i) {  // the best of each, and more
    for (std::size_t j = 0; j < kK; j += 2) gone.push_back(static_cast<std::uint32_t>(before.rows[i * kK + j]));
  }
  for (std::uint32_t row = 0; row < kSize; row += 5) gone.push_back(row);
  const Snapshot left = deleted(deleted(several, gone), std::vector<std::uint32_t>{gone[0], 3});
  gone.push_back(3);
  std::vector<bool> is_gone(kSize, false);
  for (const std::uint32_t row : gone) is_gone[row] = true;
  const auto live = static_cast<std::size_t>(std::count(is_gone.begin(), is_gone.end(), false));
  check(left.num_live == live && several.num_live == kSize, kind.name() + "rows are counted once");
  check(left.find(std::int64_t{7 * gone[0]}) == Ids::kNone, kind.name() + "a deleted id is not found");
  std::vector<std::uint8_t> allowed(kSize);
  for (std::size_t row = 0; row < kSize; ++row) allowed[row] = is_gone[row] ? 0 : 1;
  const Filter same = make_filter(one, allowed);
  Limits limits;
  limits.allow = &same;
  check(found_by(left, queries, exact()) == found_by(one, queries, exact(), limits),
        kind.name() + "exact search of what is left is that of the same rows allowed");

  std::fill(allowed.begin(), allowed.end(), std::uint8_t{0});
  for (std::size_t row = 0; row < kSize; row += 2) allowed[row] = 1;
  const Filter even = make_filter(left, allowed);
  Limits narrow;
  narrow.allow = &even;
  std::vector<std::uint32_t> all_rows(kSize - 25);
  for (std::uint32_t row = 0; row < all_rows.size(); ++row) all_rows[row] = row;
  Limits few;
  few.exclude = all_rows;
  for (const Settings& settings : {exact(), Settings{}, by_estimate(1)}) {
    for (const Limits& own : {Limits{}, narrow, few}) {
      const Found found = found_by(left, queries, settings, own);
      std::size_t possible = 0;
      for (std::size_t row = 0; row < kSize; ++row) {
        const bool in = own.allow == nullptr || row % 2 == 0;
        const bool out = !own.exclude.empty() && row < all_rows.size();
        possible += in && !out && !is_gone[row] ? 1 : 0;
      }
      for (std::size_t i = 0; i < kQueries; ++i) {
        std::size_t there = 0;
        for (std::size_t j = 0; j < kK; ++j) {
          const std::int64_t row = found.rows[i * kK + j];
          if (row < 0) continue;
          ++there;
          check(!is_gone[static_cast<std::size_t>(row)], kind.name() + "a deleted row came back");
        }
        check(there == std::min(kK, possible), kind.name() + "fewer results than rows that are left");
      }
    }
  }
  std::vector<std::uint32_t> every(kSize);
  for (std::uint32_t row = 0; row < kSize; ++row) every[row] = row;
  const Found none = found_by(deleted(several, every), queries, Settings{});
  check(std::count(none.rows.begin(), none.rows.end(), -1) == static_cast<std::ptrdiff_t>(kQueries * kK),
        kind.name() + "nothing is left");
}

std::vector<char> bytes_of(const Index& index) {
  std::vector<char> bytes;
  save(index, [&](std::size_t size) {
    bytes.resize(size);
    return bytes.data();
  });
  return bytes;
}

template <typename T>
Array<T> array_of(const std::vector<T>& values_) {
  Array<T> array(values_.size());
  std::copy(values_.begin(), values_.end(), array.begin());
  return array;
}

// A file holds segments, deletions and columns, and says the same when it is written again.
void check_file(const Snapshot& several, const std::vector<float>& queries, const Kind& kind) {
  auto with_columns = std::make_shared<Segment>();
  {
    const Segment& plain = *several.parts[3].segment;
    with_columns->size = plain.size;
    with_columns->codes = plain.codes;
    with_columns->row_of = plain.row_of;
    with_columns->rows = plain.rows;
    with_columns->ids = ids_of(kSize, plain.size);
    with_columns->finish(*several.codebook, several.codebook->coded_centroids().data());
  }
  const std::size_t size = with_columns->size;
  Column year;
  year.name = "year";
  year.values = Array<std::uint8_t>(8 * size, 7);
  year.missing = Array<std::uint8_t>(size, 0);
  Column genres;
  genres.name = "genres";
  genres.type = ColumnType::text;
  genres.is_list = true;
  genres.values = Array<std::uint8_t>(3 * size, 'a');
  std::vector<std::uint64_t> text_ends;
  std::vector<std::uint64_t> list_ends;
  for (std::size_t row = 0; row < size; ++row) {
    text_ends.push_back(3 * row + 1);
    text_ends.push_back(3 * row + 3);
    list_ends.push_back(2 * row + 2);
  }
  genres.text_ends = array_of(text_ends);
  genres.list_ends = array_of(list_ends);
  with_columns->columns = {year, genres};

  Index index;
  index.note = "a note";
  index.settings.leaves = 9;
  const std::uint32_t gone[] = {0, 1700, 2999};
  index.snapshot = std::make_shared<const Snapshot>(deleted(with_segment(several, with_columns), gone));
  const std::vector<char> bytes = bytes_of(index);
  const Index loaded = load(bytes);
  check(bytes_of(loaded) == bytes, kind.name() + "a file is written as it was read");
  const Snapshot& there = *loaded.snapshot;
  check(there.parts.size() == 5 && there.num_live == index.snapshot->num_live, kind.name() + "segments and deletions");
  check(there.find(std::int64_t{7 * 1700}) == Ids::kNone && there.find(std::int64_t{7 * 1701}) == 1701,
        kind.name() + "ids");
  const std::vector<Column>& columns = there.parts[4].segment->columns;
  check(columns.size() == 2 && columns[1].name == "genres" && columns[1].is_list &&
            columns[1].text_ends.size() == 2 * size && columns[0].missing.size() == size,
        kind.name() + "columns");
  for (const Settings& settings : {exact(), Settings{}}) {
    check(found_by(there, queries, settings) == found_by(*index.snapshot, queries, settings),
          kind.name() + "answers after loading");
  }

  for (std::size_t at = 0; at < bytes.size(); at += 9973) {
    std::vector<char> damaged = bytes;
    damaged[at] ^= 0x55;
    bool refused = false;
    try {
      load(damaged);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    check(refused, kind.name() + "damage at byte " + std::to_string(at));
  }
}

}  // namespace

int main() {
  const std::vector<float> rows = values(kSize * kDim, 1);
  const std::vector<float> queries = values(kQueries * kDim, 2);
  for (const Metric metric : {Metric::dot, Metric::cosine, Metric::l2}) {
    for (const RowCodes codes : {RowCodes::int8, RowCodes::int4, RowCodes::pq4}) {
      for (const Store store : {Store::float32, Store::bfloat16, Store::int8}) {
        const Kind kind{metric, codes, store};
        const PreparedRows sample(metric, rows.data(), kSize / 2, kDim, 1, kSilent);
        const auto codebook = std::make_shared<const Codebook>(
            learn(sample.data(), kSize / 2, kDim, options_of(kind, 1), 1, kSilent).codebook);
        const Snapshot one(codebook, {{segment_of(codebook, rows.data(), 0, kSize, kind, 2)}});
        Snapshot several(codebook, {{segment_of(codebook, rows.data(), kCuts[0], kCuts[1], kind, 1)}});
        for (std::size_t cut = 1; cut + 1 < std::size(kCuts); ++cut) {
          several =
              with_segment(several, segment_of(codebook, rows.data(), kCuts[cut], kCuts[cut + 1], kind, 1 + cut % 2));
        }
        check_searches(one, several, queries, kind);
        check_deletions(one, several, queries, kind);
        check_file(several, queries, kind);
      }
    }
  }
  return shortlist::testing::finish();
}
