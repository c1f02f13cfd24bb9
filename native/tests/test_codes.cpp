// What codes promise: what they hold, what they lower, what bounds them, and the same bytes everywhere.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "codes/codes.h"
#include "codes/quantizer.h"
#include "kernels/kernels.h"
#include "random.h"

using namespace shortlist;
using shortlist::testing::check;

namespace {

constexpr std::size_t kRows = 53;  // three whole blocks and five rows

std::vector<float> values(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.next() >> 40) * 0x1p-23f - 1.0f;
  return out;
}

// int8, 4 bits in even steps, or 4 bits with centres for one dimension or for two.
enum class Kind { int8, even, ones, pairs };
constexpr Kind kKinds[] = {Kind::int8, Kind::even, Kind::ones, Kind::pairs};

std::size_t dims_per_code(Kind kind) { return kind == Kind::int8 ? 0 : kind == Kind::pairs ? 2 : 1; }

std::string name(std::size_t dim, Kind kind) {
  const char* names[] = {"int8", "even 4-bit codes", "4-bit codes", "4-bit codes of pairs"};
  return std::to_string(dim) + " dimensions, " + names[static_cast<int>(kind)] + ": ";
}

// Steps and centres that no learning has had a hand in.
Quantizer quantizer_of(std::size_t dim, Kind kind) {
  if (kind == Kind::int8) return Quantizer::int8(dim);
  Quantizer quantizer{dim, dims_per_code(kind), {}, {}};
  if (kind == Kind::even) {
    quantizer.steps = Array<float>(dim);
    const std::vector<float> steps = values(dim, dim + 3);
    for (std::size_t t = 0; t < dim; ++t) quantizer.steps[t] = 0.15f + 0.1f * steps[t];
    return quantizer;
  }
  const std::vector<float> centres =
      values(quantizer.num_codes() * dims_per_code(kind) * kCentres, dim + dims_per_code(kind));
  quantizer.centres = Array<float>(centres.size());
  std::copy(centres.begin(), centres.end(), quantizer.centres.data());
  return quantizer;
}

float centre_of(const Quantizer& quantizer, std::size_t t, std::size_t code) {
  if (!quantizer.centres.empty()) return quantizer.centres[t * kCentres + code];
  return quantizer.steps[t] * (static_cast<float>(code) - 7.5f);
}

struct Set {
  Set(std::size_t dim_, std::size_t cells_) : dim(dim_), starts(cells_ + 1) {
    rows = values(kRows * dim, dim + 11);
    centroids = values(cells_ * dim, dim + 12);
    for (std::size_t cell = 0; cell <= cells_; ++cell) {
      starts[cell] = static_cast<std::uint32_t>(cell * cell * kRows / (cells_ * cells_));
    }
  }
  Source source(bool aimed) const {
    const ReadRow read = [this](std::size_t row, float* out) { std::copy_n(&rows[row * dim], dim, out); };
    return aimed ? Source{read, read} : Source{read};
  }
  std::size_t dim;
  Array<std::uint32_t> starts;
  std::vector<float> rows;
  std::vector<float> centroids;
};

// The codes of one row in each place of four blocks.
std::vector<std::uint8_t> coded(const Quantizer& quantizer, const float* residuals, float scale,
                                const float* directions) {
  std::vector<std::uint8_t> blocks((kRows + kBlockRows - 1) / kBlockRows * quantizer.block_bytes(),
                                   quantizer.padding());
  for (std::size_t i = 0; i < kRows; ++i) {
    quantizer.encode(residuals + i * quantizer.dim, scale,
                     directions == nullptr ? nullptr : directions + i * quantizer.dim, i, blocks.data());
  }
  return blocks;
}

std::vector<float> decoded(const Quantizer& quantizer, const std::vector<std::uint8_t>& blocks, float scale) {
  std::vector<float> out(kRows * quantizer.dim);
  for (std::size_t i = 0; i < kRows; ++i) quantizer.decode(scale, i, blocks.data(), &out[i * quantizer.dim]);
  return out;
}

