// Queries against every candidate of a catalogue: losses and gradients, without the matrix of scores.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shortlist {

// With s(i, j) = <query i, candidate j> / temperature - shift, over the candidates j that query i does not know, and
// with its positives P(i) among them, each as often as it is listed:
//   softmax:  loss i = sum over j in P(i) of (log(sum over k of exp(s(i, k))) - s(i, j))
//   logistic: loss i = sum over j of log(1 + exp(s(i, j))) - sum over j in P(i), each once, of s(i, j)
struct CatalogueBatch {
  const float* queries;  // (num_queries, dim)
  std::size_t num_queries;
  const float* candidates;  // (num_candidates, dim)
  std::size_t num_candidates;
  std::size_t dim;
  float temperature = 1.0f;
  float shift = 0.0f;
  // (num_queries, width): candidates by their number from 1 on; 0 is padding, as is what is no candidate.
  const std::int32_t* known;
  std::size_t known_width;
  const std::int32_t* positives;
  std::size_t positives_width;
  bool logistic = false;
};

// Returns the sum of the losses by the number of positives (at least 1); where they are not null, writes its gradients,
// (num_queries, dim) and (num_candidates, dim). Results do not depend on the number of threads.
double catalogue_loss(const CatalogueBatch& batch, std::size_t threads, float* query_gradients = nullptr,
                      float* candidate_gradients = nullptr);

}  // namespace shortlist
