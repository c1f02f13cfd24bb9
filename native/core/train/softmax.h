// The in-batch softmax that two towers are trained by: its losses and gradients, without the matrix of scores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "train/softmax_kernels.h"

namespace shortlist {

// Query i chose candidate i; every other candidate whose key differs is a negative for it. Its loss is
//   log(exp(s(i, i)) + sum over its negatives j of exp(s(i, j))) - s(i, i)
// with s(i, j) = <query i, candidate j> / temperature - bias j.
struct SoftmaxBatch {
  const float* queries;  // (num_queries, dim)
  std::size_t num_queries;
  const float* candidates;  // (num_candidates, dim), num_candidates >= num_queries
  std::size_t num_candidates;
  std::size_t dim;
  float temperature = 1.0f;
  const float* bias = nullptr;         // (num_candidates,): the logarithms of sampling probabilities; null = 0
  const std::int32_t* keys = nullptr;  // (num_candidates,): equal keys are the same candidate; null = all differ
};

// Writes the (num_queries,) losses and, where they are not null, the gradients of sum over i of weights[i] * loss i,
// (num_queries, dim) and (num_candidates, dim). Results do not depend on the number of threads.
void softmax(const SoftmaxBatch& batch, std::size_t threads, float* losses, const float* weights = nullptr,
             float* query_gradients = nullptr, float* candidate_gradients = nullptr);

// The levels this machine can run, best first, and the one called `name`, or the active one.
const SoftmaxKernels& softmax_kernels(std::string_view name = {});

}  // namespace shortlist
