// What is on disk, field by field. Fields are only ever added at the end; a change of meaning is a new version.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace shortlist {

static_assert(std::endian::native == std::endian::little, "index files are little-endian");

inline constexpr char kMagic[8] = {'S', 'H', 'O', 'R', 'T', 'L', 'S', 'T'};
// An index is written in the first version that can tell what it holds. Version 2 knows rows that are not float32,
// version 3 has leaves whose rows lie in falling order of their projections on the centroid, version 4 knows even 4-bit
// codes, of rows or of centroids.
inline constexpr std::uint32_t kPlainVersion = 1;
inline constexpr std::uint32_t kRowsVersion = 2;
inline constexpr std::uint32_t kProjectionsVersion = 3;
inline constexpr std::uint32_t kFormatVersion = 4;
inline constexpr std::uint32_t kLayout = 0x00100401;  // blocks of 16 rows, slices of 4 int8 dimensions, + 128
inline constexpr std::size_t kSectionAlignment = 64;
inline constexpr std::size_t kMaxSections = 64;

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
  std::uint64_t kind;
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint64_t checksum;
};
static_assert(sizeof(FileSection) == 32);

enum class SectionKind : std::uint64_t {
  parameters = 1,
  note = 2,
  augmentation_mean = 3,
  group_centroids = 4,
  centroid_starts = 5,
  centroid_scales = 6,
  centroid_radii = 7,
  centroid_errors = 8,
  centroid_blocks = 9,
  code_starts = 10,
  code_scales = 11,
  code_radii = 12,
  code_errors = 13,
  code_blocks = 14,
  row_of = 15,
  rows = 16,
  id_integers = 17,
  id_text = 18,
  id_offsets = 19,
  code_centres = 20,
  row_scales = 21,            // of int8 rows; no others have the section
  spread = 22,                // one number; not in version 1
  code_run_projections = 23,  // from version 3 on
  code_steps = 24,            // empty where codes are not even; from version 4 on
  centroid_steps = 25,        // the same
};

struct FileParameters {
  std::uint64_t size;
  std::uint32_t dim;
  std::uint32_t metric;
  std::uint32_t id_kind;
  std::uint32_t augmentation_copies;
  float augmentation_weight;
  float default_stop;
  std::uint32_t default_exact;
  std::uint32_t default_leaves;
  std::uint32_t default_rerank;
  std::uint32_t default_groups;
  std::uint32_t dims_per_code;  // 0 = int8
  std::uint32_t store;          // of the rows; 0 = float32, the only one of version 1
};
static_assert(sizeof(FileParameters) == 56);

}  // namespace shortlist
