// An index that changes answers as one built afresh of the same rows in the same order, with the same codebook: also
// while others search it.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "file/file.h"
#include "kind.h"
#include "live_index.h"
#include "random.h"
#include "search/search.h"

using namespace shortlist;
using shortlist::testing::check;
using shortlist::testing::Kind;

namespace {

constexpr std::size_t kDim = 11;
constexpr std::size_t kQueries = 9;
constexpr std::size_t kK = 12;

const Progress kSilent = [](const char*, double) {};

std::vector<float> values(Random& random, std::size_t count) {
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.next() >> 40) * 0x1p-23f - 1.0f;
  return out;
}

Ids ids_of(const std::vector<std::int64_t>& values_) {
  Array<std::int64_t> ids(values_.size());
  std::copy(values_.begin(), values_.end(), ids.begin());
  return Ids(std::move(ids));
}

// What the index should hold, in the order of the last upserts.
struct Model {
  std::vector<std::int64_t> ids;
  std::vector<float> rows;

  std::size_t erase(const std::vector<std::int64_t>& gone) {
    std::size_t kept = 0;
    const std::size_t before = ids.size();
    for (std::size_t i = 0; i < before; ++i) {
      if (std::find(gone.begin(), gone.end(), ids[i]) != gone.end()) continue;
      ids[kept] = ids[i];
      std::copy_n(&rows[i * kDim], kDim, &rows[kept++ * kDim]);
    }
    ids.resize(kept);
    rows.resize(kept * kDim);
    return before - kept;
  }
  void upsert(const std::vector<std::int64_t>& own, const std::vector<float>& embeddings) {
    erase(own);
    ids.insert(ids.end(), own.begin(), own.end());
    rows.insert(rows.end(), embeddings.begin(), embeddings.end());
  }
};

struct Found {
  std::vector<float> scores;
  std::vector<std::int64_t> ids;
  bool operator==(const Found&) const = default;
};

Found found_by(const Snapshot& snapshot, const std::vector<float>& queries, const Settings& settings) {
  std::vector<float> scores(kQueries * kK);
  std::vector<std::int64_t> rows(kQueries * kK);
  search(snapshot, queries.data(), kQueries, kK, settings, {}, 1, scores.data(), rows.data());
  for (std::int64_t& row : rows) row = row < 0 ? -1 : snapshot.integer_id(static_cast<std::size_t>(row));
  return {std::move(scores), std::move(rows)};
}

void check_same(const LiveIndex& index, const Model& model, const BuildOptions& options, const std::string& name) {
  const auto now = index.snapshot();
  check(now->num_live == model.ids.size(), name + "as many rows");
  std::vector<std::int64_t> ids;
  now->for_each_live([&](std::size_t row) {
    check(now->place_of(row) == ids.size(), name + "rows are counted in order");
    ids.push_back(now->integer_id(row));
  });
  check(ids == model.ids, name + "in the order of the last upserts");
  if (model.ids.empty()) return;
  const Index fresh =
      build(model.rows.data(), model.ids.size(), kDim, ids_of(model.ids), options, kSilent, now->codebook);
  Random random(7);
  const std::vector<float> queries = values(random, kQueries * kDim);
  Settings exact;
  exact.exact = true;
  Settings few;  // without an early stop what is found depends on estimates alone
  few.leaves = 5;
  few.rerank = 15;
  few.stop = 0.0f;
  for (const Settings& settings : {exact, few}) {
    check(found_by(*now, queries, settings) == found_by(*fresh.snapshot, queries, settings),
          name + "answers of a fresh index");
  }
}

