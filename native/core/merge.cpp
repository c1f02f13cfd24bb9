#include "merge.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "search/topk.h"

namespace shortlist {
namespace {

Ids merge_ids(std::span<const Part> parts, std::size_t size) {
  const auto for_each = [&](const auto& take) {
    for (const Part& part : parts) {
      for (std::size_t row = 0; row < part.segment->size; ++row) {
        if (!part.is_deleted(row)) take(part.segment->ids, row);
      }
    }
  };
  std::size_t at = 0;
  if (parts[0].segment->ids.kind() != Ids::Kind::strings) {
    Array<std::int64_t> integers(size);
    for_each([&](const Ids& ids, std::size_t row) { integers[at++] = ids.integer(row); });
    return Ids(std::move(integers));
  }
  Array<std::uint64_t> offsets(size + 1);
  offsets[0] = 0;
  for_each([&](const Ids& ids, std::size_t row) {
    offsets[at + 1] = offsets[at] + ids.string(row).size();
    ++at;
  });
  Array<char> text(offsets[size]);
  char* end = text.data();
  for_each([&](const Ids& ids, std::size_t row) {
    const std::string_view id = ids.string(row);
    end = std::copy(id.begin(), id.end(), end);
  });
  return Ids(std::move(text), std::move(offsets));
}

// A column of a name that some segment has; rows of the others have no value there.
std::vector<Column> merge_columns(std::span<const Part> parts) {
  std::vector<Column> merged;
  for (const Part& like : parts) {
    for (const Column& column : like.segment->columns) {
      if (find_column(merged, column.name) != nullptr) continue;
      ColumnWriter writer(column.name, column.type, column.is_list);
      for (const Part& part : parts) {
        const Column* from = find_column(part.segment->columns, column.name);
        for (std::size_t row = 0; row < part.segment->size; ++row) {
          if (!part.is_deleted(row)) writer.add(from, row);
        }
      }
      merged.push_back(writer.finish());
    }
  }
  return merged;
}

// Where a row of the new segment comes from.
struct Origin {
  std::uint32_t part;
  std::uint32_t cell_row;  // its place in its cell
};

void copy_codes(const Codes& from, std::size_t from_row, Codes& to, std::size_t to_row, std::size_t cell) {
  constexpr std::size_t kRowBytes = kSliceBytes / kBlockRows;
  const std::size_t slices = to.quantizer.slices();
  const auto offset = [&](std::size_t row) {
    return row / kBlockRows * slices * kSliceBytes + row % kBlockRows * kRowBytes;
  };
  const std::uint8_t* source = from.blocks_of(cell) + offset(from_row);
  std::uint8_t* target = &to.blocks[to.first_block[cell] * to.quantizer.block_bytes()] + offset(to_row);
  for (std::size_t slice = 0; slice < slices; ++slice) {
    std::memcpy(target + slice * kSliceBytes, source + slice * kSliceBytes, kRowBytes);
  }
}

void copy_row(const StoredRows& from, std::size_t from_position, StoredRows& to, std::size_t to_position) {
  const std::size_t bytes = from.dim * StoredRows::value_bytes(from.store);
  std::memcpy(&to.values[to_position * bytes], &from.values[from_position * bytes], bytes);
  if (!from.scales.empty()) to.scales[to_position] = from.scales[from_position];
}

}  // namespace

Segment merge(const Codebook& codebook, const Array<float>& centroids, std::span<const Part> parts) {
  const std::size_t cells = codebook.num_cells();
  const std::size_t dim = codebook.augmentation.coded_dim();
  Segment merged;
  Codes& codes = merged.codes;
  codes.quantizer = codebook.quantizer;
  codes.scales = codebook.scales;
  codes.usual_radii = codebook.radii;
  codes.starts = Array<std::uint32_t>(cells + 1, 0);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    std::uint32_t count = 0;
    for (const Part& part : parts) {
      const Segment& segment = *part.segment;
      const std::uint32_t end = segment.codes.starts[cell + 1];
      for (std::uint32_t position = segment.codes.starts[cell]; position < end; ++position) {
        count += part.is_deleted(segment.row_of[position]) ? 0 : 1;
      }
    }
    codes.starts[cell + 1] = codes.starts[cell] + count;
  }
  const std::size_t size = codes.starts[cells];
  merged.size = size;
  codes.place_blocks();
  codes.radii = Array<float>(cells, 0.0f);
  codes.errors = Array<float>(cells, 0.0f);
  codes.run_projections = Array<float>(codes.first_run(cells));
  codes.blocks = Array<std::uint8_t>(codes.first_block[cells] * codes.quantizer.block_bytes());
  std::fill(codes.blocks.begin(), codes.blocks.end(), codes.quantizer.padding());
  merged.row_of = Array<std::uint32_t>(size);
  merged.rows.store = parts[0].segment->rows.store;
  merged.rows.dim = codebook.dim;
  merged.rows.values = Array<std::uint8_t>(size * codebook.dim * StoredRows::value_bytes(merged.rows.store));
  if (merged.rows.store == Store::int8) merged.rows.scales = Array<float>(size);
  std::vector<std::uint32_t> first_row{0};  // of each part, in the new segment
  for (const Part& part : parts) first_row.push_back(first_row.back() + static_cast<std::uint32_t>(part.num_live()));

  std::vector<Scored> order;  // projections and new rows
  std::vector<Origin> origins;
  std::vector<std::uint32_t> new_row;
  std::vector<float> row(codebook.dim);
  std::vector<float> coded(dim);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    codes.drop_runs(cell);
    if (codes.count(cell) == 0) continue;
    order.clear();
    origins.clear();
    new_row.clear();
    for (std::uint32_t p = 0; p < parts.size(); ++p) {
      const Segment& segment = *parts[p].segment;
      const std::uint32_t begin = segment.codes.starts[cell];
      bool any = false;
      for (std::uint32_t i = 0; i < segment.codes.count(cell); ++i) {
        const std::uint32_t old_row = segment.row_of[begin + i];
        if (parts[p].is_deleted(old_row)) continue;
        any = true;
        segment.rows.read(begin + i, row.data());
        codebook.augmentation.row(row.data(), coded.data());
        order.push_back(
            {projection_on(coded.data(), &centroids[cell * dim], dim), static_cast<std::uint32_t>(origins.size())});
        origins.push_back({p, i});
        new_row.push_back(first_row[p] + static_cast<std::uint32_t>(parts[p].live_before(old_row)));
      }
      if (!any) continue;
      codes.radii[cell] = std::max(codes.radii[cell], segment.codes.radii[cell]);
      codes.errors[cell] = std::max(codes.errors[cell], segment.codes.errors[cell]);
    }
    std::sort(order.begin(), order.end(), [&](const Scored& a, const Scored& b) {
      return a.score > b.score || (a.score == b.score && new_row[a.row] < new_row[b.row]);
    });
    float* runs = &codes.run_projections[codes.first_run(cell)];
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Origin& origin = origins[order[i].row];
      const Segment& segment = *parts[origin.part].segment;
      const std::size_t position = codes.starts[cell] + i;
      copy_codes(segment.codes, origin.cell_row, codes, i, cell);
      copy_row(segment.rows, segment.codes.starts[cell] + origin.cell_row, merged.rows, position);
      merged.row_of[position] = new_row[order[i].row];
      float& run = runs[i / (kRunBlocks * kBlockRows)];
      run = std::max(run, order[i].score);  // that of its first row
    }
  }
  merged.ids = merge_ids(parts, size);
  merged.columns = merge_columns(parts);
  merged.finish(codebook, centroids.data());
  return merged;
}

}  // namespace shortlist
