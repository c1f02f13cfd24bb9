// Every level against plain sums over row-major data, and against the scalar level bit for bit where
// kernels.h says so: at awkward dimensions, every tail of rows, extreme thresholds and values, with and
// without masks. Arrays have exactly the size that kernels.h asks for, so that the address sanitizer sees any
// step outside them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/dispatch.h"

using namespace shortlist;
using shortlist::testing::check;

namespace {

const std::vector<std::size_t> kDims = {1,  3,  7,  8,   9,   15,  16,  17,   31,   32,          33,
                                        63, 64, 65, 100, 128, 384, 768, 2048, 4096, kMaxCodedDim};
constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t kHighest = std::numeric_limits<std::int32_t>::max();

using Random = std::mt19937;

template <class Value>
std::vector<Value> integers(std::size_t count, int low, int high, Random& random) {
  std::uniform_int_distribution<int> value(low, high);
  std::vector<Value> values(count);
  for (Value& v : values) v = static_cast<Value>(value(random));
  return values;
}

std::vector<float> floats(std::size_t count, Random& random) {
  std::normal_distribution<float> value;
  std::vector<float> values(count);
  for (float& v : values) v = value(random);
  return values;
}

std::size_t blocks_for(std::size_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

enum class Format { int8, code4, int4 };

std::string name_of(Format format) {
  return format == Format::int8 ? "int8" : format == Format::code4 ? "code4" : "int4";
}

// Rows of one of the integer formats, with the sum that each must get.
struct Case {
  std::size_t slices;
  std::vector<std::uint8_t> blocks;  // whole blocks; the padding is random too
  std::vector<std::int8_t> int8_query;
  std::vector<std::uint8_t> tables;
  std::vector<std::int32_t> sums;
};

enum class Values { kRandom, kExtreme };

// `dim` dimensions of int8, in blocks as kernels.h lays them out.
Case int8_case(std::size_t dim, std::size_t num_blocks, Values values, Random& random) {
  Case c;
  c.slices = (dim + 3) / 4;
  const std::size_t rows = num_blocks * kBlockRows;
  auto stored = integers<std::uint8_t>(rows * dim, 0, 255, random);
  auto query = integers<std::int8_t>(dim, -128, 127, random);
  if (values == Values::kExtreme) {
    const std::int8_t sign = random() % 2 == 0 ? std::int8_t{-128} : std::int8_t{127};
    for (auto& v : stored) v = random() % 8 == 0 ? 0 : 255;
    for (auto& v : query) v = sign;
  }
  c.blocks.assign(num_blocks * c.slices * kSliceBytes, 128);
  c.int8_query.assign(4 * c.slices, 0);
  std::copy(query.begin(), query.end(), c.int8_query.begin());
  for (std::size_t r = 0; r < rows; ++r) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const std::size_t slice = r / kBlockRows * c.slices + i / 4;
      c.blocks[slice * kSliceBytes + 4 * (r % kBlockRows) + i % 4] = stored[r * dim + i];
      sum += stored[r * dim + i] * query[i];
    }
    c.sums.push_back(sum);
  }
  return c;
}

// `count` codes of 4 bits, even ones or places in tables.
Case nibbles_case(bool even, std::size_t count, std::size_t num_blocks, Values values, Random& random) {
  Case c;
  c.slices = (count + 7) / 8;
  const std::size_t rows = num_blocks * kBlockRows;
  const bool extreme = values == Values::kExtreme;
  const auto codes = integers<std::uint8_t>(rows * count, extreme && even ? 15 : 0, 15, random);
  const auto entries = integers<std::uint8_t>(count * 16, extreme ? 255 : 0, 255, random);
  auto query = integers<std::int8_t>(count, -128, 127, random);
  if (extreme) std::fill(query.begin(), query.end(), random() % 2 == 0 ? std::int8_t{-128} : std::int8_t{127});
  c.blocks.assign(num_blocks * c.slices * kSliceBytes, 0);
  c.tables.assign(c.slices * kSliceTableBytes, 0);
  c.int8_query.assign(8 * c.slices, 0);
  std::copy(entries.begin(), entries.end(), c.tables.begin());
  std::copy(query.begin(), query.end(), c.int8_query.begin());
  for (std::size_t r = 0; r < rows; ++r) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t code = codes[r * count + i];
      const std::size_t slice = r / kBlockRows * c.slices + i / 8;
      const std::size_t p = i % 8;
      c.blocks[slice * kSliceBytes + 4 * (r % kBlockRows) + p % 4] |=
          static_cast<std::uint8_t>(p < 4 ? code : code << 4);
      sum += even ? code * query[i] : entries[i * 16 + code];
    }
    c.sums.push_back(sum);
  }
  return c;
}

