#include "train/catalogue.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "threads.h"
#include "train/scratch.h"
#include "train/softmax.h"
#include "train/tiles.h"

namespace shortlist {
namespace {

constexpr std::size_t kBlock = 64;       // candidates that stay in the nearest caches together
constexpr std::size_t kMostPieces = 16;  // of the candidates; each has gradients of the queries of its own
constexpr std::size_t kBlocksOfPiece = 8;

// One entry of `known` or `positives`.
struct Entry {
  std::uint32_t query;
  std::uint32_t row;  // of its block
};

// Entries by block of candidates, in the order of queries within a block.
class Entries {
 public:
  Entries(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& pairs, std::size_t blocks) : starts_(blocks + 1) {
    std::vector<std::size_t> counts(blocks);
    for (const auto& [query, candidate] : pairs) ++counts[candidate / kBlock];
    std::partial_sum(counts.begin(), counts.end(), starts_.begin() + 1);
    entries_.resize(pairs.size());
    std::vector<std::size_t> next(starts_.begin(), starts_.end());
    for (const auto& [query, candidate] : pairs) {
      const auto row = static_cast<std::uint32_t>(candidate % kBlock);
      entries_[next[candidate / kBlock]++] = {query, row};
    }
  }

  // Calls visit(lane, row) for the entries of a block whose query is one of tile `tile`.
  template <class Visit>
  void visit(std::size_t block, std::size_t tile, const Visit& visit) const {
    const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(starts_[block]);
    const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(starts_[block + 1]);
    auto at = std::lower_bound(first, last, tile * kTile, [](const Entry& e, std::size_t q) { return e.query < q; });
    for (; at != last && at->query < (tile + 1) * kTile; ++at) visit(at->query % kTile, at->row);
  }

 private:
  std::vector<std::size_t> starts_;
  std::vector<Entry> entries_;
};

class Catalogue {
 public:
  Catalogue(const CatalogueBatch& batch, std::size_t threads, float* query_gradients, float* candidate_gradients)
      : batch_(batch),
        kernels_(softmax_kernels()),
        blocks_((batch.num_candidates + kBlock - 1) / kBlock),
        tiles_((batch.num_queries + kTile - 1) / kTile),
        pieces_(std::clamp<std::size_t>(blocks_ / kBlocksOfPiece, 1, kMostPieces)),
        threads_(std::min(thread_count(threads), pieces_)),
        stride_(whole(batch.dim, 16)),
        query_gradients_(query_gradients),
        candidate_gradients_(candidate_gradients),
        has_gradients_(query_gradients != nullptr),
        counts_(tiles_ * kTile, 0.0f),
        scratch_(2 * tiles_ * floats_of_tile() + pieces_ * floats_of_gradients() + threads_ * floats_of_worker()) {
    const float inverse = 1.0f / batch.temperature;
    for (std::size_t tile = 0; tile < tiles_; ++tile) {
      const std::size_t first = tile * kTile;
      columns_.push_back(scratch_.take(floats_of_tile()));
      rows_.push_back(scratch_.take(floats_of_tile()));
      const std::size_t count = std::min(kTile, batch.num_queries - first);
      fill_columns(batch.queries + first * batch.dim, count, batch.dim, inverse, columns_.back());
      std::fill_n(rows_.back(), stride_ * kTile, 0.0f);
    }
    for (std::size_t piece = 0; piece < pieces_; ++piece) gradients_.push_back(scratch_.take(floats_of_gradients()));
    for (std::size_t worker = 0; worker < threads_; ++worker) workers_.push_back(scratch_.take(floats_of_worker()));
    read_entries();
  }

  double run() {
    if (!batch_.logistic) find_log_sums();
    for (std::size_t i = 0; i < batch_.num_queries && has_gradients_; ++i) {
      float* row = rows_[i / kTile] + i % kTile * stride_;
      for (std::size_t t = 0; t < batch_.dim; ++t) row[t] = batch_.queries[i * batch_.dim + t] * share(i);
    }
    if (has_gradients_ || batch_.logistic) {
      std::vector<double> losses(pieces_, 0.0);
      for_each_piece([&](std::size_t piece, float* memory) {
        if (has_gradients_) std::fill_n(gradients_[piece], floats_of_gradients(), 0.0f);
        for (std::size_t block = first_of(piece); block < first_of(piece + 1); ++block) {
          losses[piece] += gradients_of(block, memory, gradients_[piece]);
        }
      });
      for (const double loss : losses) loss_ += loss;
    }
    if (has_gradients_) add_up_queries();
    return loss_ / total_;
  }

