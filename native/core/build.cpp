#include <algorithm>
#include <cmath>
#include <utility>

#include "index.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kRowsPerPiece = 16384;

void normalise(float* row, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t i = 0; i < dim; ++i) squares += static_cast<double>(row[i]) * row[i];
  if (squares == 0.0) return;
  const double inverse = 1.0 / std::sqrt(squares);
  for (std::size_t i = 0; i < dim; ++i) row[i] = static_cast<float>(row[i] * inverse);
}

}  // namespace

Index build(const float* embeddings, std::size_t size, std::size_t dim, Ids ids, const BuildOptions& options,
            const Progress& progress) {
  Index index;
  index.metric = options.metric;
  index.dim = dim;
  index.size = size;
  index.ids = std::move(ids);
  index.rows = Array<float>(size * dim);
  parallel_for(
      (size + kRowsPerPiece - 1) / kRowsPerPiece, options.threads,
      [&](std::size_t piece, std::size_t) {
        const std::size_t first = piece * kRowsPerPiece;
        const std::size_t last = std::min(size, first + kRowsPerPiece);
        std::copy(embeddings + first * dim, embeddings + last * dim, &index.rows[first * dim]);
        if (options.metric != Metric::cosine) return;
        for (std::size_t row = first; row < last; ++row) normalise(&index.rows[row * dim], dim);
      },
      [&](double fraction) {
        if (progress) progress("rows", fraction);
      });
  return index;
}

}  // namespace shortlist
