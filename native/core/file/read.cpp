#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "file/checksum.h"
#include "file/file.h"
#include "file/format.h"
#include "file/utf8.h"

namespace shortlist {
namespace {

constexpr std::size_t kMaxAugmentedCopies = kMaxCodedDim - kMaxDim - 1;

class Reader {
 public:
  Reader(const std::string& path, bool map) : path_(path), name_("'" + path + "'") {
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe that nobody writes must not block
    if (file_ < 0) throw_error();
    try {
      struct stat status;
      if (::fstat(file_, &status) != 0) throw_error();
      require(S_ISREG(status.st_mode), "is not a regular file");
      bytes_ = static_cast<std::size_t>(status.st_size);
      if (map && bytes_ > 0) map_file();
      read_table();
    } catch (...) {
      ::close(file_);
      throw;
    }
  }
  explicit Reader(std::span<const char> memory) : name_("`data`"), memory_(memory.data()), bytes_(memory.size()) {
    read_table();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (file_ >= 0) ::close(file_);
  }

  [[noreturn]] void damaged(const std::string& what) const {
    throw std::invalid_argument(name_ + " is not a sound Shortlist index: it " + what + ".");
  }
  void require(bool sound, const char* what) const {
    if (!sound) damaged(what);
  }

  std::uint32_t version() const { return version_; }

  // The section as an array; `lazy` sections of a mapped file are not read. `size` values are expected.
  template <typename T>
  Array<T> array(SectionKind kind, std::size_t size, bool lazy = false) const {
    Array<T> values = array_of_any_size<T>(kind, lazy);
    require(values.size() == size, "has a section of the wrong size");
    return values;
  }
  template <typename T>
  Array<T> array_of_any_size(SectionKind kind, bool lazy = false) const {
    const auto section = std::find_if(table_.begin(), table_.end(),
                                      [&](const FileSection& s) { return s.kind == static_cast<std::uint64_t>(kind); });
    require(section != table_.end(), "lacks a section");
    require(section->bytes % sizeof(T) == 0, "has a section of the wrong size");
    const std::size_t size = section->bytes / sizeof(T);
    Array<T> values;
    if (mapped_ != nullptr) {
      values = Array<T>(reinterpret_cast<const T*>(static_cast<const char*>(mapped_.get()) + section->offset), size,
                        mapped_);
      if (lazy) return values;
    } else {
      values = Array<T>(size);
      read(section->offset, values.data(), section->bytes);
    }
    require(checksum(values.data(), section->bytes) == section->checksum, "has a damaged section");
    return values;
  }

 private:
  [[noreturn]] void throw_error() const { throw std::system_error(errno, std::generic_category(), path_); }

  void map_file() {
    void* memory = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file_, 0);
    if (memory == MAP_FAILED) throw_error();
    mapped_ =
        std::shared_ptr<const void>(memory, [bytes = bytes_](const void* p) { ::munmap(const_cast<void*>(p), bytes); });
  }