struct Error {
  double squares = 0.0;
  double along = 0.0;
  double loss() const { return squares + (static_cast<double>(kAlong) - 1.0) * along * along; }
};

Error error_of(const float* row, const float* held, const float* direction, std::size_t dim) {
  Error found;
  for (std::size_t t = 0; t < dim; ++t) {
    const double error = static_cast<double>(row[t]) - held[t];
    found.squares += error * error;
    found.along += error * direction[t];
  }
  return found;
}

void check_int8(std::size_t dim) {
  const Quantizer quantizer = Quantizer::int8(dim);
  const std::vector<float> rows = values(kRows * dim, dim);
  const float scale = quantizer.scale_of(rows.data(), kRows);
  const std::vector<std::uint8_t> blocks = coded(quantizer, rows.data(), scale, nullptr);
  const std::vector<float> held = decoded(quantizer, blocks, scale);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    check(std::fabs(rows[i] - held[i]) <= 0.5001f * scale,
          name(dim, Kind::int8) + "int8 is off by at most half a step");
  }
  check(coded(quantizer, rows.data(), scale, rows.data()) == blocks, name(dim, Kind::int8) + "int8 knows no direction");
}

void check_nearest(std::size_t dim, Kind kind) {
  const std::string what = name(dim, kind);
  const Quantizer quantizer = quantizer_of(dim, kind);
  const float scale = 0.37f;
  std::vector<float> rows = values(kRows * dim, dim);
  const std::vector<float> held = decoded(quantizer, coded(quantizer, rows.data(), scale, nullptr), scale);
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t first = 0; first < dim; first += dims_per_code(kind)) {
      double distances[kCentres + 1] = {};
      for (std::size_t t = first; t < std::min(dim, first + dims_per_code(kind)); ++t) {
        const float row = rows[i * dim + t];
        for (std::size_t c = 0; c <= kCentres; ++c) {
          const float own = c == kCentres ? held[i * dim + t] : scale * centre_of(quantizer, t, c);
          distances[c] += (static_cast<double>(row) - own) * (static_cast<double>(row) - own);
        }
      }
      const double nearest = *std::min_element(distances, distances + kCentres);
      check(distances[kCentres] <= nearest * (1.0 + 1e-4) + 1e-10, what + "every code names its nearest centre");
    }
  }
  const std::vector<std::uint8_t> again = coded(quantizer, held.data(), scale, nullptr);
  check(decoded(quantizer, again, scale) == held, what + "what is decoded is coded as itself");
}

void check_loss(std::size_t dim, Kind kind) {
  const std::string what = name(dim, kind);
  const Quantizer quantizer = quantizer_of(dim, kind);
  const std::vector<float> rows = values(kRows * dim, dim);
  std::vector<float> directions = values(kRows * dim, dim + 1);
  for (std::size_t i = 0; i < kRows; ++i) {
    double squares = 0.0;
    for (std::size_t t = 0; t < dim; ++t) squares += directions[i * dim + t] * directions[i * dim + t];
    for (std::size_t t = 0; t < dim; ++t) directions[i * dim + t] /= static_cast<float>(std::sqrt(squares));
  }
  const std::vector<float> plain = decoded(quantizer, coded(quantizer, rows.data(), 1.0f, nullptr), 1.0f);
  const std::vector<float> aimed = decoded(quantizer, coded(quantizer, rows.data(), 1.0f, directions.data()), 1.0f);
  double before = 0.0;
  double after = 0.0;
  for (std::size_t i = 0; i < kRows; ++i) {
    const Error nearest = error_of(&rows[i * dim], &plain[i * dim], &directions[i * dim], dim);
    const Error lowered = error_of(&rows[i * dim], &aimed[i * dim], &directions[i * dim], dim);
    check(lowered.loss() <= nearest.loss() * (1.0 + 1e-4) + 1e-10,
          what + "the loss is never above that of the nearest centres");
    before += nearest.along * nearest.along;
    after += lowered.along * lowered.along;
  }
  if (dim >= 4 * dims_per_code(kind))
    check(after < 0.5 * before, what + "the error along the direction is lowered most");
}

