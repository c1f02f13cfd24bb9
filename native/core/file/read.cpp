#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "file/file.h"
#include "file/format.h"
#include "file/reader.h"
#include "file/utf8.h"

namespace shortlist {
namespace {

constexpr std::size_t kMaxAugmentedCopies = kMaxCodedDim - kMaxDim - 1;

// What is learnt from rows within kMaxNorm lies well within this; sums and products of it stay in float32.
constexpr float kLargest = 4.0f * kMaxNorm;

bool all_finite(const Array<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::fabs(v) <= kLargest; });
}

bool all_lengths(const Array<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v >= 0.0f && v <= kLargest; });
}

// Ends that rise to `last`.
bool are_ends(const Array<std::uint64_t>& ends, std::size_t last) {
  return ends.empty() ? last == 0 : std::is_sorted(ends.begin(), ends.end()) && ends[ends.size() - 1] == last;
}

bool are_starts(const Array<std::uint32_t>& starts, std::size_t last) {
  return starts.size() >= 2 && starts[0] == 0 && starts[starts.size() - 1] == last &&
         std::is_sorted(starts.begin(), starts.end());
}

// The steps of even codes; none where codes are of another kind.
Array<float> read_steps(const Reader& file, SectionKind kind, std::size_t dim) {
  Array<float> steps = file.array_of_any_size<float>(kind);
  file.require(steps.empty() || steps.size() == dim, "has a section of the wrong size");
  file.require(all_lengths(steps), "has steps of impossible size");
  return steps;
}

std::shared_ptr<const Codebook> read_codebook(const Reader& file, const FileParameters& parameters) {
  Codebook book;
  book.dim = parameters.dim;
  file.require(book.dim >= 1 && book.dim <= kMaxDim, "has an impossible dimension");
  file.require(parameters.metric <= static_cast<std::uint32_t>(Metric::l2), "has an unknown metric");
  book.metric = static_cast<Metric>(parameters.metric);
  const bool augmented = book.metric == Metric::l2;
  file.require(parameters.augmentation_copies <= kMaxAugmentedCopies &&
                   (parameters.augmentation_copies > 0) == augmented &&
                   (parameters.augmentation_weight > 0.0f) == augmented && parameters.augmentation_weight <= kLargest &&
                   parameters.spread >= 0.0f && parameters.spread <= 100.0f && parameters.tier_norm >= 0.0f,
               "has impossible parameters");
  book.augmentation = {book.dim, parameters.augmentation_copies, parameters.augmentation_weight,
                       file.array<float>(SectionKind::augmentation_mean, augmented ? book.dim : 0)};
  book.spread = parameters.spread;
  book.tier_norm = parameters.tier_norm;
  const std::size_t coded_dim = book.augmentation.coded_dim();
  const std::size_t routing_dim = book.routing_dim();

  file.require(parameters.dims_per_code <= 2, "has codes of an unknown kind");
  Quantizer quantizer{coded_dim, parameters.dims_per_code, {}, read_steps(file, SectionKind::code_steps, coded_dim)};
  file.require(quantizer.steps.empty() || quantizer.dims_per_code == 1, "has codes of an unknown kind");
  const std::size_t centres = quantizer.steps.empty() ? quantizer.num_codes() * quantizer.dims_per_code * kCentres : 0;
  quantizer.centres = file.array<float>(SectionKind::code_centres, centres);
  file.require(all_finite(quantizer.centres), "has centres that are not finite");
  book.quantizer = std::move(quantizer);

  Codes& centroids = book.centroids;
  Array<float> steps = read_steps(file, SectionKind::centroid_steps, routing_dim);
  centroids.quantizer = steps.empty() ? Quantizer::int8(routing_dim) : Quantizer{routing_dim, 1, {}, std::move(steps)};
  centroids.starts = file.array_of_any_size<std::uint32_t>(SectionKind::centroid_starts);
  file.require(centroids.starts.size() >= 2, "has no leaves");
  const std::size_t groups = centroids.starts.size() - 1;
  const std::size_t leaves = centroids.starts[groups];
  file.require(leaves >= 1 && are_starts(centroids.starts, leaves), "has groups that do not cover its leaves");
  centroids.scales = file.array<float>(SectionKind::centroid_scales, groups);
  centroids.radii = file.array<float>(SectionKind::centroid_radii, groups);
  centroids.errors = file.array<float>(SectionKind::centroid_errors, groups);
  centroids.place_blocks();
  centroids.blocks = file.array<std::uint8_t>(SectionKind::centroid_blocks,
                                              centroids.first_block[groups] * centroids.quantizer.block_bytes());
  book.group_centroids = file.array<float>(SectionKind::group_centroids, groups * routing_dim);
  file.require(parameters.default_groups >= 1, "has impossible parameters");
  book.default_groups = parameters.default_groups;

  book.scales = file.array_of_any_size<float>(SectionKind::cell_scales);
  file.require(book.num_cells() == leaves || book.num_cells() == leaves + 1, "has groups that do not cover its leaves");
  book.radii = file.array<float>(SectionKind::cell_radii, book.num_cells());
  file.require(all_lengths(centroids.scales) && all_lengths(centroids.radii) && all_lengths(centroids.errors) &&
                   all_lengths(book.scales) && all_lengths(book.radii),
               "has leaves of impossible size");

  book.leaf_of_cluster = file.array_of_any_size<std::uint32_t>(SectionKind::leaf_of_cluster);
  file.require(!book.leaf_of_cluster.empty() && std::all_of(book.leaf_of_cluster.begin(), book.leaf_of_cluster.end(),
                                                            [&](std::uint32_t leaf) { return leaf < leaves; }),
               "has clusters without leaves");
  book.clusters = file.array<float>(SectionKind::clusters, book.leaf_of_cluster.size() * book.dim);
  file.require(all_finite(book.augmentation.mean) && all_finite(book.group_centroids) && all_finite(book.clusters),
               "has centroids that are not finite");
  book.finish();
  return std::make_shared<const Codebook>(std::move(book));
}

