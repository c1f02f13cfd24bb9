// What is on disk, field by field. Fields are only ever added at the end; a change of meaning is a new version.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace shortlist {

static_assert(std::endian::native == std::endian::little, "index files are little-endian");

inline constexpr char kMagic[8] = {'S', 'H', 'O', 'R', 'T', 'L', 'S', 'T'};
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint32_t kLayout = 0x00100402;  // blocks of 16 rows, slices of 4 int8 dimensions, + 128
inline constexpr std::size_t kSectionAlignment = 64;
inline constexpr std::size_t kMaxSections = 65536;
inline constexpr std::size_t kMaxColumns = 1024;  // of a segment

struct FileHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t layout;
  std::uint64_t file_bytes;
  std::uint64_t num_sections;
  std::uint64_t table_checksum;
  std::uint64_t header_checksum;  // of the fields above
};
static_assert(sizeof(FileHeader) == 48);

struct FileSection {
  std::uint16_t kind;
  std::uint16_t column;   // of the segment; 0 for what is no column's
  std::uint32_t segment;  // 0 for what is no segment's
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint64_t checksum;
};
static_assert(sizeof(FileSection) == 32);

enum class SectionKind : std::uint16_t {
  parameters = 1,
  note = 2,
  // The codebook.
  augmentation_mean = 16,
  clusters = 17,
  leaf_of_cluster = 18,
  group_centroids = 19,
  centroid_starts = 20,
  centroid_scales = 21,
  centroid_radii = 22,
  centroid_errors = 23,
  centroid_blocks = 24,
  centroid_steps = 25,  // empty where centroids are coded with int8
  code_centres = 26,    // empty where codes have none
  code_steps = 27,      // empty where codes are not even
  cell_scales = 28,
  cell_radii = 29,
  // Of each segment.
  segment_parameters = 64,
  code_starts = 65,
  code_radii = 66,
  code_errors = 67,
  code_blocks = 68,
  run_projections = 69,
  row_of = 70,
  rows = 71,
  row_scales = 72,  // of int8 rows; no others have the section
  id_integers = 73,
  id_text = 74,
  id_offsets = 75,
  live = 76,  // empty where no row is deleted
  // Of each column of a segment.
  column_parameters = 128,
  column_name = 129,
  column_values = 130,
  column_text_ends = 131,
  column_list_ends = 132,
  column_missing = 133,
};

struct FileParameters {
  std::uint32_t dim;
  std::uint32_t metric;
  std::uint32_t augmentation_copies;
  float augmentation_weight;
  float tier_norm;
  float spread;
  std::uint32_t dims_per_code;  // 0 = int8
  std::uint32_t default_groups;
  float settings_stop;
  std::uint32_t settings_exact;
  std::uint32_t settings_leaves;
  std::uint32_t settings_rerank;
  std::uint32_t settings_groups;
  std::uint32_t num_segments;
};
static_assert(sizeof(FileParameters) == 56);

struct FileSegment {
  std::uint64_t size;
  std::uint32_t id_kind;
  std::uint32_t store;
  std::uint32_t num_columns;
  std::uint32_t unused;  // 0
};
static_assert(sizeof(FileSegment) == 24);

struct FileColumn {
  std::uint32_t type;
  std::uint32_t is_list;
};
static_assert(sizeof(FileColumn) == 8);

}  // namespace shortlist