// A kernel's sum of a row, and the inner product that it stands for.
void check_query(std::size_t dim, Kind kind) {
  const std::string what = name(dim, kind);
  const Quantizer quantizer = quantizer_of(dim, kind);
  const std::vector<float> query = values(dim, dim + 5);
  std::vector<std::uint8_t> bytes(quantizer.query_bytes());
  std::vector<float> table(quantizer.table_size());
  const CodedQuery found = quantizer.encode_query(query.data(), bytes.data(), table.data());
  const std::size_t used = quantizer.num_codes() * (quantizer.centres.empty() ? 1 : kCentres);
  if (kind != Kind::int8) {
    check(std::all_of(bytes.begin() + static_cast<std::ptrdiff_t>(used), bytes.end(),
                      [](std::uint8_t entry) { return entry == 0; }),
          what + "codes that do not exist add nothing");
  }
  const float scale = 0.37f;
  const std::vector<float> rows = values(kRows * dim, dim);
  const std::vector<std::uint8_t> blocks = coded(quantizer, rows.data(), scale, nullptr);
  const std::vector<float> held = decoded(quantizer, blocks, scale);
  for (std::size_t i = 0; i < kRows; ++i) {
    std::int64_t sum = 0;
    for (std::size_t slice = 0; slice < quantizer.slices(); ++slice) {
      const std::size_t block = i / kBlockRows * quantizer.block_bytes();
      const std::uint8_t* own = &blocks[block + slice * kSliceBytes + i % kBlockRows * 4];
      for (std::size_t p = 0; p < 4; ++p) {
        if (kind == Kind::int8) {
          sum += own[p] * static_cast<std::int8_t>(bytes[slice * 4 + p]);
        } else if (kind == Kind::even) {
          sum += (own[p] & 15) * static_cast<std::int8_t>(bytes[slice * 8 + p]);
          sum += (own[p] >> 4) * static_cast<std::int8_t>(bytes[slice * 8 + 4 + p]);
        } else {
          sum += bytes[slice * kSliceTableBytes + p * kCentres + (own[p] & 15)];
          sum += bytes[slice * kSliceTableBytes + (4 + p) * kCentres + (own[p] >> 4)];
        }
      }
    }
    double product = 0.0;
    double squares = 0.0;
    for (std::size_t t = 0; t < dim; ++t) {
      product += static_cast<double>(query[t]) * held[i * dim + t];
      squares += static_cast<double>(held[i * dim + t]) * held[i * dim + t];
    }
    const double estimate = static_cast<double>(scale) * (static_cast<double>(found.scale) * sum + found.offset);
    const double bound = static_cast<double>(scale) * found.error + found.residual_error * std::sqrt(squares);
    check(std::fabs(estimate - product) <= bound * 1.001 + 1e-5, what + "an estimate is as near as the query says");
  }
}

void check_cells(std::size_t dim, Kind kind) {
  const std::string what = name(dim, kind);
  const Set set(dim, 4);
  const Codes codes = encode(quantizer_of(dim, kind), set.starts, set.centroids.data(), set.source(true), 1);
  const Codes two = encode(quantizer_of(dim, kind), set.starts, set.centroids.data(), set.source(true), 2);
  check(std::equal(codes.blocks.begin(), codes.blocks.end(), two.blocks.begin(), two.blocks.end()),
        what + "two threads write the bytes that one does");
  std::vector<float> row(dim);
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    const float* centroid = &set.centroids[cell * dim];
    double radius = 0.0;
    double error = 0.0;
    for (std::size_t position = codes.starts[cell]; position < codes.starts[cell + 1]; ++position) {
      codes.decode(cell, position, centroid, row.data());
      double from_centroid = 0.0;
      double from_code = 0.0;
      for (std::size_t t = 0; t < dim; ++t) {
        const double value = set.rows[position * dim + t];
        from_centroid += (value - centroid[t]) * (value - centroid[t]);
        from_code += (value - row[t]) * (value - row[t]);
      }
      radius = std::max(radius, std::sqrt(from_centroid));
      error = std::max(error, std::sqrt(from_code));
    }
    check(std::fabs(codes.radii[cell] - radius) <= 1e-5 * (1.0 + radius), what + "a radius is the farthest row's");
    check(std::fabs(codes.errors[cell] - error) <= 1e-5 * (1.0 + error), what + "an error is the largest of a row");
    // The places after the last row of a cell.
    const std::size_t places = (codes.first_block[cell + 1] - codes.first_block[cell]) * kBlockRows;
    for (std::size_t place = codes.count(cell); place < places; ++place) {
      for (std::size_t slice = 0; slice < codes.quantizer.slices(); ++slice) {
        const std::uint8_t* four =
            codes.blocks_of(cell) +
            ((place / kBlockRows * codes.quantizer.slices() + slice) * kBlockRows + place % kBlockRows) * 4;
        check(std::all_of(four, four + 4, [&](std::uint8_t byte) { return byte == codes.quantizer.padding(); }),
              what + "places without a row hold padding");
      }
    }
  }
}

