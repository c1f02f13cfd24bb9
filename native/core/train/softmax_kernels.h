// What every instruction set provides for the losses of training. `softmax_loops.h` holds the loops; a level differs
// only in how wide its vectors are. Levels agree to rounding.
//
// Scores are made in tiles of kTile queries, which are the lanes, by any number of candidates, which are the rows. So
// candidates are read as they lie, and what is known of a query (its largest score, the sum of its exponentials) is one
// lane.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist {

inline constexpr std::size_t kTile = 64;  // queries that are worked on together

// Minus infinity for scores, but finite, so that differences are numbers. Lower scores count as none.
inline constexpr float kNoScore = -1e30f;

// Some candidates, a row each of a tile of scores.
struct CandidateRows {
  const float* values;  // rows of dim, `stride` floats apart
  std::size_t count;
  std::size_t dim;
  std::size_t stride;
  const float* bias = nullptr;         // subtracted from scores; null = 0
  const std::int32_t* keys = nullptr;  // null: every candidate is a negative of every query
};

struct SoftmaxKernels {
  const char* name;

  // out (count, kTile): <query, candidate> - bias, kNoScore where the keys are equal. `columns` (dim, kTile) holds the
  // queries, `keys` their keys.
  void (*scores)(const float* columns, const std::int32_t* keys, const CandidateRows& candidates, float* out);

  // most[i] = the largest of itself and the scores (count, kTile) of query i.
  void (*largest)(const float* scores, std::size_t count, float* most);

  // Makes scores (count, kTile) their exponentials, exp(score - most[i]); sums[i] = their sum.
  void (*exponentials)(float* scores, std::size_t count, const float* most, float* sums);

  // Makes scores (count, kTile) their logistic function, 1 / (1 + exp(-score)); sums[i] = the sum of
  // log(1 + exp(score)).
  void (*sigmoids)(float* scores, std::size_t count, float* sums);

  // out (rows, dim) += sum over k < depth of left[i * row_step + k * step] * right row k. `dim` is a multiple of 16;
  // strides are of `right` and `out`.
  void (*add_products)(const float* left, std::size_t row_step, std::size_t step, std::size_t rows, std::size_t depth,
                       const float* right, std::size_t right_stride, float* out, std::size_t out_stride,
                       std::size_t dim);
};

}  // namespace shortlist