void check_changes(const Kind& kind) {
  Random random(3);
  BuildOptions options;
  options.metric = kind.metric;
  options.codes = kind.codes;
  options.store = kind.store;
  options.leaves = 20;
  options.tier = 10;
  options.threads = 1;
  Model model;
  for (std::int64_t id = 0; id < 600; ++id) model.ids.push_back(id);
  model.rows = values(random, 600 * kDim);
  LiveIndex index(build(model.rows.data(), 600, kDim, Ids(600), options, kSilent).snapshot);
  check_same(index, model, options, kind.name() + "as built: ");
  const std::vector<float> queries = values(random, kQueries * kDim);
  std::size_t most_parts = 0;
  for (int step = 0; step < 60; ++step) {
    const std::string name = kind.name() + "step " + std::to_string(step) + ": ";
    std::vector<std::int64_t> ids;
    const std::size_t count = 1 + random.below(step % 7 == 0 ? 200 : 6);
    while (ids.size() < count) {
      const auto id = static_cast<std::int64_t>(random.below(900));
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
    const LiveIndex before(index);
    const Found answers = found_by(*before.snapshot(), queries, {});
    if (random.below(3) == 0) {
      check(index.erase(ids_of(ids)) == model.erase(ids), name + "as many deleted");
    } else {
      const std::vector<float> rows = values(random, count * kDim);
      const std::size_t had = model.ids.size();
      model.upsert(ids, rows);
      const Changes changes = index.upsert(rows.data(), ids_of(ids));
      check(changes.added == model.ids.size() - had && changes.added + changes.replaced == count,
            name + "added and replaced");
    }
    check(found_by(*before.snapshot(), queries, {}) == answers, name + "a copy goes its own way");
    const auto now = index.snapshot();
    most_parts = std::max(most_parts, now->parts.size());
    for (const Part& part : now->parts) {
      check(part.num_deleted() * LiveIndex::kLost <= part.segment->size, name + "deleted rows are dropped in time");
    }
    if (step % 5 == 0) check_same(index, model, options, name);
  }
  check(most_parts > 1 && most_parts <= 4, kind.name() + "few segments");
  check_same(index, model, options, kind.name() + "at the end: ");
  std::vector<std::int64_t> all = model.ids;
  check(index.erase(ids_of(all)) == model.erase(all), kind.name() + "all deleted");
  check_same(index, model, options, kind.name() + "empty: ");
  check(index.snapshot()->size == 0, kind.name() + "an empty index holds no rows");
  std::vector<char> bytes;
  save(Index{index.snapshot(), {}, {}}, [&](std::size_t size) {
    bytes.resize(size);
    return bytes.data();
  });
  LiveIndex again(load(bytes).snapshot);
  model.upsert({5, 3}, values(random, 2 * kDim));
  again.upsert(model.rows.data(), ids_of(model.ids));
  check_same(again, model, options, kind.name() + "filled again: ");
}

// Readers see all of a change or nothing of it: the rows of an upsert have one value, and the next upsert another.
void check_readers() {
  constexpr std::size_t kRows = 40;
  constexpr int kTurns = 300;
  Random random(5);
  BuildOptions options;
  options.leaves = 8;
  options.threads = 1;
  std::vector<std::int64_t> ids(kRows);
  for (std::size_t i = 0; i < kRows; ++i) ids[i] = static_cast<std::int64_t>(i) + 1000;
  const std::vector<float> others = values(random, 500 * kDim);
  LiveIndex index(build(others.data(), 500, kDim, Ids(500), options, kSilent).snapshot);
  index.upsert(std::vector<float>(kRows * kDim, 10.0f).data(), ids_of(ids));
  std::atomic<bool> done{false};
  std::atomic<std::size_t> searches{0};
  const auto read = [&] {
    Settings exact;
    exact.exact = true;
    const std::vector<float> query(kDim, 1.0f);
    std::vector<float> scores(kRows);
    std::vector<std::int64_t> rows(kRows);
    while (!done || searches < 10) {
      const auto now = index.snapshot();
      search(*now, query.data(), 1, kRows, exact, {}, 1, scores.data(), rows.data());
      check(scores.front() == scores.back() && now->integer_id(static_cast<std::size_t>(rows[0])) == 1000,
            "a change is seen whole");
      ++searches;
    }
  };
  std::thread first(read), second(read);
  for (int turn = 1; turn <= kTurns; ++turn) {
    index.upsert(std::vector<float>(kRows * kDim, 10.0f + static_cast<float>(turn)).data(), ids_of(ids));
    if (turn % 3 == 0) index.erase(ids_of({static_cast<std::int64_t>(random.below(500))}));
  }
  done = true;
  first.join();
  second.join();
}

}  // namespace

int main() {
  for (const Metric metric : {Metric::dot, Metric::cosine, Metric::l2}) {
    for (const RowCodes codes : {RowCodes::int8, RowCodes::int4, RowCodes::pq4})
      check_changes({metric, codes, Store::float32});
  }
  check_changes({Metric::dot, RowCodes::int8, Store::bfloat16});
  check_changes({Metric::l2, RowCodes::int8, Store::int8});
  check_readers();
  return shortlist::testing::finish();
}