 private:
  std::size_t floats_of_tile() const { return Scratch::rounded(stride_ * kTile); }
  std::size_t floats_of_gradients() const { return has_gradients_ ? tiles_ * floats_of_tile() : 0; }
  std::size_t floats_of_worker() const { return kBlock * kTile + 2 * Scratch::rounded(kBlock * stride_); }
  std::size_t first_of(std::size_t piece) const { return piece * blocks_ / pieces_; }

  // What the gradients of query i's scores are multiplied by.
  float share(std::size_t i) const { return (batch_.logistic ? 1.0f : counts_[i]) / (total_ * batch_.temperature); }

  template <class Work>
  void for_each_piece(const Work& work) {
    parallel_for(pieces_, threads_, [&](std::size_t piece, std::size_t worker) { work(piece, workers_[worker]); });
  }

  void read_entries() {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> known, positives;
    std::vector<std::uint32_t> knows(batch_.num_candidates, 0), chose(batch_.num_candidates, 0);  // by query from 1
    for (std::uint32_t i = 0; i < batch_.num_queries; ++i) {
      for (std::size_t at = 0; at < batch_.known_width; ++at) {
        const auto candidate = static_cast<std::uint32_t>(batch_.known[i * batch_.known_width + at]) - 1u;
        if (candidate >= batch_.num_candidates || knows[candidate] == i + 1) continue;
        knows[candidate] = i + 1;
        known.emplace_back(i, candidate);
      }
      for (std::size_t at = 0; at < batch_.positives_width; ++at) {
        const auto candidate = static_cast<std::uint32_t>(batch_.positives[i * batch_.positives_width + at]) - 1u;
        if (candidate >= batch_.num_candidates || knows[candidate] == i + 1) continue;
        if (batch_.logistic && chose[candidate] == i + 1) continue;
        chose[candidate] = i + 1;
        positives.emplace_back(i, candidate);
        counts_[i] += 1.0f;
      }
    }
    for (const float count : counts_) total_ += count;
    total_ = std::max(total_, 1.0f);
    known_ = Entries(known, blocks_);
    positives_ = Entries(positives, blocks_);
  }

  // The candidates of a block, copied where the kernels could not read them as they lie.
  CandidateRows rows(std::size_t block, float* memory) const {
    const float* values = batch_.candidates + block * kBlock * batch_.dim;
    const std::size_t count = std::min(kBlock, batch_.num_candidates - block * kBlock);
    if (stride_ != batch_.dim) {
      float* copies = memory + kBlock * kTile;
      fill_rows(values, count, batch_.dim, stride_, copies);
      values = copies;
    }
    return {.values = values, .count = count, .dim = batch_.dim, .stride = stride_};
  }

  // Scores of a tile of queries with a block, none where a candidate is known.
  void score(const CandidateRows& rows, std::size_t block, std::size_t tile, float* scores) const {
    kernels_.scores(columns_[tile], nullptr, rows, scores);
    if (batch_.shift != 0.0f) {
      for (std::size_t at = 0; at < rows.count * kTile; ++at) scores[at] -= batch_.shift;
    }
    known_.visit(block, tile, [&](std::size_t lane, std::size_t row) { scores[row * kTile + lane] = kNoScore; });
  }

  // The log sum of each query, and from them the loss.
  void find_log_sums() {
    const std::size_t lanes = tiles_ * kTile;
    std::vector<std::vector<float>> most(pieces_, std::vector<float>(lanes, kNoScore));
    std::vector<std::vector<double>> sums(pieces_, std::vector<double>(lanes, 0.0));
    std::vector<double> positive(pieces_, 0.0);
    for_each_piece([&](std::size_t piece, float* scores) {
      for (std::size_t block = first_of(piece); block < first_of(piece + 1); ++block) {
        const CandidateRows some = rows(block, scores);
        for (std::size_t tile = 0; tile < tiles_; ++tile) {
          score(some, block, tile, scores);
          positives_.visit(block, tile,
                           [&](std::size_t lane, std::size_t row) { positive[piece] += scores[row * kTile + lane]; });
          float before[kTile], added[kTile];
          float* now = &most[piece][tile * kTile];
          double* sum = &sums[piece][tile * kTile];
          std::copy_n(now, kTile, before);
          kernels_.largest(scores, some.count, now);
          kernels_.exponentials(scores, some.count, now, added);
          for (std::size_t i = 0; i < kTile; ++i) {
            if (now[i] > before[i]) sum[i] *= std::exp(static_cast<double>(before[i]) - now[i]);
            sum[i] += added[i];
          }
        }
      }
    });
    log_sums_.assign(lanes, 0.0f);
    for (std::size_t i = 0; i < batch_.num_queries; ++i) {
      float largest = kNoScore;
      for (const std::vector<float>& some : most) largest = std::max(largest, some[i]);
      double sum = 0.0;
      for (std::size_t piece = 0; piece < pieces_; ++piece) {
        sum += sums[piece][i] * std::exp(static_cast<double>(most[piece][i]) - largest);
      }
      const double log_sum = largest + std::log(sum);
      log_sums_[i] = static_cast<float>(log_sum);
      if (counts_[i] > 0.0f) loss_ += counts_[i] * log_sum;
    }
    for (const double some : positive) loss_ -= some;
  }

