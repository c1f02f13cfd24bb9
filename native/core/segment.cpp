#include "segment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "partition/kmeans.h"
#include "scattered.h"
#include "search/topk.h"
#include "threads.h"

namespace shortlist {
namespace {

// Puts the members of every cell in falling order of their projections on its centroid.
void sort_by_projection(const Augmentation& augmentation, const float* rows, const float* centroids, Members& members,
                        std::size_t threads) {
  const std::size_t dim = augmentation.coded_dim();
  parallel_for(members.starts.size() - 1, threads, [&](std::size_t cell, std::size_t) {
    if (members.starts[cell] == members.starts[cell + 1]) return;
    std::vector<Scored> projections;
    std::vector<float> row(dim);
    std::uint32_t* own = &members.order[members.starts[cell]];
    const std::size_t count = members.starts[cell + 1] - members.starts[cell];
    for (std::size_t i = 0; i < count; ++i) {
      augmentation.row(scattered_row(rows, augmentation.dim, own, i, count), row.data());
      projections.push_back({projection_on(row.data(), centroids + cell * dim, dim), own[i]});
    }
    std::sort(projections.begin(), projections.end(), better);
    for (std::size_t i = 0; i < count; ++i) own[i] = projections[i].row;
  });
}

}  // namespace

void Segment::finish(const Codebook& codebook, const float* coded_centroids) {
  const std::size_t dim = codebook.augmentation.coded_dim();
  max_norm = 0.0;
  for (std::size_t cell = 0; cell < codes.num_cells(); ++cell) {
    if (codes.count(cell) == 0) continue;
    const float* centroid = coded_centroids + cell * dim;
    double squares = 0.0;
    for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(centroid[t]) * centroid[t];
    max_norm = std::max(max_norm, std::sqrt(squares) + codes.radii[cell]);
  }
  position_of = Array<std::uint32_t>(size);
  for (std::size_t position = 0; position < size; ++position) {
    position_of[row_of[position]] = static_cast<std::uint32_t>(position);
  }
}

std::size_t Segment::bytes() const {
  std::size_t total = codes.bytes() + row_of.bytes() + position_of.bytes() + rows.bytes() + ids.bytes();
  for (const Column& column : columns) total += column.bytes();
  return total;
}

Segment encode(const Codebook& codebook, const Array<float>& centroids, const float* rows,
               const Array<std::uint32_t>& cells, Ids ids, Store store, std::size_t threads, const Progress& progress) {
  const auto tick = [&](const char* stage) { return [&progress, stage](double f) { progress(stage, f); }; };
  const std::size_t size = cells.size();
  const std::size_t dim = codebook.dim;
  const Augmentation& augmentation = codebook.augmentation;
  Members members(cells.data(), size, codebook.num_cells());
  sort_by_projection(augmentation, rows, centroids.data(), members, threads);
  Segment segment;
  segment.size = size;
  segment.ids = std::move(ids);
  segment.row_of = members.order;
  segment.rows = StoredRows(store, rows, dim, segment.row_of, threads, tick("order"));

  // They are coded as they are stored, rounded if need be: the bounds of exact search then hold for what it scores.
  const ReadRow read = [&](std::size_t position, float* out) {
    float row[kMaxDim];
    segment.rows.read(position, row);
    augmentation.row(row, out);
  };
  const ReadRow query = [&](std::size_t position, float* out) {
    float row[kMaxDim];
    segment.rows.read(position, row);
    augmentation.query(row, out);
  };
  segment.codes = encode(codebook.quantizer, members.starts, centroids.data(), {read, query}, threads, true,
                         tick("codes"), codebook.scales);
  segment.codes.usual_radii = codebook.radii;
  segment.finish(codebook, centroids.data());
  return segment;
}

}  // namespace shortlist
