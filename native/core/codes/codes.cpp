#include "codes/codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "random.h"
#include "threads.h"

namespace shortlist {
namespace {

constexpr std::size_t kCellsPerPiece = 16;
constexpr std::size_t kLearnRows = 16384;

double squared_norm(const float* values, std::size_t dim) {
  double squares = 0.0;
  for (std::size_t t = 0; t < dim; ++t) squares += static_cast<double>(values[t]) * values[t];
  return squares;
}

void read_residual(const ReadRow& read, std::size_t position, const float* centroid, std::size_t dim, float* out) {
  read(position, out);
  for (std::size_t t = 0; t < dim; ++t) out[t] -= centroid[t];
}

// Zero where the query is.
void read_direction(const ReadRow& query, std::size_t position, std::size_t dim, float* out) {
  query(position, out);
  const double norm = std::sqrt(squared_norm(out, dim));
  const double inverse = norm > 0.0 ? 1.0 / norm : 0.0;
  for (std::size_t t = 0; t < dim; ++t) out[t] = static_cast<float>(out[t] * inverse);
}

// Reads the residuals of a cell's rows, with room for two more, and returns the largest |residual|.
float read_residuals(const ReadRow& read, std::size_t begin, std::size_t end, const float* centroid, std::size_t dim,
                     std::vector<float>& residuals) {
  residuals.resize((end - begin + 2) * dim);
  double largest = 0.0;
  for (std::size_t i = begin; i < end; ++i) {
    float* residual = &residuals[(i - begin) * dim];
    read_residual(read, i, centroid, dim, residual);
    largest = std::max(largest, squared_norm(residual, dim));
  }
  return static_cast<float>(std::sqrt(largest));
}

// `find_scale` says whether the cell's scale is to be that of its rows.
void encode_cell(Codes& codes, std::size_t cell, const float* centroid, const Source& source, bool find_scale,
                 std::vector<float>& residuals) {
  const Quantizer& quantizer = codes.quantizer;
  const std::size_t dim = quantizer.dim;
  const std::size_t count = codes.count(cell);
  codes.radii[cell] = read_residuals(source.read, codes.starts[cell], codes.starts[cell + 1], centroid, dim, residuals);
  if (find_scale) codes.scales[cell] = quantizer.scale_of(residuals.data(), count);
  const float scale = codes.scales[cell];
  std::uint8_t* blocks = codes.blocks.data() + codes.first_block[cell] * quantizer.block_bytes();
  const std::size_t num_blocks = codes.first_block[cell + 1] - codes.first_block[cell];
  std::fill_n(blocks, num_blocks * quantizer.block_bytes(), quantizer.padding());
  double error = 0.0;
  float* decoded = &residuals[count * dim];
  const bool aimed = source.query && !quantizer.is_int8();
  float* direction = aimed ? decoded + dim : nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    const float* residual = &residuals[i * dim];
    if (aimed) read_direction(source.query, codes.starts[cell] + i, dim, direction);
    quantizer.encode(residual, scale, direction, i, blocks);
    quantizer.decode(scale, i, blocks, decoded);
    for (std::size_t t = 0; t < dim; ++t) decoded[t] -= residual[t];
    error = std::max(error, squared_norm(decoded, dim));
  }
  codes.errors[cell] = static_cast<float>(std::sqrt(error));
}

// Only upwards of the last run is it the largest of all that follow.
void find_run_projections(Codes& codes, std::size_t cell, const float* centroid, const ReadRow& read) {
  constexpr std::size_t kRunRows = kRunBlocks * kBlockRows;
  const std::size_t dim = codes.quantizer.dim;
  std::vector<float> row(dim);
  float* projections = &codes.run_projections[codes.first_run(cell)];
  codes.drop_runs(cell);
  float largest = std::numeric_limits<float>::lowest();
  for (std::size_t i = codes.count(cell); i-- > 0;) {
    read(codes.starts[cell] + i, row.data());
    largest = std::max(largest, projection_on(row.data(), centroid, dim));
    projections[i / kRunRows] = largest;
  }
}

// Calls work(cell, memory it may use) for every cell.
template <typename Work>
void for_each_cell(std::size_t cells, std::size_t threads, const Work& work,
                   const std::function<void(double)>& tick = nullptr) {
  parallel_for((cells + kCellsPerPiece - 1) / kCellsPerPiece, threads,
               [&](std::size_t piece, std::size_t) {
                 std::vector<float> residuals;
                 const std::size_t last = std::min(cells, (piece + 1) * kCellsPerPiece);
                 for (std::size_t cell = piece * kCellsPerPiece; cell < last; ++cell) work(cell, residuals);
               },
               tick);
}

}  // namespace

void Codes::place_blocks() {
  const std::size_t cells = starts.size() - 1;
  first_block = Array<std::uint32_t>(cells + 1);
  first_block[0] = 0;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const std::size_t blocks_here = (count(cell) + kBlockRows - 1) / kBlockRows;
    first_block[cell + 1] = first_block[cell] + static_cast<std::uint32_t>(blocks_here);
  }
}