Codes read_codes(const Reader& file, const Codebook& codebook, std::size_t size) {
  const std::size_t cells = codebook.num_cells();
  Codes codes;
  codes.quantizer = codebook.quantizer;
  codes.scales = codebook.scales;
  codes.usual_radii = codebook.radii;
  codes.starts = file.array<std::uint32_t>(SectionKind::code_starts, cells + 1);
  file.require(are_starts(codes.starts, size), "has leaves that do not cover its rows");
  codes.radii = file.array<float>(SectionKind::code_radii, cells);
  codes.errors = file.array<float>(SectionKind::code_errors, cells);
  file.require(all_lengths(codes.radii) && all_lengths(codes.errors), "has leaves of impossible size");
  codes.place_blocks();
  codes.blocks = file.array<std::uint8_t>(SectionKind::code_blocks,
                                          codes.first_block[cells] * codes.quantizer.block_bytes(), true);
  codes.run_projections = file.array<float>(SectionKind::run_projections, codes.first_run(cells));
  file.require(std::all_of(codes.run_projections.begin(), codes.run_projections.end(),
                           [](float projection) { return std::isfinite(projection); }),
               "has leaves of impossible size");
  return codes;
}

Ids read_ids(const Reader& file, std::uint32_t kind, std::size_t size) {
  if (kind == static_cast<std::uint32_t>(Ids::Kind::rows)) return Ids(size);
  if (kind == static_cast<std::uint32_t>(Ids::Kind::integers)) {
    return Ids(file.array<std::int64_t>(SectionKind::id_integers, size));
  }
  file.require(kind == static_cast<std::uint32_t>(Ids::Kind::strings), "has ids of an unknown kind");
  Array<char> text = file.array_of_any_size<char>(SectionKind::id_text);
  Array<std::uint64_t> offsets = file.array<std::uint64_t>(SectionKind::id_offsets, size + 1);
  file.require(offsets[0] == 0 && are_ends(offsets, text.size()), "has ids out of bounds");
  Ids ids(std::move(text), std::move(offsets));
  for (std::size_t row = 0; row < size; ++row) {
    file.require(is_utf8(ids.string(row)), "has an id that is not UTF-8");
  }
  return ids;
}

StoredRows read_rows(const Reader& file, std::uint32_t store, std::size_t size, std::size_t dim, bool map) {
  file.require(store <= static_cast<std::uint32_t>(Store::int8), "has rows of an unknown kind");
  StoredRows rows;
  rows.store = static_cast<Store>(store);
  rows.dim = dim;
  rows.values = file.array<std::uint8_t>(SectionKind::rows, size * dim * StoredRows::value_bytes(rows.store), true);
  if (rows.store == Store::int8) {
    rows.scales = file.array<float>(SectionKind::row_scales, size);
    file.require(all_lengths(rows.scales), "has rows of impossible size");
  }
  file.require(map || rows.all_finite(), "has rows that are not finite");
  return rows;
}

Column read_column(const Reader& file, std::size_t size) {
  const FileColumn parameters = file.array<FileColumn>(SectionKind::column_parameters, 1)[0];
  file.require(parameters.type <= static_cast<std::uint32_t>(ColumnType::text) && parameters.is_list <= 1,
               "has a column of an unknown type");
  Column column;
  column.type = static_cast<ColumnType>(parameters.type);
  column.is_list = parameters.is_list == 1;
  const Array<char> name = file.array_of_any_size<char>(SectionKind::column_name);
  column.name.assign(name.data(), name.size());
  column.values = file.array_of_any_size<std::uint8_t>(SectionKind::column_values);
  column.text_ends = file.array_of_any_size<std::uint64_t>(SectionKind::column_text_ends);
  column.list_ends = file.array_of_any_size<std::uint64_t>(SectionKind::column_list_ends);
  column.missing = file.array_of_any_size<std::uint8_t>(SectionKind::column_missing);
  const bool is_text = column.type == ColumnType::text;
  const std::size_t values =
      is_text ? column.text_ends.size() : column.values.size() / Column::value_bytes(column.type);
  const bool sound =
      (is_text ? are_ends(column.text_ends, column.values.size())
               : column.text_ends.empty() && column.values.size() % Column::value_bytes(column.type) == 0) &&
      (column.is_list ? column.list_ends.size() == size && are_ends(column.list_ends, values)
                      : column.list_ends.empty() && values == size) &&
      (column.missing.empty() || column.missing.size() == size);
  file.require(sound, "has a column that does not fit its rows");
  std::size_t begin = 0;
  for (const std::uint64_t end : column.text_ends) {
    const std::string_view text(reinterpret_cast<const char*>(column.values.data()) + begin, end - begin);
    file.require(is_utf8(text), "has text that is not UTF-8");
    begin = end;
  }
  file.require(is_utf8(column.name), "has text that is not UTF-8");
  return column;
}