  void read(std::size_t offset, void* out, std::size_t bytes) const {
    if (memory_ != nullptr) {
      require(offset <= bytes_ && bytes <= bytes_ - offset, "is cut short");
      if (bytes > 0) std::memcpy(out, memory_ + offset, bytes);
      return;
    }
    char* at = static_cast<char*>(out);
    while (bytes > 0) {
      const ssize_t got = ::pread(file_, at, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw_error();
      require(got > 0, "is cut short");
      at += got;
      offset += static_cast<std::size_t>(got);
      bytes -= static_cast<std::size_t>(got);
    }
  }

  void read_table() {
    FileHeader header;
    require(bytes_ >= sizeof header, "is cut short");
    read(0, &header, sizeof header);
    require(std::memcmp(header.magic, kMagic, sizeof kMagic) == 0, "does not begin as one");
    require(header.header_checksum == checksum(&header, offsetof(FileHeader, header_checksum)), "has a damaged header");
    if (header.version < 1 || header.version > kFormatVersion || header.layout != kLayout) {
      damaged("has format version " + std::to_string(header.version) + ", this release reads versions 1 to " +
              std::to_string(kFormatVersion));
    }
    version_ = header.version;
    require(header.file_bytes == bytes_, "is cut short");
    require(header.num_sections <= kMaxSections, "has too many sections");
    table_.resize(header.num_sections);
    const std::size_t table_bytes = table_.size() * sizeof(FileSection);
    require(sizeof header + table_bytes <= bytes_, "is cut short");
    read(sizeof header, table_.data(), table_bytes);
    require(header.table_checksum == checksum(table_.data(), table_bytes), "has a damaged table of sections");
    std::size_t end = sizeof header + table_bytes;
    for (const FileSection& section : table_) {
      const bool inside = section.offset >= end && section.offset % kSectionAlignment == 0 &&
                          section.offset <= bytes_ && section.bytes <= bytes_ - section.offset;
      require(inside, "has a section out of bounds");
      require_zeros(end, section.offset);
      end = section.offset + section.bytes;
    }
    require_zeros(end, bytes_);
  }

  // Between sections there are zeros up to the next boundary.
  void require_zeros(std::size_t begin, std::size_t end) const {
    char between[kSectionAlignment];
    require(end - begin < sizeof between, "has a section out of bounds");
    read(begin, between, end - begin);
    require(std::all_of(between, between + (end - begin), [](char byte) { return byte == 0; }),
            "has a damaged section");
  }

  std::string path_;
  std::string name_;              // for messages
  const char* memory_ = nullptr;  // read instead of a file
  int file_ = -1;
  std::uint32_t version_ = 0;
  std::size_t bytes_ = 0;
  std::shared_ptr<const void> mapped_;
  std::vector<FileSection> table_;
};

bool all_finite(const Array<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

bool all_lengths(const Array<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v) && v >= 0.0f; });
}

// The steps of even codes; none where codes are of another kind.
Array<float> read_steps(const Reader& file, SectionKind kind, std::size_t dim) {
  if (file.version() < kFormatVersion) return {};
  Array<float> steps = file.array_of_any_size<float>(kind);
  file.require(steps.empty() || steps.size() == dim, "has a section of the wrong size");
  file.require(all_lengths(steps), "has steps of impossible size");
  return steps;
}

// Cells over `size` rows.
Codes read_codes(const Reader& file, SectionKind starts, Quantizer quantizer, std::size_t size) {
  const auto next = [starts](std::uint64_t i) {
    return static_cast<SectionKind>(static_cast<std::uint64_t>(starts) + i);
  };
  Codes codes;
  codes.quantizer = std::move(quantizer);
  codes.starts = file.array_of_any_size<std::uint32_t>(starts);
  file.require(codes.starts.size() >= 2, "has no leaves");
  const std::size_t cells = codes.starts.size() - 1;
  file.require(
      codes.starts[0] == 0 && codes.starts[cells] == size && std::is_sorted(codes.starts.begin(), codes.starts.end()),
      "has leaves that do not cover its rows");
  codes.scales = file.array<float>(next(1), cells);
  codes.radii = file.array<float>(next(2), cells);
  codes.errors = file.array<float>(next(3), cells);
  file.require(all_lengths(codes.scales) && all_lengths(codes.radii) && all_lengths(codes.errors),
               "has leaves of impossible size");
  codes.place_blocks();
  codes.blocks = file.array<std::uint8_t>(next(4), codes.first_block[cells] * codes.quantizer.block_bytes(), true);
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
  file.require(offsets[0] == 0 && offsets[size] == text.size() && std::is_sorted(offsets.begin(), offsets.end()),
               "has ids out of bounds");
  Ids ids(std::move(text), std::move(offsets));
  for (std::size_t row = 0; row < size; ++row) {
    file.require(is_utf8(ids.string(row)), "has an id that is not UTF-8");
  }
  return ids;
}

