#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <list>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "file/checksum.h"
#include "file/file.h"
#include "file/format.h"

namespace shortlist {
namespace {

[[noreturn]] void fail(const std::string& path) { throw std::system_error(errno, std::generic_category(), path); }

// A name beside `path` that no other thread or process writes to.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

// A file that is removed again unless `commit` puts it in its place.
class NewFile {
 public:
  explicit NewFile(const std::string& path) : path_(path), name_(temporary_name(path)) {
    file_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) fail(name_);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (file_ >= 0) ::close(file_);
    if (!committed_) ::unlink(name_.c_str());
  }

  void write(const void* data, std::size_t bytes) {
    const char* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(file_, at, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(name_);
      at += written;
      bytes -= static_cast<std::size_t>(written);
    }
  }

  void commit() {
    if (::fsync(file_) != 0) fail(name_);
    if (::rename(name_.c_str(), path_.c_str()) != 0) fail(path_);
    committed_ = true;
    const std::filesystem::path parent = std::filesystem::absolute(path_).parent_path();
    const int folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) fail(parent.string());
    const int error = ::fsync(folder) == 0 ? 0 : errno;
    ::close(folder);
    // Some file systems have no fsync for folders.
    if (error != 0 && error != EINVAL) throw std::system_error(error, std::generic_category(), parent.string());
  }

 private:
  std::string path_;
  std::string name_;
  int file_ = -1;
  bool committed_ = false;
};

