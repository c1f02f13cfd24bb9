#include "quantizer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "kmeans.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr float kLargest = 127.0f;
constexpr float kSteps = 255.0f;

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

// The place of the least of sixteen values that are not negative, the first of those that agree to 20 bits. Such floats
// order as their bits do; with its place in the last four, each is a different integer, and no branch depends on them.
std::uint8_t least(const float (&values)[kCentres]) {
  std::uint32_t smallest = ~std::uint32_t{0};
  for (std::uint32_t c = 0; c < kCentres; ++c) {
    const std::uint32_t keyed = (std::bit_cast<std::uint32_t>(values[c]) & ~15u) | c;
    smallest = keyed < smallest ? keyed : smallest;
  }
  return static_cast<std::uint8_t>(smallest & 15);
}

CodedQuery encode_int8_query(const float* query, std::size_t dim, std::int8_t* values) {
  float largest = 0.0f;
  float squares = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    const float size = std::fabs(query[t]);
    largest = size > largest ? size : largest;
    squares += query[t] * query[t];
  }
  const float scale = largest / kLargest;
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  std::int32_t sum = 0;
  float left_squares = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    const float value = round(query[t] * inverse);
    const float left = query[t] - scale * value;
    left_squares += left * left;
    const auto integer = static_cast<std::int32_t>(value);
    values[t] = static_cast<std::int8_t>(integer);
    sum += integer;
  }
  for (std::size_t t = dim; t < (dim + 3) / 4 * 4; ++t) values[t] = 0;
  return {reinterpret_cast<const std::uint8_t*>(values),
          scale,
          -128.0f * scale * static_cast<float>(sum),
          std::sqrt(squares),
          0.0f,
          std::sqrt(left_squares)};
}

}  // namespace

float Quantizer::scale_of(const float* residuals, std::size_t count) const {
  if (is_int8()) {
    float largest = 0.0f;
    for (std::size_t i = 0; i < count * dim; ++i) largest = std::max(largest, std::fabs(residuals[i]));
    return largest / kLargest;
  }
  double squares = 0.0;
  for (std::size_t i = 0; i < count * dim; ++i) squares += static_cast<double>(residuals[i]) * residuals[i];
  return static_cast<float>(std::sqrt(squares / static_cast<double>(std::max<std::size_t>(1, count * dim))));
}

void Quantizer::encode(const float* residual, float scale, const float* direction, std::size_t index,
                       std::uint8_t* blocks) const {
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
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
    float distances[kCentres] = {};
    const std::size_t last = std::min(dim, (code + 1) * dims_per_code);
    for (std::size_t t = code * dims_per_code; t < last; ++t) {
      for (std::size_t c = 0; c < kCentres; ++c) {
        const float left = values[t] - centres[t * kCentres + c];
        distances[c] += left * left;
      }
    }
    chosen[code] = least(distances);
  }
}

float Quantizer::error_along(const float* values, const float* direction, const std::uint8_t* chosen) const {
  float along = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    along += direction[t] * (values[t] - centres[t * kCentres + chosen[t / dims_per_code]]);
  }
  return along;
}

// Coordinate descent: code after code takes the centre that is best beside the others.
void Quantizer::lower_loss(const float* values, const float* direction, std::uint8_t* chosen) const {
  constexpr int kSweeps = 4;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    float along = error_along(values, direction, chosen);
    bool changed = false;
    for (std::size_t code = 0; code < num_codes(); ++code) {
      float losses[kCentres] = {};
      float alongs[kCentres] = {};
      const std::size_t last = std::min(dim, (code + 1) * dims_per_code);
      for (std::size_t t = code * dims_per_code; t < last; ++t) {
        for (std::size_t c = 0; c < kCentres; ++c) {
          const float left = values[t] - centres[t * kCentres + c];
          losses[c] += left * left;
          alongs[c] += direction[t] * left;
        }
      }
      const float others = along - alongs[chosen[code]];
      for (std::size_t c = 0; c < kCentres; ++c) {
        alongs[c] += others;
        losses[c] += (kAlong - 1.0f) * alongs[c] * alongs[c];
      }
      const std::uint8_t best = least(losses);
      if (!(losses[best] < losses[chosen[code]])) continue;
      chosen[code] = best;
      along = alongs[best];
      changed = true;
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
    const std::size_t centre = blocks[place.byte] >> place.shift & 15;
    residual[t] = scale * centres[t * kCentres + centre];
  }
}

CodedQuery Quantizer::encode_query(const float* query, std::uint8_t* bytes, float* table) const {
  if (is_int8()) return encode_int8_query(query, dim, reinterpret_cast<std::int8_t*>(bytes));
  float squares = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) squares += query[t] * query[t];
  const std::size_t codes = num_codes();
  float offset = 0.0f;
  float widest = 0.0f;
  for (std::size_t code = 0; code < codes; ++code) {
    float* entries = table + code * kCentres;
    for (std::size_t c = 0; c < kCentres; ++c) entries[c] = 0.0f;
    for (std::size_t j = 0; j < dims_per_code; ++j) {
      const std::size_t t = code * dims_per_code + j;
      const float value = t < dim ? query[t] : 0.0f;
      const float* own = &centres[t * kCentres];
      for (std::size_t c = 0; c < kCentres; ++c) entries[c] += value * own[c];
    }
    float least = entries[0];
    float most = entries[0];
    for (std::size_t c = 1; c < kCentres; ++c) {
      least = entries[c] < least ? entries[c] : least;
      most = entries[c] > most ? entries[c] : most;
    }
    for (std::size_t c = 0; c < kCentres; ++c) entries[c] -= least;
    offset += least;
    widest = most - least > widest ? most - least : widest;
  }
  const float scale = widest / kSteps;
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  for (std::size_t i = 0; i < codes * kCentres; ++i) {
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(table[i] * inverse + 0.5f));
  }
  std::fill(bytes + codes * kCentres, bytes + query_bytes(), std::uint8_t{0});
  return {bytes, scale, offset, std::sqrt(squares), 0.5f * scale * static_cast<float>(codes), 0.0f};
}

// The centres are those of plain k-means: solving for the ones that lower the anisotropic loss, in turns with encoding,
// changed recall by less than 0.01 either way (int4 and pq4 at 384 dimensions).
Quantizer Quantizer::learn(const float* residuals, std::size_t count, std::size_t dim, std::size_t dims_per_code,
                           std::uint64_t seed, std::size_t threads) {
  constexpr std::size_t kIterations = 12;
  Quantizer quantizer{dim, dims_per_code, {}};
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
    const KMeans found = kmeans(parts.data(), count, dims_per_code, kCentres, kIterations, seed + code, 1);
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