Case make_case(Format format, std::size_t size, std::size_t num_blocks, Values values, Random& random) {
  return format == Format::int8 ? int8_case(size, num_blocks, values, random)
                                : nibbles_case(format == Format::int4, size, num_blocks, values, random);
}

std::size_t select(const Kernels& k, Format format, const Span* spans, std::size_t num_spans, std::size_t slices,
                   const std::int8_t* query, const std::uint8_t* tables, std::uint32_t* rows, std::int32_t* sums) {
  if (format == Format::code4) return k.code4_select(spans, num_spans, slices, tables, rows, sums);
  return (format == Format::int8 ? k.int8_select : k.int4_select)(spans, num_spans, slices, query, rows, sums);
}

struct Kept {
  std::vector<std::uint32_t> rows;
  std::vector<std::int32_t> sums;
  bool operator==(const Kept&) const = default;
};

void expect(Kept& kept, const Case& c, std::uint32_t num_rows, std::uint32_t first_row, std::int32_t threshold,
            const std::vector<std::uint16_t>& allow) {
  for (std::uint32_t r = 0; r < num_rows; ++r) {
    const bool allowed = allow.empty() || ((allow[r / kBlockRows] >> (r % kBlockRows)) & 1) != 0;
    if (allowed && c.sums[r] >= threshold) {
      kept.rows.push_back(first_row + r);
      kept.sums.push_back(c.sums[r]);
    }
  }
}

std::vector<std::int32_t> thresholds_for(const Case& c, Random& random) {
  auto sorted = c.sums;
  std::sort(sorted.begin(), sorted.end());
  return {kLowest, kHighest, sorted.front(), sorted.back(), sorted[random() % sorted.size()]};
}

// One query: spans of every tail length, one after another in one call, and empty ones between.
void check_select(const Kernels& k, Format format, std::size_t size, Values values, Random& random) {
  for (std::uint32_t num_rows = 1; num_rows <= 48; ++num_rows) {
    if (size > 200 && num_rows % 5 != 1) continue;
    const std::size_t num_blocks = blocks_for(num_rows) + (num_rows % 3) * 2;
    const Case c = make_case(format, size, num_blocks, values, random);
    const auto masks = integers<std::uint16_t>(num_blocks, 0, 65535, random);
    const auto all_rows = static_cast<std::uint32_t>(num_blocks * kBlockRows);
    for (const std::int32_t threshold : thresholds_for(c, random)) {
      const Span spans[] = {{c.blocks.data(), nullptr, num_rows, 1000, threshold},
                            {c.blocks.data(), nullptr, 0, 77, kLowest},
                            {c.blocks.data(), masks.data(), num_rows, 5000, threshold},
                            {c.blocks.data(), masks.data(), all_rows, 4294900000u, threshold}};
      Kept expected;
      expect(expected, c, num_rows, 1000, threshold, {});
      expect(expected, c, num_rows, 5000, threshold, masks);
      expect(expected, c, all_rows, 4294900000u, threshold, masks);
      const std::size_t room = kBlockRows * (2 * blocks_for(num_rows) + num_blocks);
      Kept got{std::vector<std::uint32_t>(room), std::vector<std::int32_t>(room)};
      const std::size_t count =
          select(k, format, spans, 4, c.slices, c.int8_query.data(), c.tables.data(), got.rows.data(), got.sums.data());
      got.rows.resize(count);
      got.sums.resize(count);
      check(got == expected, std::string(k.name) + " " + name_of(format) + "_select, size " + std::to_string(size) +
                                 ", rows " + std::to_string(num_rows) + ", threshold " + std::to_string(threshold));
    }
  }
}

