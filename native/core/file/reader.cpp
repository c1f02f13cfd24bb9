#include "file/reader.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace shortlist {

Reader::Reader(const std::string& path, bool map) : path_(path), name_("'" + path + "'") {
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

Reader::Reader(std::span<const char> memory) : name_("`data`"), memory_(memory.data()), bytes_(memory.size()) {
  read_table();
}

Reader::~Reader() {
  if (file_ >= 0) ::close(file_);
}

void Reader::damaged(const std::string& what) const {
  throw std::invalid_argument(name_ + " is not a sound Shortlist index: it " + what + ".");
}

void Reader::throw_error() const { throw std::system_error(errno, std::generic_category(), path_); }

void Reader::map_file() {
  void* memory = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file_, 0);
  if (memory == MAP_FAILED) throw_error();
  mapped_ =
      std::shared_ptr<const void>(memory, [bytes = bytes_](const void* p) { ::munmap(const_cast<void*>(p), bytes); });
}

void Reader::read(std::size_t offset, void* out, std::size_t bytes) const {
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

void Reader::read_table() {
  FileHeader header;
  require(bytes_ >= sizeof header, "is cut short");
  read(0, &header, sizeof header);
  require(std::memcmp(header.magic, kMagic, sizeof kMagic) == 0, "does not begin as one");
  require(header.header_checksum == checksum(&header, offsetof(FileHeader, header_checksum)), "has a damaged header");
  if (header.version != kFormatVersion || header.layout != kLayout) {
    damaged("has format version " + std::to_string(header.version) +
            (header.layout == kLayout ? "" : " of before 0.1") + ", this release reads version " +
            std::to_string(kFormatVersion) + "; build it again");
  }
  require(header.file_bytes == bytes_, "is cut short");
  require(header.num_sections <= kMaxSections, "has too many sections");
  table_.resize(header.num_sections);
  const std::size_t table_bytes = table_.size() * sizeof(FileSection);
  require(sizeof header + table_bytes <= bytes_, "is cut short");
  read(sizeof header, table_.data(), table_bytes);
  require(header.table_checksum == checksum(table_.data(), table_bytes), "has a damaged table of sections");
  std::size_t end = sizeof header + table_bytes;
  for (const FileSection& section : table_) {
    const bool inside = section.offset >= end && section.offset % kSectionAlignment == 0 && section.offset <= bytes_ &&
                        section.bytes <= bytes_ - section.offset;
    require(inside, "has a section out of bounds");
    require_zeros(end, section.offset);
    end = section.offset + section.bytes;
  }
  require_zeros(end, bytes_);
  std::stable_sort(table_.begin(), table_.end(),
                   [](const FileSection& a, const FileSection& b) { return key_of(a) < key_of(b); });
}

void Reader::require_zeros(std::size_t begin, std::size_t end) const {
  char between[kSectionAlignment];
  require(end - begin < sizeof between, "has a section out of bounds");
  read(begin, between, end - begin);
  require(std::all_of(between, between + (end - begin), [](char byte) { return byte == 0; }), "has a damaged section");
}

}  // namespace shortlist