  // Adds the gradients of the queries by a block of candidates, and writes those of the candidates. Returns what the
  // block adds to the logistic loss.
  double gradients_of(std::size_t block, float* scores, float* of_queries) {
    const CandidateRows some = rows(block, scores);
    float* of_rows = scores + kBlock * kTile + Scratch::rounded(kBlock * stride_);
    float* out = has_gradients_ ? candidate_gradients_ + block * kBlock * batch_.dim : nullptr;
    float* sums = stride_ == batch_.dim ? out : of_rows;
    if (has_gradients_) std::fill_n(sums, some.count * stride_, 0.0f);
    double loss = 0.0;
    for (std::size_t tile = 0; tile < tiles_; ++tile) {
      score(some, block, tile, scores);
      float added[kTile];
      if (batch_.logistic) {
        positives_.visit(block, tile, [&](std::size_t lane, std::size_t row) { loss -= scores[row * kTile + lane]; });
        kernels_.sigmoids(scores, some.count, added);
        const std::size_t count = std::min(kTile, batch_.num_queries - tile * kTile);
        for (std::size_t i = 0; i < count; ++i) loss += added[i];
      } else {
        kernels_.exponentials(scores, some.count, &log_sums_[tile * kTile], added);
      }
      if (!has_gradients_) continue;
      positives_.visit(block, tile, [&](std::size_t lane, std::size_t row) {
        scores[row * kTile + lane] -= batch_.logistic ? 1.0f : 1.0f / counts_[tile * kTile + lane];
      });
      kernels_.add_products(scores, kTile, 1, some.count, kTile, rows_[tile], stride_, sums, stride_, stride_);
      kernels_.add_products(scores, 1, kTile, kTile, some.count, some.values, stride_,
                            of_queries + tile * floats_of_tile(), stride_, stride_);
    }
    if (has_gradients_ && sums != out) {
      for (std::size_t j = 0; j < some.count; ++j) std::copy_n(sums + j * stride_, batch_.dim, out + j * batch_.dim);
    }
    return loss;
  }

  void add_up_queries() {
    for (std::size_t i = 0; i < batch_.num_queries; ++i) {
      const std::size_t at = i / kTile * floats_of_tile() + i % kTile * stride_;
      for (std::size_t t = 0; t < batch_.dim; ++t) {
        float sum = 0.0f;
        for (std::size_t piece = 0; piece < pieces_; ++piece) sum += gradients_[piece][at + t];
        query_gradients_[i * batch_.dim + t] = sum * share(i);
      }
    }
  }

  const CatalogueBatch& batch_;
  const SoftmaxKernels& kernels_;
  std::size_t blocks_;
  std::size_t tiles_;
  std::size_t pieces_;
  std::size_t threads_;
  std::size_t stride_;
  float total_ = 0.0f;  // positives of all queries, at least 1
  float* query_gradients_;
  float* candidate_gradients_;
  bool has_gradients_;
  std::vector<float> counts_;  // positives of each query
  Scratch scratch_;
  std::vector<float*> columns_;    // the queries of each tile
  std::vector<float*> rows_;       // the same, a row each, times their shares
  std::vector<float*> gradients_;  // of the queries, by each piece
  std::vector<float*> workers_;
  Entries known_{{}, 0};
  Entries positives_{{}, 0};
  std::vector<float> log_sums_;
  double loss_ = 0.0;
};

}  // namespace

double catalogue_loss(const CatalogueBatch& batch, std::size_t threads, float* query_gradients,
                      float* candidate_gradients) {
  return Catalogue(batch, threads, query_gradients, candidate_gradients).run();
}

}  // namespace shortlist