Codes::Place Codes::place_of(std::size_t position) const {
  const auto next = std::upper_bound(starts.begin(), starts.end(), position);
  const auto cell = static_cast<std::size_t>(next - starts.begin()) - 1;
  const std::size_t i = position - starts[cell];
  return {first_block[cell] + i / kBlockRows, i % kBlockRows};
}

void Codes::drop_runs(std::size_t cell) {
  std::fill(&run_projections[first_run(cell)], &run_projections[first_run(cell + 1)],
            std::numeric_limits<float>::lowest());
}

std::size_t Codes::blocks_reaching(std::size_t cell, float base, float least) const {
  const std::size_t all = first_block[cell + 1] - first_block[cell];
  if (base == 0.0f) return all;  // the tier
  if (run_projections.empty() || base < 0.0f) return base < least ? 0 : all;
  const float* own = &run_projections[first_run(cell)];
  std::size_t reaching = 0;
  while (reaching < all && !(*own * base < least)) {
    reaching += kRunBlocks;
    ++own;
  }
  return std::min(reaching, all);
}

float projection_on(const float* row, const float* centroid, std::size_t dim) {
  float along = 0.0f;
  float squares = 0.0f;
  for (std::size_t t = 0; t < dim; ++t) {
    along += row[t] * centroid[t];
    squares += centroid[t] * centroid[t];
  }
  const float projection = along / squares;
  return std::isfinite(projection) ? projection : 1.0f;
}

void Codes::decode(std::size_t cell, std::size_t position, const float* centroid, float* row) const {
  quantizer.decode(scales[cell], position - starts[cell], blocks_of(cell), row);
  for (std::size_t t = 0; t < quantizer.dim; ++t) row[t] += centroid[t];
}

Codes encode(Quantizer quantizer, Array<std::uint32_t> starts, const float* centroids, const Source& source,
             std::size_t threads, bool sorted, const std::function<void(double)>& tick, Array<float> scales) {
  const std::size_t cells = starts.size() - 1;
  const std::size_t dim = quantizer.dim;
  const bool find_scales = scales.empty();
  Codes codes;
  codes.quantizer = std::move(quantizer);
  codes.starts = std::move(starts);
  codes.place_blocks();
  codes.scales = find_scales ? Array<float>(cells) : std::move(scales);
  codes.radii = Array<float>(cells);
  codes.errors = Array<float>(cells);
  if (sorted) codes.run_projections = Array<float>(codes.first_run(cells));
  codes.blocks = Array<std::uint8_t>(codes.first_block[cells] * codes.quantizer.block_bytes());
  for_each_cell(
      cells, threads,
      [&](std::size_t cell, std::vector<float>& residuals) {
        if (codes.count(cell) == 0 && !find_scales) {  // most cells of a segment of few rows
          codes.radii[cell] = codes.errors[cell] = 0.0f;
          if (sorted) codes.drop_runs(cell);
          return;
        }
        encode_cell(codes, cell, centroids + cell * dim, source, find_scales, residuals);
        if (sorted) find_run_projections(codes, cell, centroids + cell * dim, source.read);
      },
      tick);
  return codes;
}

CellSizes sizes_of(const Quantizer& quantizer, const Array<std::uint32_t>& starts, const float* centroids,
                   const ReadRow& read, std::size_t threads) {
  const std::size_t cells = starts.size() - 1;
  CellSizes sizes{Array<float>(cells), Array<float>(cells)};
  for_each_cell(cells, threads, [&](std::size_t cell, std::vector<float>& residuals) {
    sizes.radii[cell] = read_residuals(read, starts[cell], starts[cell + 1], centroids + cell * quantizer.dim,
                                       quantizer.dim, residuals);
    sizes.scales[cell] = quantizer.scale_of(residuals.data(), starts[cell + 1] - starts[cell]);
  });
  return sizes;
}

Quantizer learn_quantizer(std::size_t dim, std::size_t dims_per_code, const Array<std::uint32_t>& starts,
                          const float* centroids, const ReadRow& read, std::uint64_t seed, std::size_t threads) {
  const std::size_t size = starts[starts.size() - 1];
  const std::vector<std::uint32_t> chosen = Random(seed).choose(std::min(size, kLearnRows), size);
  std::vector<float> residuals(chosen.size() * dim);
  std::size_t cell = 0;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    while (starts[cell + 1] <= chosen[i]) ++cell;
    float* residual = &residuals[i * dim];
    read_residual(read, chosen[i], centroids + cell * dim, dim, residual);
    // The length of one residual stands for its cell's.
    const double scale = std::sqrt(squared_norm(residual, dim) / static_cast<double>(dim));
    for (std::size_t t = 0; t < dim && scale > 0.0; ++t) residual[t] = static_cast<float>(residual[t] / scale);
  }
  return Quantizer::learn(residuals.data(), chosen.size(), dim, dims_per_code, seed, threads);
}

}  // namespace shortlist
