#include "train/softmax.h"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"
#include "threads.h"

namespace shortlist {

extern const SoftmaxKernels kScalarSoftmax;
#ifdef SHORTLIST_HAS_AVX2
extern const SoftmaxKernels kAvx2Softmax;
#endif
#ifdef SHORTLIST_HAS_AVX512
extern const SoftmaxKernels kAvx512Softmax;
#endif
#ifdef SHORTLIST_HAS_NEON
extern const SoftmaxKernels kNeonSoftmax;
#endif

const SoftmaxKernels& softmax_kernels(std::string_view name) {
  if (name.empty()) name = active_kernels().name;
#ifdef SHORTLIST_HAS_AVX512
  if (name == "avx512") return kAvx512Softmax;
#endif
#ifdef SHORTLIST_HAS_AVX2
  if (name == "avx2") return kAvx2Softmax;
#endif
#ifdef SHORTLIST_HAS_NEON
  if (name == "neon") return kNeonSoftmax;
#endif
  return kScalarSoftmax;
}

namespace {

constexpr std::size_t kPieces = 8;  // of the candidates; each has gradients of the queries of its own

std::size_t whole(std::size_t count, std::size_t step) { return (count + step - 1) / step * step; }

// A batch in padded copies, as the kernels read it.
struct Padded {
  Padded(const SoftmaxBatch& batch, std::size_t threads)
      : dim(whole(batch.dim, 16)),
        stride(dim % 32 == 0 ? dim + 16 : dim),
        rows(whole(batch.num_queries, kTile)),
        columns(whole(batch.num_candidates, kTile)) {
    query_values.resize(rows * stride);
    candidate_values.resize(columns * stride);
    tiles.resize(columns * dim);
    bias.assign(columns, -kNoScore);
    keys.assign(std::max(rows, columns), -1);
    own.assign(rows, 0.0f);
    for (std::size_t j = 0; j < batch.num_candidates; ++j) {
      bias[j] = batch.bias == nullptr ? 0.0f : batch.bias[j];
      keys[j] = batch.keys == nullptr ? static_cast<std::int32_t>(j) : batch.keys[j];
    }
    parallel_for(columns / kTile, threads, [&](std::size_t tile, std::size_t) {
      const std::size_t last = std::min(batch.num_candidates, (tile + 1) * kTile);
      for (std::size_t j = tile * kTile; j < last; ++j) {
        std::copy_n(batch.candidates + j * batch.dim, batch.dim, &candidate_values[j * stride]);
      }
      for (std::size_t t = 0; t < batch.dim; ++t) {
        float* column = &tiles[(tile * dim + t) * kTile];
        for (std::size_t j = tile * kTile; j < last; ++j) column[j % kTile] = batch.candidates[j * batch.dim + t];
      }
      for (std::size_t i = tile * kTile; i < std::min(last, batch.num_queries); ++i) {
        const float* query = batch.queries + i * batch.dim;
        double score = 0.0;
        for (std::size_t t = 0; t < batch.dim; ++t) {
          query_values[i * stride + t] = query[t] / batch.temperature;
          score += static_cast<double>(query_values[i * stride + t]) * candidate_values[i * stride + t];
        }
        own[i] = static_cast<float>(score - bias[i]);
      }
    });
  }

  SoftmaxQueries queries() const { return {query_values.data(), keys.data(), rows}; }
  SoftmaxCandidates candidates() const {
    return {candidate_values.data(), tiles.data(), bias.data(), keys.data(), columns / kTile, dim, stride};
  }

  std::size_t dim, stride, rows, columns;
  std::vector<float> query_values;
  std::vector<float> candidate_values;
  std::vector<float> tiles;
  std::vector<float> bias;
  std::vector<std::int32_t> keys;
  std::vector<float> own;  // the score of each query with its own candidate
};

}  // namespace

void softmax_losses(const SoftmaxBatch& batch, std::size_t threads, float* losses, float* log_sums) {
  const Padded padded(batch, threads);
  std::vector<float> sums(padded.rows);
  parallel_for(padded.rows / kTile, threads, [&](std::size_t tile, std::size_t) {
    softmax_kernels().log_sums(padded.queries(), padded.candidates(), tile * kTile, sums.data());
  });
  for (std::size_t i = 0; i < batch.num_queries; ++i) {
    const double above = static_cast<double>(sums[i]) - padded.own[i];
    losses[i] = static_cast<float>(std::max(above, 0.0) + std::log1p(std::exp(-std::abs(above))));
    log_sums[i] = sums[i];
  }
}

void softmax_gradients(const SoftmaxBatch& batch, const float* log_sums, const float* weights, std::size_t threads,
                       float* query_gradients, float* candidate_gradients) {
  const Padded padded(batch, threads);
  const std::size_t stride = padded.stride;
  std::vector<float> sums(padded.rows, 0.0f);
  std::copy_n(log_sums, batch.num_queries, sums.begin());
  // The slope of loss i in log_sums[i]; that in the query's own score is minus as much.
  std::vector<float> slopes(padded.rows, 0.0f);
  for (std::size_t i = 0; i < batch.num_queries; ++i) {
    const double above = static_cast<double>(log_sums[i]) - padded.own[i];
    slopes[i] = static_cast<float>(weights[i] / (1.0 + std::exp(-above)));
  }
  const std::size_t num_tiles = padded.columns / kTile;
  const std::size_t pieces = std::min(kPieces, num_tiles);
  std::vector<float> of_queries(pieces * padded.rows * stride, 0.0f);
  std::vector<float> of_candidates(padded.columns * stride, 0.0f);
  parallel_for(pieces, threads, [&](std::size_t piece, std::size_t) {
    for (std::size_t tile = piece * num_tiles / pieces; tile < (piece + 1) * num_tiles / pieces; ++tile) {
      softmax_kernels().gradients(padded.queries(), padded.candidates(), tile, sums.data(), slopes.data(),
                                  &of_queries[piece * padded.rows * stride], of_candidates.data());
    }
  });
  for (std::size_t i = 0; i < batch.num_queries; ++i) {
    for (std::size_t t = 0; t < batch.dim; ++t) {
      float sum = -slopes[i] * padded.candidate_values[i * stride + t];
      for (std::size_t piece = 0; piece < pieces; ++piece) sum += of_queries[(piece * padded.rows + i) * stride + t];
      query_gradients[i * batch.dim + t] = sum / batch.temperature;
    }
  }
  for (std::size_t j = 0; j < batch.num_candidates; ++j) {
    for (std::size_t t = 0; t < batch.dim; ++t) {
      const float own = j < batch.num_queries ? slopes[j] * padded.query_values[j * stride + t] : 0.0f;
      candidate_gradients[j * batch.dim + t] = of_candidates[j * stride + t] - own;
    }
  }
}

}  // namespace shortlist