// `before` rows are in the segments before.
Part read_part(Reader& file, const Codebook& codebook, const float* centroids, std::size_t before, bool map) {
  const FileSegment parameters = file.array<FileSegment>(SectionKind::segment_parameters, 1)[0];
  file.require(parameters.size < Ids::kNone - before, "has an impossible number of rows");
  file.require(parameters.num_columns <= kMaxColumns, "has too many columns");
  Segment segment;
  segment.size = parameters.size;
  segment.codes = read_codes(file, codebook, segment.size);
  segment.row_of = file.array<std::uint32_t>(SectionKind::row_of, segment.size);
  std::vector<bool> seen(segment.size, false);
  for (const std::uint32_t row : segment.row_of) {
    file.require(row < segment.size && !seen[row], "does not hold every row once");
    seen[row] = true;
  }
  segment.rows = read_rows(file, parameters.store, segment.size, codebook.dim, map);
  segment.ids = read_ids(file, parameters.id_kind, segment.size);
  segment.finish(codebook, centroids);
  Part part;
  Array<std::uint16_t> live = file.array_of_any_size<std::uint16_t>(SectionKind::live);
  if (!live.empty()) {
    file.require(live.size() == segment.codes.first_block[segment.codes.num_cells()],
                 "has a section of the wrong size");
    part.deletions = std::make_shared<const Deletions>(deletions_of(segment, std::move(live)));
  }
  for (std::size_t column = 0; column < parameters.num_columns; ++column) {
    file.of_column(column);
    segment.columns.push_back(read_column(file, segment.size));
  }
  part.segment = std::make_shared<const Segment>(std::move(segment));
  return part;
}

// Whether the columns have names of their own, and the types that those names have in the segments before.
bool columns_fit(const std::vector<Part>& before, const std::vector<Column>& columns) {
  for (const Column& column : columns) {
    if (find_column(columns, column.name) != &column) return false;
    for (const Part& part : before) {
      const Column* other = find_column(part.segment->columns, column.name);
      if (other != nullptr && (other->type != column.type || other->is_list != column.is_list)) return false;
    }
  }
  return true;
}

std::shared_ptr<const Codebook> codebook_of(const Reader& file) {
  return read_codebook(file, file.array<FileParameters>(SectionKind::parameters, 1)[0]);
}

Index index_of(Reader& file, bool map) {
  const FileParameters parameters = file.array<FileParameters>(SectionKind::parameters, 1)[0];
  file.require(parameters.num_segments >= 1, "holds a codebook without rows");
  file.require(parameters.settings_leaves >= 1 && parameters.settings_rerank >= 1 && parameters.settings_exact <= 1 &&
                   std::isfinite(parameters.settings_stop),
               "has impossible settings");
  Index index;
  index.settings = {.exact = parameters.settings_exact == 1,
                    .leaves = parameters.settings_leaves,
                    .rerank = parameters.settings_rerank,
                    .groups = parameters.settings_groups,
                    .stop = parameters.settings_stop};
  const Array<char> note = file.array_of_any_size<char>(SectionKind::note);
  index.note.assign(note.data(), note.size());
  file.require(is_utf8(index.note), "has a note that is not UTF-8");
  const std::shared_ptr<const Codebook> codebook = read_codebook(file, parameters);
  const Array<float> centroids = codebook->coded_centroids();
  std::vector<Part> parts;
  std::size_t rows = 0;
  for (std::size_t segment = 0; segment < parameters.num_segments; ++segment) {
    file.of_segment(segment);
    Part part = read_part(file, *codebook, centroids.data(), rows, map);
    file.require(columns_fit(parts, part.segment->columns), "has columns of one name and several types");
    parts.push_back(std::move(part));
    rows += parts.back().segment->size;
    file.require(segment == 0 || follows(parts[0].segment->ids, parts.back().segment->ids), "has ids of several kinds");
  }
  index.snapshot = std::make_shared<const Snapshot>(codebook, std::move(parts));
  return index;
}

}  // namespace

Index load(const std::string& path, bool map) {
  Reader file(path, map);
  return index_of(file, map);
}

Index load(std::span<const char> bytes) {
  Reader file(bytes);
  return index_of(file, false);
}

std::shared_ptr<const Codebook> load_codebook(std::span<const char> bytes) { return codebook_of(Reader(bytes)); }

}  // namespace shortlist
