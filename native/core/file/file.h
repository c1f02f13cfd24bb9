// An index in one file: a header, a table of sections and the sections, each on a 64-byte boundary with a checksum.
// A reader finds everything by the table; all numbers are little-endian.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "index.h"

namespace shortlist {

// Writes beside `path` and then renames, so that a crash leaves the old file or the new one. Throws
// std::system_error.
void save(const Index& index, const std::string& path);

// Writes the same to memory: allocate(bytes) says where.
void save(const Index& index, const std::function<char*(std::size_t bytes)>& allocate);

// Writes a file that holds no rows.
void save(std::shared_ptr<const Codebook> codebook, const std::function<char*(std::size_t bytes)>& allocate);

// Throws std::system_error where the file cannot be read and std::invalid_argument where it is not a sound index:
// every size, offset and row number is checked before it is used. With `map` the codes and rows stay in the file until
// a search touches them, and their checksums are not read: damage there can change scores, never more.
Index load(const std::string& path, bool map);

// Reads from memory, which is not needed afterwards.
Index load(std::span<const char> bytes);

// Reads the codebook alone.
std::shared_ptr<const Codebook> load_codebook(std::span<const char> bytes);

}  // namespace shortlist