std::size_t align(std::size_t offset) {
  return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

struct Section {
  FileSection place;
  const void* data;
};

// The sections of a file, in the order they are written in.
class Sections {
 public:
  void of_segment(std::size_t segment) { segment_ = static_cast<std::uint32_t>(segment); }
  void of_column(std::size_t column) { column_ = static_cast<std::uint16_t>(column); }

  void add(SectionKind kind, const void* data, std::size_t bytes) {
    sections_.push_back({{static_cast<std::uint16_t>(kind), column_, segment_, 0, bytes, 0}, data});
  }
  template <typename T>
  void add(SectionKind kind, const Array<T>& array) {
    add(kind, array.data(), array.bytes());
  }
  // A copy is kept until the file is written.
  template <typename T>
  void add_struct(SectionKind kind, const T& fields) {
    const auto* bytes = reinterpret_cast<const char*>(&fields);
    structs_.emplace_back(bytes, bytes + sizeof fields);
    add(kind, structs_.back().data(), sizeof fields);
  }

  std::vector<Section>& all() { return sections_; }

 private:
  std::uint32_t segment_ = 0;
  std::uint16_t column_ = 0;
  std::vector<Section> sections_;
  std::list<std::string> structs_;
};

void add_codebook(const Codebook& codebook, Sections& sections) {
  const Codes& centroids = codebook.centroids;
  sections.add(SectionKind::augmentation_mean, codebook.augmentation.mean);
  sections.add(SectionKind::clusters, codebook.clusters);
  sections.add(SectionKind::leaf_of_cluster, codebook.leaf_of_cluster);
  sections.add(SectionKind::group_centroids, codebook.group_centroids);
  sections.add(SectionKind::centroid_starts, centroids.starts);
  sections.add(SectionKind::centroid_scales, centroids.scales);
  sections.add(SectionKind::centroid_radii, centroids.radii);
  sections.add(SectionKind::centroid_errors, centroids.errors);
  sections.add(SectionKind::centroid_blocks, centroids.blocks);
  sections.add(SectionKind::centroid_steps, centroids.quantizer.steps);
  sections.add(SectionKind::code_centres, codebook.quantizer.centres);
  sections.add(SectionKind::code_steps, codebook.quantizer.steps);
  sections.add(SectionKind::cell_scales, codebook.scales);
  sections.add(SectionKind::cell_radii, codebook.radii);
}

void add_column(const Column& column, Sections& sections) {
  sections.add_struct(SectionKind::column_parameters,
                      FileColumn{static_cast<std::uint32_t>(column.type), column.is_list ? 1u : 0u});
  sections.add(SectionKind::column_name, column.name.data(), column.name.size());
  sections.add(SectionKind::column_values, column.values);
  sections.add(SectionKind::column_text_ends, column.text_ends);
  sections.add(SectionKind::column_list_ends, column.list_ends);
  sections.add(SectionKind::column_missing, column.missing);
}

void add_part(const Part& part, Sections& sections) {
  const Segment& segment = *part.segment;
  sections.add_struct(SectionKind::segment_parameters,
                      FileSegment{.size = segment.size,
                                  .id_kind = static_cast<std::uint32_t>(segment.ids.kind()),
                                  .store = static_cast<std::uint32_t>(segment.rows.store),
                                  .num_columns = static_cast<std::uint32_t>(segment.columns.size()),
                                  .unused = 0});
  sections.add(SectionKind::code_starts, segment.codes.starts);
  sections.add(SectionKind::code_radii, segment.codes.radii);
  sections.add(SectionKind::code_errors, segment.codes.errors);
  sections.add(SectionKind::code_blocks, segment.codes.blocks);
  sections.add(SectionKind::run_projections, segment.codes.run_projections);
  sections.add(SectionKind::row_of, segment.row_of);
  sections.add(SectionKind::rows, segment.rows.values);
  if (segment.rows.store == Store::int8) sections.add(SectionKind::row_scales, segment.rows.scales);
  sections.add(SectionKind::id_integers, segment.ids.integers());
  sections.add(SectionKind::id_text, segment.ids.text());
  sections.add(SectionKind::id_offsets, segment.ids.offsets());
  sections.add(SectionKind::live, part.deletions == nullptr ? Array<std::uint16_t>() : part.deletions->masks);
  for (std::size_t column = 0; column < segment.columns.size(); ++column) {
    sections.of_column(column);
    add_column(segment.columns[column], sections);
  }
  sections.of_column(0);
}

// Puts bytes after those before.
using Sink = std::function<void(const void* data, std::size_t bytes)>;

// begin(bytes) is told how many there will be and returns where they go.
void write(const Index& index, const std::function<Sink(std::size_t bytes)>& begin) {
  const Snapshot& snapshot = *index.snapshot;
  const Codebook& codebook = *snapshot.codebook;
  Sections sections;
  sections.add_struct(SectionKind::parameters,
                      FileParameters{.dim = static_cast<std::uint32_t>(codebook.dim),
                                     .metric = static_cast<std::uint32_t>(codebook.metric),
                                     .augmentation_copies = static_cast<std::uint32_t>(codebook.augmentation.copies),
                                     .augmentation_weight = codebook.augmentation.weight,
                                     .tier_norm = codebook.tier_norm,
                                     .spread = codebook.spread,
                                     .dims_per_code = static_cast<std::uint32_t>(codebook.quantizer.dims_per_code),
                                     .default_groups = static_cast<std::uint32_t>(codebook.default_groups),
                                     .settings_stop = index.settings.stop,
                                     .settings_exact = index.settings.exact ? 1u : 0u,
                                     .settings_leaves = index.settings.leaves,
                                     .settings_rerank = index.settings.rerank,
                                     .settings_groups = index.settings.groups,
                                     .num_segments = static_cast<std::uint32_t>(snapshot.parts.size())});
  sections.add(SectionKind::note, index.note.data(), index.note.size());
  add_codebook(codebook, sections);
  for (std::size_t part = 0; part < snapshot.parts.size(); ++part) {
    sections.of_segment(part);
    add_part(snapshot.parts[part], sections);
  }

  std::vector<FileSection> table;
  std::size_t offset = align(sizeof(FileHeader) + sections.all().size() * sizeof(FileSection));
  for (Section& section : sections.all()) {
    section.place.offset = offset;
    section.place.checksum = checksum(section.data, section.place.bytes);
    table.push_back(section.place);
    offset = align(offset + section.place.bytes);
  }
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kFormatVersion;
  header.layout = kLayout;
  header.file_bytes = offset;
  header.num_sections = table.size();
  header.table_checksum = checksum(table.data(), table.size() * sizeof(FileSection));
  header.header_checksum = checksum(&header, offsetof(FileHeader, header_checksum));

  static constexpr char kZeros[kSectionAlignment] = {};
  const Sink put = begin(offset);
  put(&header, sizeof header);
  put(table.data(), table.size() * sizeof(FileSection));
  std::size_t written = sizeof header + table.size() * sizeof(FileSection);
  for (const Section& section : sections.all()) {
    put(kZeros, section.place.offset - written);
    put(section.data, section.place.bytes);
    written = section.place.offset + section.place.bytes;
  }
  put(kZeros, offset - written);
}

}  // namespace

void save(const Index& index, const std::string& path) {
  NewFile file(path);
  write(index, [&](std::size_t) { return [&](const void* data, std::size_t bytes) { file.write(data, bytes); }; });
  file.commit();
}

void save(const Index& index, const std::function<char*(std::size_t)>& allocate) {
  write(index, [&](std::size_t total) {
    return [at = allocate(total)](const void* data, std::size_t bytes) mutable {
      if (bytes > 0) std::memcpy(at, data, bytes);
      at += bytes;
    };
  });
}

void save(std::shared_ptr<const Codebook> codebook, const std::function<char*(std::size_t)>& allocate) {
  save(Index{std::make_shared<const Snapshot>(std::move(codebook), std::vector<Part>{}), {}, {}}, allocate);
}

}  // namespace shortlist
