#include "codes/quantizer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "partition/kmeans.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr float kLargest = 127.0f;
constexpr float kSteps = 255.0f;

// Even steps of 16 codes that hold a normal variable best, in its deviations (Max 1960, "Quantizing for Minimum
// Distortion").
constexpr float kStep = 0.3352f;
constexpr float kMiddle = 7.5f;

// Adding and taking off 1.5 * 2^23 rounds to the nearest integer in two additions.
float round(float value) {
  constexpr float kRound = 12582912.0f;
  return value + kRound - kRound;
}

std::size_t int8_place(std::size_t slices, std::size_t index, std::size_t t) {
  return ((index / kBlockRows * slices + t / 4) * kBlockRows + index % kBlockRows) * 4 + t % 4;
}

// The byte of a 4-bit code, and the shift of its nibble.
struct Nibble {
  std::size_t byte;
  int shift;
};
Nibble nibble_place(std::size_t slices, std::size_t index, std::size_t code) {
  const std::size_t slice = index / kBlockRows * slices + code / 8;
  return {(slice * kBlockRows + index % kBlockRows) * 4 + code % 4, code % 8 < 4 ? 0 : 4};
}

// Values of the sixteen centres of a code, in vectors that every machine has.
using Four = float __attribute__((vector_size(16)));
using FourIntegers = std::int32_t __attribute__((vector_size(16)));
struct Sixteen {
  Four fours[4];
};
static_assert(sizeof(Sixteen) == kCentres * sizeof(float));

Sixteen load(const float* values) {
  Sixteen loaded;
  std::memcpy(&loaded, values, sizeof loaded);
  return loaded;
}

template <class Vector>
Vector lower(const Vector& a, const Vector& b) {
  return a < b ? a : b;
}

// The place of the least of sixteen values that are not negative, the first of those that agree to 19 bits. Such floats
// order as their bits do; with its place in the last four, each is a different integer, and no branch depends on them.
std::uint8_t least(const Sixteen& values) {
  FourIntegers keys[4];
  for (int v = 0; v < 4; ++v) {
    keys[v] = (std::bit_cast<FourIntegers>(values.fours[v]) & ~15) | (FourIntegers{0, 1, 2, 3} + 4 * v);
  }
  const FourIntegers smallest = lower(lower(keys[0], keys[1]), lower(keys[2], keys[3]));
  const std::int32_t pairs[2] = {std::min(smallest[0], smallest[1]), std::min(smallest[2], smallest[3])};
  return static_cast<std::uint8_t>(std::min(pairs[0], pairs[1]) & 15);
}

float lowest(const Sixteen& values) {
  const Four* v = values.fours;
  const Four low = lower(lower(v[0], v[1]), lower(v[2], v[3]));
  return std::min(std::min(low[0], low[1]), std::min(low[2], low[3]));
}

float highest(const Sixteen& values) {
  Sixteen negative;
  for (int v = 0; v < 4; ++v) negative.fours[v] = -values.fours[v];
  return -lowest(negative);
}

// In double, as all sums of squares here: those of small values would vanish in float.
float length(const float* values, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(values[t]) * values[t];
  return static_cast<float>(std::sqrt(squares));
}

// A scale too small to be divided by becomes 0, which codes everything as 0: the error says so.
float usable(float scale) { return scale >= std::numeric_limits<float>::min() ? scale : 0.0f; }

// Rounds a query to 127ths of its largest value, with zeros up to `padded` values. The code `middle` stands for 0.
CodedQuery encode_values(const float* query, std::size_t dim, std::size_t padded, float middle, std::int8_t* values) {
  float largest = 0.0f;
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) {
    const float size = std::fabs(query[t]);
    largest = size > largest ? size : largest;
    squares += static_cast<double>(query[t]) * query[t];
  }
  const float scale = usable(largest / kLargest);
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  std::int32_t sum = 0;
  double left_squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) {
    const float value = round(query[t] * inverse);
    const float left = query[t] - scale * value;
    left_squares += static_cast<double>(left) * left;
    const auto integer = static_cast<std::int32_t>(value);
    values[t] = static_cast<std::int8_t>(integer);
    sum += integer;
  }
  for (std::size_t t = dim; t < padded; ++t) values[t] = 0;
  return {reinterpret_cast<const std::uint8_t*>(values), scale, -middle * scale * static_cast<float>(sum),
          static_cast<float>(std::sqrt(squares)),        0.0f,  static_cast<float>(std::sqrt(left_squares))};
}

