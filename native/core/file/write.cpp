#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
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

struct Part {
  SectionKind kind;
  const void* data;
  std::size_t bytes;
};

std::size_t align(std::size_t offset) {
  return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

// The first that can tell what the index holds: one that was read from an old file may have no fronts.
std::uint32_t version_of(const Index& index) {
  if (!index.codes.quantizer.steps.empty() || !index.centroids.quantizer.steps.empty()) return kFormatVersion;
  if (!index.codes.run_projections.empty()) return kProjectionsVersion;
  return index.rows.store == Store::float32 && index.spread == 0.0f ? kPlainVersion : kRowsVersion;
}

// Puts bytes after those before.
using Sink = std::function<void(const void* data, std::size_t bytes)>;

// begin(bytes) is told how many there will be and returns where they go.
void write(const Index& index, const Settings& settings, const std::string& note,
           const std::function<Sink(std::size_t bytes)>& begin) {
  const FileParameters parameters{.size = index.size,
                                  .dim = static_cast<std::uint32_t>(index.dim),
                                  .metric = static_cast<std::uint32_t>(index.metric),
                                  .id_kind = static_cast<std::uint32_t>(index.ids.kind()),
                                  .augmentation_copies = static_cast<std::uint32_t>(index.augmentation.copies),
                                  .augmentation_weight = index.augmentation.weight,
                                  .default_stop = settings.stop,
                                  .default_exact = settings.exact ? 1u : 0u,
                                  .default_leaves = settings.leaves,
                                  .default_rerank = settings.rerank,
                                  .default_groups = settings.groups,
                                  .dims_per_code = static_cast<std::uint32_t>(index.codes.quantizer.dims_per_code),
                                  .store = static_cast<std::uint32_t>(index.rows.store)};
  std::vector<Part> parts{{SectionKind::parameters, &parameters, sizeof parameters},
                          {SectionKind::note, note.data(), note.size()}};
  const auto add = [&](SectionKind kind, const auto& array) { parts.push_back({kind, array.data(), array.bytes()}); };
  add(SectionKind::augmentation_mean, index.augmentation.mean);
  add(SectionKind::group_centroids, index.group_centroids);
  add(SectionKind::centroid_starts, index.centroids.starts);
  add(SectionKind::centroid_scales, index.centroids.scales);
  add(SectionKind::centroid_radii, index.centroids.radii);
  add(SectionKind::centroid_errors, index.centroids.errors);
  add(SectionKind::centroid_blocks, index.centroids.blocks);
  add(SectionKind::code_starts, index.codes.starts);
  add(SectionKind::code_scales, index.codes.scales);
  add(SectionKind::code_radii, index.codes.radii);
  add(SectionKind::code_errors, index.codes.errors);
  add(SectionKind::code_blocks, index.codes.blocks);
  add(SectionKind::row_of, index.row_of);
  add(SectionKind::rows, index.rows.values);
  add(SectionKind::id_integers, index.ids.integers());
  add(SectionKind::id_text, index.ids.text());
  add(SectionKind::id_offsets, index.ids.offsets());
  add(SectionKind::code_centres, index.codes.quantizer.centres);
  if (index.rows.store == Store::int8) add(SectionKind::row_scales, index.rows.scales);
  const std::uint32_t version = version_of(index);
  if (version >= kProjectionsVersion) add(SectionKind::code_run_projections, index.codes.run_projections);
  if (version == kFormatVersion) {
    add(SectionKind::code_steps, index.codes.quantizer.steps);
    add(SectionKind::centroid_steps, index.centroids.quantizer.steps);
  }
  if (version != kPlainVersion) parts.push_back({SectionKind::spread, &index.spread, sizeof index.spread});

  std::vector<FileSection> table;
  std::size_t offset = align(sizeof(FileHeader) + parts.size() * sizeof(FileSection));
  for (const Part& part : parts) {
    table.push_back({static_cast<std::uint64_t>(part.kind), offset, part.bytes, checksum(part.data, part.bytes)});
    offset = align(offset + part.bytes);
  }
  FileHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = version;
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
  for (std::size_t i = 0; i < parts.size(); ++i) {
    put(kZeros, table[i].offset - written);
    put(parts[i].data, parts[i].bytes);
    written = table[i].offset + parts[i].bytes;
  }
  put(kZeros, offset - written);
}

}  // namespace

void save(const Index& index, const Settings& settings, const std::string& note, const std::string& path) {
  NewFile file(path);
  write(index, settings, note,
        [&](std::size_t) { return [&](const void* data, std::size_t bytes) { file.write(data, bytes); }; });
  file.commit();
}

void save(const Index& index, const Settings& settings, const std::string& note,
          const std::function<char*(std::size_t)>& allocate) {
  write(index, settings, note, [&](std::size_t total) {
    return [at = allocate(total)](const void* data, std::size_t bytes) mutable {
      if (bytes > 0) std::memcpy(at, data, bytes);
      at += bytes;
    };
  });
}

}  // namespace shortlist