StoredRows read_rows(const Reader& file, std::uint32_t store, std::size_t size, std::size_t dim, bool map) {
  const Store last = file.version() == kPlainVersion ? Store::float32 : Store::int8;
  file.require(store <= static_cast<std::uint32_t>(last), "has rows of an unknown kind");
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

Index load_from(const Reader& file, bool map) {
  const FileParameters parameters = file.array<FileParameters>(SectionKind::parameters, 1)[0];
  Index index;
  index.size = parameters.size;
  index.dim = parameters.dim;
  file.require(index.size >= 1 && index.size < Ids::kNone, "has an impossible number of rows");
  file.require(index.dim >= 1 && index.dim <= kMaxDim, "has an impossible dimension");
  file.require(parameters.metric <= static_cast<std::uint32_t>(Metric::l2), "has an unknown metric");
  index.metric = static_cast<Metric>(parameters.metric);
  file.require(parameters.default_leaves >= 1 && parameters.default_rerank >= 1 && parameters.default_exact <= 1 &&
                   std::isfinite(parameters.default_stop),
               "has impossible settings");
  index.settings = {.exact = parameters.default_exact == 1,
                    .leaves = parameters.default_leaves,
                    .rerank = parameters.default_rerank,
                    .groups = parameters.default_groups,
                    .stop = parameters.default_stop};
  const Array<char> note = file.array_of_any_size<char>(SectionKind::note);
  index.note.assign(note.data(), note.size());
  file.require(is_utf8(index.note), "has a note that is not UTF-8");

  const bool augmented = index.metric == Metric::l2;
  file.require(parameters.augmentation_copies <= kMaxAugmentedCopies &&
                   (parameters.augmentation_copies > 0) == augmented && std::isfinite(parameters.augmentation_weight),
               "has impossible parameters");
  index.augmentation = {index.dim, parameters.augmentation_copies, parameters.augmentation_weight,
                        file.array<float>(SectionKind::augmentation_mean, augmented ? index.dim : 0)};
  const std::size_t coded_dim = index.augmentation.coded_dim();
  file.require(parameters.dims_per_code <= 2, "has codes of an unknown kind");
  Quantizer quantizer{coded_dim, parameters.dims_per_code, {}, read_steps(file, SectionKind::code_steps, coded_dim)};
  file.require(quantizer.steps.empty() || quantizer.dims_per_code == 1, "has codes of an unknown kind");
  const std::size_t centres = quantizer.steps.empty() ? quantizer.num_codes() * quantizer.dims_per_code * kCentres : 0;
  quantizer.centres = file.array<float>(SectionKind::code_centres, centres);
  file.require(all_finite(quantizer.centres), "has centres that are not finite");
  index.codes = read_codes(file, SectionKind::code_starts, std::move(quantizer), index.size);
  if (file.version() >= kProjectionsVersion) {
    index.codes.run_projections =
        file.array<float>(SectionKind::code_run_projections, index.codes.first_run(index.codes.num_cells()));
    file.require(all_finite(index.codes.run_projections), "has leaves of impossible size");
  }
  const auto centroid_starts = file.array_of_any_size<std::uint32_t>(SectionKind::centroid_starts);
  file.require(centroid_starts.size() >= 2, "has no leaves");
  const std::size_t leaves = centroid_starts[centroid_starts.size() - 1];
  const std::size_t cells = index.codes.num_cells();
  file.require(leaves >= 1 && (cells == leaves || cells == leaves + 1), "has groups that do not cover its leaves");
  if (file.version() != kPlainVersion) index.spread = file.array<float>(SectionKind::spread, 1)[0];
  file.require(std::isfinite(index.spread) && index.spread >= 0.0f, "has an impossible spread");
  Array<float> steps = read_steps(file, SectionKind::centroid_steps, index.routing_dim());
  Quantizer coarse =
      steps.empty() ? Quantizer::int8(index.routing_dim()) : Quantizer{index.routing_dim(), 1, {}, std::move(steps)};
  index.centroids = read_codes(file, SectionKind::centroid_starts, std::move(coarse), leaves);
  index.group_centroids =
      file.array<float>(SectionKind::group_centroids, index.centroids.num_cells() * index.routing_dim());
  file.require(all_finite(index.augmentation.mean) && all_finite(index.group_centroids),
               "has centroids that are not finite");

  index.row_of = file.array<std::uint32_t>(SectionKind::row_of, index.size);
  std::vector<bool> seen(index.size, false);
  for (const std::uint32_t row : index.row_of) {
    file.require(row < index.size && !seen[row], "does not hold every row once");
    seen[row] = true;
  }
  index.rows = read_rows(file, parameters.store, index.size, index.dim, map);
  index.ids = read_ids(file, parameters.id_kind, index.size);
  index.finish();
  return index;
}

}  // namespace

Index load(const std::string& path, bool map) { return load_from(Reader(path, map), map); }

Index load(std::span<const char> bytes) { return load_from(Reader(bytes), false); }

}  // namespace shortlist