// Several queries: what each gets is what it gets alone, appended to what it had. The queries share the rows,
// so their sums come from the scalar level, which check_select has held to plain sums.
void check_select_many(const Kernels& k, Format format, std::size_t size, Random& random) {
  for (std::size_t count = 1; count <= 9; ++count) {
    const auto num_rows = static_cast<std::uint32_t>(1 + random() % (size > 200 ? 90 : 400));
    const std::size_t num_blocks = blocks_for(num_rows);
    const Case c = make_case(format, size, num_blocks, Values::kRandom, random);
    const auto masks = integers<std::uint16_t>(num_blocks, 0, 65535, random);
    const Span span = {c.blocks.data(), random() % 2 == 0 ? masks.data() : nullptr, num_rows, 300, 0};
    const std::size_t room = 3 + num_blocks * kBlockRows;
    std::vector<Kept> got(count);
    std::vector<std::vector<std::int8_t>> queries(count);
    std::vector<std::vector<std::uint8_t>> tables(count);
    std::vector<Selection<std::int8_t>> int8_selections(count);
    std::vector<Selection<std::uint8_t>> code4_selections(count);
    std::vector<Kept> expected(count);
    for (std::size_t q = 0; q < count; ++q) {
      queries[q] = integers<std::int8_t>(8 * c.slices, -128, 127, random);
      tables[q] = integers<std::uint8_t>(c.slices * kSliceTableBytes, 0, 255, random);
      const std::int32_t threshold = q == 1 ? kHighest : q == 2 ? kLowest : thresholds_for(c, random)[4];
      got[q] = {std::vector<std::uint32_t>(room, 9), std::vector<std::int32_t>(room, 9)};
      int8_selections[q] = {queries[q].data(), threshold, got[q].rows.data(), got[q].sums.data(), 3};
      code4_selections[q] = {tables[q].data(), threshold, got[q].rows.data(), got[q].sums.data(), 3};
      Span alone = span;
      alone.threshold = threshold;
      expected[q] = {std::vector<std::uint32_t>(room, 9), std::vector<std::int32_t>(room, 9)};
      std::uint32_t* rows = expected[q].rows.data() + 3;
      std::int32_t* sums = expected[q].sums.data() + 3;
      const Kernels& scalar = *find_kernels("scalar");
      const std::size_t kept =
          select(scalar, format, &alone, 1, c.slices, queries[q].data(), tables[q].data(), rows, sums);
      expected[q].rows.resize(3 + kept);
      expected[q].sums.resize(3 + kept);
    }
    if (format == Format::code4) {
      k.code4_select_many(span, c.slices, code4_selections.data(), count);
    } else {
      (format == Format::int8 ? k.int8_select_many : k.int4_select_many)(span, c.slices, int8_selections.data(), count);
    }
    for (std::size_t q = 0; q < count; ++q) {
      const std::size_t kept = format == Format::code4 ? code4_selections[q].count : int8_selections[q].count;
      got[q].rows.resize(kept);
      got[q].sums.resize(kept);
      check(got[q] == expected[q], std::string(k.name) + " " + name_of(format) + "_select_many, size " +
                                       std::to_string(size) + ", query " + std::to_string(q) + " of " +
                                       std::to_string(count));
    }
  }
}

