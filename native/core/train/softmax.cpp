#include "train/softmax.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dispatch.h"
#include "threads.h"
#include "train/scratch.h"
#include "train/tiles.h"

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

constexpr std::size_t kMostPieces = 8;    // of the queries; each has gradients of the candidates of its own
constexpr std::size_t kTilesOfPiece = 4;  // at least
constexpr std::size_t kBlock = 64;        // candidates that stay in the nearest cache together

std::size_t pieces_of(std::size_t tiles) { return std::clamp<std::size_t>(tiles / kTilesOfPiece, 1, kMostPieces); }

class Softmax {
 public:
  Softmax(const SoftmaxBatch& batch, std::size_t threads, float* losses, const float* weights, float* query_gradients,
          float* candidate_gradients)
      : batch_(batch),
        kernels_(softmax_kernels()),
        tiles_((batch.num_queries + kTile - 1) / kTile),
        pieces_(pieces_of(tiles_)),
        threads_(std::min(thread_count(threads), pieces_)),
        stride_(whole(batch.dim, 16)),
        losses_(losses),
        weights_(weights),
        query_gradients_(query_gradients),
        candidate_gradients_(candidate_gradients),
        has_gradients_(query_gradients != nullptr),
        is_direct_(stride_ == batch.dim),
        slopes_(has_gradients_ ? batch.num_queries : 0),
        scratch_(threads_ * floats_of_worker() + floats_of_rows() + pieces_ * floats_of_gradients()) {
    for (std::size_t worker = 0; worker < threads_; ++worker) workers_.push_back(scratch_.take(floats_of_worker()));
    candidates_ = batch.candidates;
    if (!is_direct_) {
      float* rows = scratch_.take(floats_of_rows());
      fill_rows(batch.candidates, batch.num_candidates, batch.dim, stride_, rows);
      candidates_ = rows;
    }
    for (std::size_t piece = 0; piece < pieces_ && has_gradients_; ++piece) {
      const bool in_place = piece == 0 && is_direct_;
      gradients_.push_back(in_place ? candidate_gradients_ : scratch_.take(floats_of_gradients()));
    }
    if (batch.keys == nullptr) {
      numbers_.resize(batch.num_candidates);
      for (std::size_t j = 0; j < numbers_.size(); ++j) numbers_[j] = static_cast<std::int32_t>(j);
    }
  }

  void run() {
    parallel_for(pieces_, threads_, [&](std::size_t piece, std::size_t worker) {
      if (has_gradients_) std::fill_n(gradients_[piece], batch_.num_candidates * stride_, 0.0f);
      for (std::size_t tile = piece * tiles_ / pieces_; tile < (piece + 1) * tiles_ / pieces_; ++tile) {
        work(tile, workers_[worker], has_gradients_ ? gradients_[piece] : nullptr);
      }
    });
    if (!has_gradients_) return;
    const std::size_t blocks = (batch_.num_candidates + kBlock - 1) / kBlock;
    parallel_for(std::min(pieces_, blocks), threads_, [&](std::size_t part, std::size_t) {
      const std::size_t parts = std::min(pieces_, blocks);
      const std::size_t last = std::min(batch_.num_candidates, (part + 1) * blocks / parts * kBlock);
      for (std::size_t j = part * blocks / parts * kBlock; j < last; ++j) add_up(j);
    });
  }

 private:
  const std::int32_t* keys() const { return batch_.keys == nullptr ? numbers_.data() : batch_.keys; }

  std::size_t floats_of_worker() const {
    const std::size_t scores = Scratch::rounded(batch_.num_candidates * kTile);
    return scores + Scratch::rounded(batch_.dim * kTile) + 2 * Scratch::rounded(stride_ * kTile);
  }
  std::size_t floats_of_rows() const { return is_direct_ ? 0 : Scratch::rounded(batch_.num_candidates * stride_); }
  std::size_t floats_of_gradients() const {
    return has_gradients_ ? Scratch::rounded(batch_.num_candidates * stride_) : 0;
  }

  CandidateRows rows(std::size_t first) const {
    return {.values = candidates_ + first * stride_,
            .count = std::min(kBlock, batch_.num_candidates - first),
            .dim = batch_.dim,
            .stride = stride_,
            .bias = batch_.bias == nullptr ? nullptr : batch_.bias + first,
            .keys = keys() + first};
  }