// A row without length has no direction, a cell without spread no scale.
void check_zeros(Kind kind) {
  Set set(12, 2);
  std::fill(set.rows.begin(), set.rows.end(), 0.0f);
  std::fill(set.centroids.begin(), set.centroids.end(), 0.0f);
  const Codes codes = encode(quantizer_of(12, kind), set.starts, set.centroids.data(), set.source(true), 1);
  check(codes.scales[1] == 0.0f && codes.errors[1] == 0.0f, name(12, kind) + "rows of zeros are held exactly");
}

// What lies behind the last run with a large enough projection need not be scanned.
void check_run_projections(std::size_t dim) {
  constexpr std::size_t kRunRows = kRunBlocks * kBlockRows;
  constexpr std::size_t kManyRows = 4 * kRunRows + 21;
  const std::vector<float> rows = values(kManyRows * dim, dim + 1);
  std::vector<float> centroids = values(3 * dim, dim + 2);
  std::fill_n(centroids.begin() + static_cast<std::ptrdiff_t>(2 * dim), dim, 0.0f);
  Array<std::uint32_t> starts(4);
  const std::size_t ends[] = {0, 3 * kRunRows + 5, 3 * kRunRows + 5, kManyRows};
  for (std::size_t cell = 0; cell < 4; ++cell) starts[cell] = static_cast<std::uint32_t>(ends[cell]);
  const ReadRow read = [&](std::size_t row, float* out) { std::copy_n(&rows[row * dim], dim, out); };
  const Codes codes = encode(Quantizer::int8(dim), starts, centroids.data(), {read}, 1, true);
  for (const std::size_t cell : {0, 2}) {
    std::vector<double> projections;
    for (std::size_t row = ends[cell]; row < ends[cell + 1]; ++row) {
      double along = 0.0;
      double squares = 0.0;
      for (std::size_t t = 0; t < dim; ++t) {
        along += static_cast<double>(rows[row * dim + t]) * centroids[cell * dim + t];
        squares += static_cast<double>(centroids[cell * dim + t]) * centroids[cell * dim + t];
      }
      projections.push_back(squares > 0.0 ? along / squares : 1.0);
    }
    const std::size_t runs = (projections.size() + kRunRows - 1) / kRunRows;
    check(codes.first_run(cell) + runs <= codes.first_run(cell + 1), "every run has its projection");
    std::vector<double> largest(runs);
    for (std::size_t run = 0; run < runs; ++run) {
      const auto first = projections.begin() + static_cast<std::ptrdiff_t>(run * kRunRows);
      largest[run] = *std::max_element(first, projections.end());
      const double error = codes.run_projections[codes.first_run(cell) + run] - largest[run];
      check(std::fabs(error) <= 1e-4 * (1.0 + std::fabs(largest[run])),
            "a run has the largest projection of those from it on");
    }
    const std::size_t all = codes.first_block[cell + 1] - codes.first_block[cell];
    for (std::size_t run = 0; run + 1 < runs; ++run) {
      if (largest[run] - largest[run + 1] < 1e-3 * (1.0 + std::fabs(largest[run]))) continue;
      const float base = 2.5f;
      const auto least = static_cast<float>(base * (largest[run] + largest[run + 1]) / 2.0);
      check(codes.blocks_reaching(cell, base, least) == (run + 1) * kRunBlocks, "what is behind is not scanned");
    }
    check(codes.blocks_reaching(cell, 1.0f, -1e30f) == all, "nothing is behind a low score");
    check(codes.blocks_reaching(cell, 1.0f, 1e30f) == 0, "everything is behind a high score");
    check(codes.blocks_reaching(cell, 0.0f, 1e30f) == all, "a centroid of zero says nothing");
    check(codes.blocks_reaching(cell, -1.0f, -0.5f) == 0, "a leaf that points away is passed over");
    check(codes.blocks_reaching(cell, -1.0f, -2.0f) == all, "or scanned whole");
  }
  check(codes.blocks_reaching(1, 1.0f, 0.0f) == 0, "an empty leaf has no blocks");
}