// Sixteen candidates of each query, by the same roundings on every level.
void check_int8_best(const Kernels& k, std::size_t dim, std::size_t num_blocks, Values values, Random& random) {
  const Case c = int8_case(dim, num_blocks, values, random);
  const std::size_t rows = num_blocks * kBlockRows;
  std::vector<float> scales = floats(rows, random);
  std::vector<float> bias = floats(rows, random);
  for (float& b : bias) b = random() % 4 == 0 ? -std::numeric_limits<float>::infinity() : 1000.0f * b;
  for (std::size_t row = kBlockRows; row < rows; row += 3) scales[row] = 0.0f;  // so that some are equal
  for (std::size_t row = kBlockRows; row < rows; row += 6) bias[row] = 1000.0f;
  for (std::size_t row = 5; row < rows; row += kBlockRows) bias[row] = -std::numeric_limits<float>::infinity();
  const std::vector<std::int8_t> zeros(c.int8_query.size(), 0);
  for (std::size_t count = 1; count <= 9; ++count) {
    const std::size_t other = random() % count;
    std::vector<Int8Query> queries;
    for (std::size_t q = 0; q < count; ++q) {
      queries.push_back({q == other ? c.int8_query.data() : zeros.data(), floats(1, random)[0], floats(1, random)[0]});
    }
    std::vector<std::uint32_t> best(count * kBlockRows);
    std::vector<float> best_scores(count * kBlockRows);
    k.int8_best(c.blocks.data(), num_blocks, c.slices, scales.data(), bias.data(), queries.data(), count, best.data(),
                best_scores.data());
    for (std::size_t q = 0; q < count; ++q) {
      for (std::size_t j = 0; j < kBlockRows; ++j) {
        std::size_t expected = j;
        float expected_score = -std::numeric_limits<float>::infinity();
        for (std::size_t row = j; row < rows; row += kBlockRows) {
          const auto sum = static_cast<float>(q == other ? c.sums[row] : 0);
          const float product = std::fma(sum, queries[q].scale, queries[q].offset);
          const float score = std::fma(product, scales[row], bias[row]);
          if (score > expected_score) {
            expected_score = score;
            expected = row;
          }
        }
        const std::size_t at = q * kBlockRows + j;
        check(best[at] == expected && best_scores[at] == expected_score,
              std::string(k.name) + " int8_best, dim " + std::to_string(dim) + ", " + std::to_string(num_blocks) +
                  " blocks, query " + std::to_string(q) + " of " + std::to_string(count) + ", lane " +
                  std::to_string(j));
      }
    }
  }
}

// Float blocks: near the sum in double precision, the same whatever else is in the call.
void check_f32(const Kernels& k, std::size_t dim, Random& random) {
  for (const std::size_t num_blocks :
       dim > 1000 ? std::vector<std::size_t>{3, 35} : std::vector<std::size_t>{1, 2, 7}) {
    const std::size_t rows = num_blocks * kBlockRows;
    std::vector<float> blocks = floats(rows * dim, random);
    for (std::size_t count = 1; count <= 17; count += dim > 1000 ? 4 : 1) {
      const std::size_t query_stride = dim + 3;
      const auto queries = floats((count - 1) * query_stride + dim, random);
      const std::size_t stride = rows + 1;
      std::vector<float> out((count - 1) * stride + rows);
      k.f32_scores(blocks.data(), num_blocks, dim, queries.data(), query_stride, count, out.data(), stride);
      for (std::size_t q = 0; q < count; ++q) {
        const float* query = queries.data() + q * query_stride;
        std::vector<float> alone(rows);
        k.f32_scores(blocks.data(), num_blocks, dim, query, query_stride, 1, alone.data(), rows);
        for (std::size_t r = 0; r < rows; ++r) {
          double sum = 0;
          double size = 0;
          for (std::size_t i = 0; i < dim; ++i) {
            const double term = double{query[i]} * blocks[(r / kBlockRows * dim + i) * kBlockRows + r % kBlockRows];
            sum += term;
            size += std::abs(term);
          }
          const float got = out[q * stride + r];
          check(std::abs(got - sum) <= 1e-6 * (1 + static_cast<double>(dim) / 16) * size,
                std::string(k.name) + " f32_scores, dim " + std::to_string(dim));
          check(got == alone[r], std::string(k.name) + " f32_scores depends on the other queries");
        }
      }
    }
  }
}

float widen(float value) { return value; }
float widen(std::uint16_t value) { return std::bit_cast<float>(std::uint32_t{value} << 16); }