// The sixteen centres of dimension `t`.
Sixteen centres_of(const Quantizer& quantizer, std::size_t t) {
  if (!quantizer.centres.empty()) return load(&quantizer.centres[t * kCentres]);
  Sixteen even;
  for (int v = 0; v < 4; ++v)
    even.fours[v] = quantizer.steps[t] * (Four{0, 1, 2, 3} + 4.0f * static_cast<float>(v) - kMiddle);
  return even;
}

float centre(const Quantizer& quantizer, std::size_t t, std::size_t code) {
  if (!quantizer.centres.empty()) return quantizer.centres[t * kCentres + code];
  return quantizer.steps[t] * (static_cast<float>(code) - kMiddle);
}

}  // namespace

float Quantizer::scale_of(const float* residuals, std::size_t count) const {
  if (is_int8()) {
    float largest = 0.0f;
    for (std::size_t i = 0; i < count * dim; ++i) largest = std::max(largest, std::fabs(residuals[i]));
    return usable(largest / kLargest);
  }
  double squares = 0.0;
  for (std::size_t i = 0; i < count * dim; ++i) squares += static_cast<double>(residuals[i]) * residuals[i];
  return usable(static_cast<float>(std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, count * dim)))));
}

void Quantizer::encode(const float* residual, float scale, const float* direction, std::size_t index,
                       std::uint8_t* blocks) const {
  const float inverse = usable(scale) > 0.0f ? 1.0f / scale : 0.0f;
  if (is_int8()) {
    for (std::size_t t = 0; t < dim; ++t) {
      const float value = std::clamp(round(residual[t] * inverse), -kLargest, kLargest);
      blocks[int8_place(slices(), index, t)] = static_cast<std::uint8_t>(static_cast<int>(value) + 128);
    }
    return;
  }
  std::array<float, kMaxCodedDim> values;
  std::array<std::uint8_t, kMaxCodedDim> chosen;
  for (std::size_t t = 0; t < dim; ++t) values[t] = residual[t] * inverse;
  choose_nearest(values.data(), chosen.data());
  if (direction != nullptr) lower_loss(values.data(), direction, chosen.data());
  for (std::size_t code = 0; code < num_codes(); ++code) {
    const Nibble place = nibble_place(slices(), index, code);
    blocks[place.byte] = static_cast<std::uint8_t>(blocks[place.byte] | chosen[code] << place.shift);
  }
}

void Quantizer::choose_nearest(const float* values, std::uint8_t* chosen) const {
  for (std::size_t code = 0; code < num_codes(); ++code) {
    Sixteen distances{};
    const std::size_t last = std::min(dim, (code + 1) * dims_per_code);
    for (std::size_t t = code * dims_per_code; t < last; ++t) {
      const Sixteen own = centres_of(*this, t);
      for (int v = 0; v < 4; ++v) {
        const Four left = values[t] - own.fours[v];
        distances.fours[v] += left * left;
      }
    }
    chosen[code] = least(distances);
  }
}

float Quantizer::error_along(const float* values, const float* direction, const std::uint8_t* chosen) const {
  float along = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    along += direction[t] * (values[t] - centre(*this, t, chosen[t / dims_per_code]));
  }
  return along;
}

// Coordinate descent: code after code takes the centre that is best beside the others.
void Quantizer::lower_loss(const float* values, const float* direction, std::uint8_t* chosen) const {
  constexpr int kSweeps = 2;  // four gain nothing more
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    float along = error_along(values, direction, chosen);
    bool changed = false;
    for (std::size_t code = 0; code < num_codes(); ++code) {
      Sixteen losses{};
      Sixteen alongs{};
      const std::size_t last = std::min(dim, (code + 1) * dims_per_code);
      for (std::size_t t = code * dims_per_code; t < last; ++t) {
        const Sixteen own = centres_of(*this, t);
        for (int v = 0; v < 4; ++v) {
          const Four left = values[t] - own.fours[v];
          losses.fours[v] += left * left;
          alongs.fours[v] += direction[t] * left;
        }
      }
      const std::uint8_t held = chosen[code];
      const float others = along - alongs.fours[held / 4][held % 4];
      for (int v = 0; v < 4; ++v) {
        alongs.fours[v] += others;
        losses.fours[v] += (kAlong - 1.0f) * alongs.fours[v] * alongs.fours[v];
      }
      const std::uint8_t best = least(losses);
      along = alongs.fours[best / 4][best % 4];
      chosen[code] = best;
      changed = changed || best != held;
    }
    if (!changed) break;
  }
}