// Steps fit the spread of each dimension: of normal residuals Max's steps lose 1.154 % of the squares.
void check_steps() {
  constexpr std::size_t kDim = 3;
  constexpr std::size_t kCount = 20000;
  const float deviations[kDim] = {0.5f, 1.0f, 2.0f};
  const std::vector<float> uniform = values(2 * kCount * kDim, 5);
  std::vector<float> residuals(kCount * kDim);
  for (std::size_t i = 0; i < residuals.size(); ++i) {
    const float length = std::sqrt(-2.0f * std::log(0.5f * uniform[2 * i] + 0.5f + 1e-7f));
    residuals[i] = deviations[i % kDim] * length * std::cos(3.14159265f * uniform[2 * i + 1]);
  }
  const Quantizer quantizer = Quantizer::learn(residuals.data(), kCount, kDim, 1, 0, 1);
  std::vector<std::uint8_t> blocks((kCount + kBlockRows - 1) / kBlockRows * quantizer.block_bytes());
  double squares[kDim] = {};
  double lost[kDim] = {};
  for (std::size_t i = 0; i < kCount; ++i) {
    float held[kDim];
    quantizer.encode(&residuals[i * kDim], 1.0f, nullptr, i, blocks.data());
    quantizer.decode(1.0f, i, blocks.data(), held);
    for (std::size_t t = 0; t < kDim; ++t) {
      const double value = residuals[i * kDim + t];
      squares[t] += value * value;
      lost[t] += (value - held[t]) * (value - held[t]);
    }
  }
  for (std::size_t t = 0; t < kDim; ++t) {
    check(std::fabs(lost[t] / squares[t] - 0.01154) < 0.001,
          "even steps lose what Max's do: " + std::to_string(lost[t] / squares[t]));
  }
}

// The bytes are the same on every machine: FNV-1a of them, as first computed with the portable kernels.
void check_bytes(Kind kind, std::uint64_t expected) {
  const Set set(45, 4);
  const Codes codes = encode(quantizer_of(45, kind), set.starts, set.centroids.data(), set.source(true), 1);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::uint8_t byte : codes.blocks) hash = (hash ^ byte) * 0x100000001b3u;
  check(hash == expected, name(45, kind) + "the bytes have changed: " + std::to_string(hash));
}

}  // namespace

int main() {
  for (const std::size_t dim : {1, 2, 3, 7, 8, 15, 16, 17, 33, 96, 100, 384}) {
    check_int8(dim);
    check_run_projections(dim);
    for (const Kind kind : kKinds) {
      check_query(dim, kind);
      check_cells(dim, kind);
      if (kind == Kind::int8) continue;
      check_nearest(dim, kind);
      check_loss(dim, kind);
    }
  }
  for (const Kind kind : kKinds) check_zeros(kind);
  check_steps();
  check_bytes(Kind::int8, 2120188683971223578u);
  check_bytes(Kind::even, 14842037118781246773u);
  check_bytes(Kind::ones, 10118305418232460678u);
  check_bytes(Kind::pairs, 352281275266455482u);
  return shortlist::testing::finish();
}
