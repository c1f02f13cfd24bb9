// What every instruction set provides for the softmax of training. `softmax_loops.h` holds the loops; a level differs
// only in how wide its vectors are. Levels agree to rounding.
//
// Arrays are padded so that no loop has a remainder: dimensions to a multiple of 16, rows and columns to whole tiles.
// Rows lie `stride` floats apart, an odd multiple of 16: at an even one the rows of a tile fall on few sets of the
// cache.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist {

inline constexpr std::size_t kTile = 64;  // queries, or candidates, that are worked on together

// Minus infinity for scores, but finite, so that differences are numbers. Lower scores count as none.
inline constexpr float kNoScore = -1e30f;

// Queries, a row each.
struct SoftmaxQueries {
  const float* values;       // (count, stride), divided by the temperature
  const std::int32_t* keys;  // a candidate of the same key is no negative of the query
  std::size_t count;         // a multiple of kTile
};

// Candidates, a column each of the matrix of scores. Score (i, j) is <query i, candidate j> - bias[j].
struct SoftmaxCandidates {
  const float* values;   // (kTile * tiles, stride)
  const float* columns;  // the same in tiles of (dim, kTile)
  const float* bias;     // -kNoScore where there is no candidate
  const std::int32_t* keys;
  std::size_t tiles;
  std::size_t dim;
  std::size_t stride;
};

struct SoftmaxKernels {
  const char* name;

  // log_sums[i] = log sum over the negatives j of query i of exp(score (i, j)); about kNoScore where it has none.
  // For the queries from `first`, kTile of them.
  void (*log_sums)(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t first,
                   float* log_sums);

  // With p(i, j) = slopes[i] * exp(score (i, j) - log_sums[i]) for negatives and 0 for others, adds to
  // query_gradients (count, stride) sum over j of p(i, j) * candidate j, and to candidate_gradients (kTile * tiles,
  // stride) sum over i of p(i, j) * query i. For the candidates of tile `tile`.
  void (*gradients)(const SoftmaxQueries& queries, const SoftmaxCandidates& candidates, std::size_t tile,
                    const float* log_sums, const float* slopes, float* query_gradients, float* candidate_gradients);
};

}  // namespace shortlist