void Quantizer::decode(float scale, std::size_t index, const std::uint8_t* blocks, float* residual) const {
  for (std::size_t t = 0; t < dim; ++t) {
    if (is_int8()) {
      residual[t] = scale * static_cast<float>(blocks[int8_place(slices(), index, t)] - 128);
      continue;
    }
    const Nibble place = nibble_place(slices(), index, t / dims_per_code);
    const std::size_t code = blocks[place.byte] >> place.shift & 15;
    residual[t] = scale * centre(*this, t, code);
  }
}

CodedQuery Quantizer::encode_query(const float* query, std::uint8_t* bytes, float* table) const {
  auto* values = reinterpret_cast<std::int8_t*>(bytes);
  if (is_int8()) return encode_values(query, dim, query_bytes(), 128.0f, values);
  if (centres.empty()) {
    constexpr float kMost = std::numeric_limits<float>::max();
    for (std::size_t t = 0; t < dim; ++t) table[t] = std::clamp(query[t] * steps[t], -kMost, kMost);
    CodedQuery coded = encode_values(table, dim, query_bytes(), kMiddle, values);
    coded.norm = length(query, dim);
    // What was rounded off meets centres of up to kMiddle steps.
    coded.error = coded.residual_error * kMiddle * std::sqrt(static_cast<float>(dim));
    coded.residual_error = 0.0f;
    return coded;
  }
  const std::size_t codes = num_codes();
  float offset = 0.0f;
  float widest = 0.0f;
  for (std::size_t code = 0; code < codes; ++code) {
    Sixteen entries{};
    const std::size_t last = std::min(dim, (code + 1) * dims_per_code);
    for (std::size_t t = code * dims_per_code; t < last; ++t) {
      const Sixteen own = centres_of(*this, t);
      for (int v = 0; v < 4; ++v) entries.fours[v] += query[t] * own.fours[v];
    }
    const float low = lowest(entries);
    const float width = highest(entries) - low;
    for (Four& four : entries.fours) four -= low;
    std::memcpy(table + code * kCentres, &entries, sizeof entries);
    offset += low;
    widest = width > widest ? width : widest;
  }
  const float scale = usable(widest / kSteps);
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  for (std::size_t i = 0; i < codes * kCentres; ++i) {
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(table[i] * inverse + 0.5f));
  }
  std::fill(bytes + codes * kCentres, bytes + query_bytes(), std::uint8_t{0});
  const float rounded_off = scale > 0.0f ? 0.5f * scale : widest;
  return {bytes, scale, offset, length(query, dim), rounded_off * static_cast<float>(codes), 0.0f};
}

// The centres are those of plain k-means: solving for the ones that lower the anisotropic loss, in turns with encoding,
// changed recall by less than 0.01 either way (int4 and pq4 at 384 dimensions).
Quantizer Quantizer::learn(const float* residuals, std::size_t count, std::size_t dim, std::size_t dims_per_code,
                           std::uint64_t seed, std::size_t threads) {
  constexpr std::size_t kIterations = 12;
  Quantizer quantizer{dim, dims_per_code, {}, {}};
  if (dims_per_code == 1) {
    quantizer.steps = Array<float>(dim);
    std::vector<double> squares(dim, 0.0);
    for (std::size_t i = 0; i < count * dim; ++i) squares[i % dim] += static_cast<double>(residuals[i]) * residuals[i];
    for (std::size_t t = 0; t < dim; ++t) {
      quantizer.steps[t] = kStep * static_cast<float>(std::sqrt(squares[t] / static_cast<double>(count)));
    }
    return quantizer;
  }
  const std::size_t codes = quantizer.num_codes();
  quantizer.centres = Array<float>(codes * dims_per_code * kCentres);
  parallel_for(codes, threads, [&](std::size_t code, std::size_t) {
    std::vector<float> parts(count * dims_per_code, 0.0f);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < dims_per_code; ++j) {
        const std::size_t t = code * dims_per_code + j;
        if (t < dim) parts[i * dims_per_code + j] = residuals[i * dim + t];
      }
    }
    const KMeans found = kmeans(parts.data(), count, dims_per_code, {kCentres, count, kIterations, seed + code, 1});
    for (std::size_t j = 0; j < dims_per_code; ++j) {
      for (std::size_t c = 0; c < kCentres; ++c) {
        // Where there are fewer different values than centres, the last ones are never the nearest.
        const std::size_t from = std::min(c, found.num_clusters - 1);
        quantizer.centres[(code * dims_per_code + j) * kCentres + c] = found.centroids[from * dims_per_code + j];
      }
    }
  });
  return quantizer;
}

}  // namespace shortlist