// A kernel over rows of `Value`, its other arguments being those that all of them take.
using ScoreRows = std::function<void(const std::uint32_t* indices, std::size_t num_rows, const float* query, float*)>;

// Stored rows: near the sum in double precision and the scalar level's bits, for any number of rows and any
// stride. `value(row, j)` is what a row holds.
template <class ValueOf>
void check_rows(const std::string& what, const ScoreRows& kernel, const ScoreRows& scalar, std::size_t stored,
                std::size_t dim, const ValueOf& value, bool squared, Random& random) {
  const auto query = floats(dim, random);
  for (std::size_t count = 0; count <= 40; count += 1 + count / 4) {
    auto indices = integers<std::uint32_t>(count, 0, static_cast<int>(stored) - 1, random);
    std::sort(indices.begin(), indices.end());
    const bool gathered = count % 2 == 0 || count > stored;
    const std::uint32_t* order = gathered ? indices.data() : nullptr;
    if (count == 0) order = nullptr;
    std::vector<float> got(count, 7.0f);
    std::vector<float> expected(count, 8.0f);
    kernel(order, count, query.data(), got.data());
    scalar(order, count, query.data(), expected.data());
    for (std::size_t i = 0; i < count; ++i) {
      double sum = 0;
      double size = 0;
      for (std::size_t j = 0; j < dim; ++j) {
        const double row_value = value(gathered ? indices[i] : i, j);
        const double difference = row_value - query[j];
        const double term = squared ? difference * difference : row_value * query[j];
        sum += term;
        size += std::abs(term);
      }
      check(std::abs(got[i] - sum) <= 1e-6 * (1 + static_cast<double>(dim) / 32) * size,
            what + ", dim " + std::to_string(dim) + " is near");
      check(std::bit_cast<std::uint32_t>(got[i]) == std::bit_cast<std::uint32_t>(expected[i]),
            what + ", dim " + std::to_string(dim) + " has the scalar level's bits");
    }
  }
}