  // The queries of one tile against all candidates.
  void work(std::size_t tile, float* memory, float* of_candidates) {
    const std::size_t first = tile * kTile;
    const std::size_t count = std::min(kTile, batch_.num_queries - first);
    const std::size_t dim = batch_.dim;
    const float* queries = batch_.queries + first * dim;
    const float factor = 1.0f / batch_.temperature;
    float* scores = memory;
    float* columns = scores + Scratch::rounded(batch_.num_candidates * kTile);
    float* scaled = columns + Scratch::rounded(dim * kTile);
    float* of_queries = scaled + Scratch::rounded(stride_ * kTile);

    fill_columns(queries, count, dim, factor, columns);
    std::int32_t own_keys[kTile] = {};
    std::copy_n(keys() + first, count, own_keys);
    float most[kTile];
    std::fill_n(most, kTile, kNoScore);
    for (std::size_t j = 0; j < batch_.num_candidates; j += kBlock) {
      kernels_.scores(columns, own_keys, rows(j), scores + j * kTile);
      kernels_.largest(scores + j * kTile, rows(j).count, most);
    }
    double sums[kTile] = {};
    for (std::size_t j = 0; j < batch_.num_candidates; j += kBlock) {
      float some[kTile];
      kernels_.exponentials(scores + j * kTile, rows(j).count, most, some);
      for (std::size_t i = 0; i < kTile; ++i) sums[i] += some[i];
    }

    float shares[kTile] = {};  // of each query: what its exponentials are multiplied by to be slopes of the loss
    for (std::size_t i = 0; i < count; ++i) {
      const float* candidate = batch_.candidates + (first + i) * dim;
      double own = 0.0;
      for (std::size_t t = 0; t < dim; ++t) own += static_cast<double>(queries[i * dim + t]) * candidate[t];
      own = own / batch_.temperature - (batch_.bias == nullptr ? 0.0f : batch_.bias[first + i]);
      const bool has_negatives = most[i] > 0.5f * kNoScore;
      const double log_sum = has_negatives ? most[i] + std::log(sums[i]) : kNoScore;
      const double above = log_sum - own;
      losses_[first + i] = static_cast<float>(std::max(above, 0.0) + std::log1p(std::exp(-std::abs(above))));
      if (!has_gradients_) continue;
      slopes_[first + i] = static_cast<float>(weights_[first + i] / (1.0 + std::exp(-above))) * factor;
      shares[i] = has_negatives ? static_cast<float>(slopes_[first + i] / sums[i]) : 0.0f;
    }
    if (!has_gradients_) return;

    std::fill_n(scaled, stride_ * kTile, 0.0f);
    std::fill_n(of_queries, stride_ * kTile, 0.0f);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t t = 0; t < dim; ++t) scaled[i * stride_ + t] = queries[i * dim + t] * shares[i];
    }
    for (std::size_t j = 0; j < batch_.num_candidates; j += kBlock) {
      const CandidateRows some = rows(j);
      kernels_.add_products(scores + j * kTile, kTile, 1, some.count, kTile, scaled, stride_,
                            of_candidates + j * stride_, stride_, stride_);
      kernels_.add_products(scores + j * kTile, 1, kTile, kTile, some.count, some.values, stride_, of_queries, stride_,
                            stride_);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float* candidate = batch_.candidates + (first + i) * dim;
      float* out = query_gradients_ + (first + i) * dim;
      const float slope = slopes_[first + i];
      for (std::size_t t = 0; t < dim; ++t) out[t] = shares[i] * of_queries[i * stride_ + t] - slope * candidate[t];
    }
  }

  // The gradient of candidate j, from those of the pieces.
  void add_up(std::size_t j) {
    const float slope = j < batch_.num_queries ? slopes_[j] : 0.0f;
    const float* query = batch_.queries + (j < batch_.num_queries ? j : 0) * batch_.dim;
    float* out = candidate_gradients_ + j * batch_.dim;
    for (std::size_t t = 0; t < batch_.dim; ++t) {
      float sum = gradients_[0][j * stride_ + t];
      for (std::size_t piece = 1; piece < pieces_; ++piece) sum += gradients_[piece][j * stride_ + t];
      out[t] = sum - slope * query[t];
    }
  }

  const SoftmaxBatch& batch_;
  const SoftmaxKernels& kernels_;
  std::size_t tiles_;
  std::size_t pieces_;
  std::size_t threads_;
  std::size_t stride_;
  float* losses_;
  const float* weights_;
  float* query_gradients_;
  float* candidate_gradients_;
  bool has_gradients_;
  bool is_direct_;             // whether candidates can be read as they lie
  std::vector<float> slopes_;  // of each loss in the query's own score, negated, by the temperature
  Scratch scratch_;
  std::vector<float*> workers_;
  std::vector<float*> gradients_;  // of the candidates, by each piece
  const float* candidates_ = nullptr;
  std::vector<std::int32_t> numbers_;
};

}  // namespace

void softmax(const SoftmaxBatch& batch, std::size_t threads, float* losses, const float* weights,
             float* query_gradients, float* candidate_gradients) {
  if (batch.num_queries == 0) {
    if (candidate_gradients != nullptr) std::fill_n(candidate_gradients, batch.num_candidates * batch.dim, 0.0f);
    return;
  }
  Softmax(batch, threads, losses, weights, query_gradients, candidate_gradients).run();
}

}  // namespace shortlist