void check_all_rows(const Kernels& k, std::size_t dim, Random& random) {
  const Kernels& scalar = *find_kernels("scalar");
  const std::size_t stored = 37;
  const std::size_t stride = dim + random() % 2 * 5;
  const std::size_t size = (stored - 1) * stride + dim;
  const auto values = floats(size, random);
  std::vector<std::uint16_t> bf16(size);
  for (std::size_t i = 0; i < size; ++i) {
    bf16[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
  }
  const auto int8 = integers<std::int8_t>(size, -128, 127, random);
  auto scales = floats(stored, random);
  scales[random() % stored] = 0.0f;

  const auto rows = [&](const char* name, const auto& table, auto kernel, bool squared) {
    const auto of = [&](const Kernels& level) -> ScoreRows {
      return [&, run = level.*kernel](const std::uint32_t* indices, std::size_t count, const float* query, float* out) {
        run(table.data(), stride, indices, count, query, dim, out);
      };
    };
    const auto value = [&](std::size_t row, std::size_t j) { return widen(table[row * stride + j]); };
    check_rows(std::string(k.name) + " " + name, of(k), of(scalar), stored, dim, value, squared, random);
  };
  rows("dot_rows_f32", values, &Kernels::dot_rows_f32, false);
  rows("dot_rows_bf16", bf16, &Kernels::dot_rows_bf16, false);
  rows("l2_rows_f32", values, &Kernels::l2_rows_f32, true);
  rows("l2_rows_bf16", bf16, &Kernels::l2_rows_bf16, true);

  const auto scaled = [&](const char* name, auto kernel, bool squared) {
    const auto of = [&](const Kernels& level) -> ScoreRows {
      return [&, run = level.*kernel](const std::uint32_t* indices, std::size_t count, const float* query, float* out) {
        run(int8.data(), scales.data(), stride, indices, count, query, dim, out);
      };
    };
    const auto value = [&](std::size_t row, std::size_t j) {
      return scales[row] * static_cast<float>(int8[row * stride + j]);
    };
    check_rows(std::string(k.name) + " " + name, of(k), of(scalar), stored, dim, value, squared, random);
  };
  scaled("dot_rows_int8", &Kernels::dot_rows_int8, false);
  scaled("l2_rows_int8", &Kernels::l2_rows_int8, true);

  const auto query = floats(dim, random);
  float row_score = 0;
  k.dot_rows_f32(values.data(), stride, nullptr, 1, query.data(), dim, &row_score);
  check(k.dot(values.data(), query.data(), dim) == row_score, std::string(k.name) + " dot is dot_rows_f32 of a row");
}

// Scores found so far: the scalar level's threshold, which enough of them reach, and those that reach it in
// order.
void check_found(const Kernels& k, Random& random) {
  const Kernels& scalar = *find_kernels("scalar");
  for (std::size_t count = 1; count <= 70; ++count) {
    for (const std::size_t keep : {std::size_t{1}, (count + 1) / 2, count}) {
      std::vector<float> scores = floats(count, random);
      if (count % 3 == 0) std::fill_n(scores.begin(), (count + 1) / 2, scores[0]);
      if (count % 7 == 0) scores[random() % count] = -std::numeric_limits<float>::max();
      const float threshold = k.reached_by(scores.data(), count, keep);
      const std::string what = std::string(k.name) + " of " + std::to_string(count) + " keep " + std::to_string(keep);
      check(threshold == scalar.reached_by(scores.data(), count, keep), "reached_by " + what);
      std::vector<std::uint32_t> rows(count);
      std::vector<float> kept_scores;
      std::vector<std::uint32_t> kept_rows;
      for (std::uint32_t i = 0; i < count; ++i) {
        rows[i] = 100 + i;
        if (scores[i] < threshold) continue;
        kept_scores.push_back(scores[i]);
        kept_rows.push_back(rows[i]);
      }
      check(kept_rows.size() >= keep, "too few reach the threshold, " + what);
      const std::size_t kept = k.keep_reaching(threshold, scores.data(), rows.data(), count);
      scores.resize(kept);
      rows.resize(kept);
      check(scores == kept_scores && rows == kept_rows, "keep_reaching " + what);
    }
  }
}

// A score does not depend on the machine: these bits are the same wherever this test runs.
void check_bits(const Kernels& k) {
  std::vector<float> a(101);
  std::vector<float> b(101);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>((i * 7919 + 13) % 1009) / 1009.0f - 0.5f;
    b[i] = static_cast<float>((i * 6007 + 5) % 997) / 997.0f - 0.5f;
  }
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(k.dot(a.data(), b.data(), a.size()));
  check(bits == 0xbfa43eaau, std::string(k.name) + " dot gives the bits it always gave, got " + std::to_string(bits));
}

}  // namespace

int main() {
  for (const Kernels* level : available_kernels()) {
    Random random(7);
    check_bits(*level);
    check_found(*level, random);
    check_int8_best(*level, 3, 8300, Values::kRandom, random);  // more than stay in the cache at once
    for (const std::size_t dim : kDims) {
      for (const Format format : {Format::int8, Format::int4}) {
        check_select(*level, format, dim, Values::kRandom, random);
        check_select(*level, format, dim, Values::kExtreme, random);
        check_select_many(*level, format, dim, random);
      }
      for (const std::size_t num_blocks : {1, 2, 3, 4, 5, 11}) {
        check_int8_best(*level, dim, num_blocks, Values::kRandom, random);
        check_int8_best(*level, dim, num_blocks, Values::kExtreme, random);
      }
      check_f32(*level, dim, random);
      check_all_rows(*level, dim, random);
    }
    for (const std::size_t codes : {1, 7, 8, 9, 16, 17, 24, 48, 64, 192, 768, 1024}) {
      check_select(*level, Format::code4, codes, Values::kRandom, random);
      check_select(*level, Format::code4, codes, Values::kExtreme, random);
      check_select_many(*level, Format::code4, codes, random);
    }
    std::printf("%s: %s\n", level->name, shortlist::testing::failures == 0 ? "ok" : "failed");
  }
  return shortlist::testing::finish();
}
