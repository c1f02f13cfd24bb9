// Reads index files that libFuzzer makes, and searches what loads. Checksums are made right first, as someone who means
// harm would: behind them every size, offset and row number has to be checked.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include "file/checksum.h"
#include "file/file.h"
#include "file/format.h"
#include "search/search.h"

using namespace shortlist;

namespace {

void make_checksums_right(std::vector<char>& bytes) {
  FileHeader header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.file_bytes = bytes.size();
  const std::size_t room = (bytes.size() - sizeof header) / sizeof(FileSection);
  const std::size_t count = std::min<std::size_t>({header.num_sections, room, kMaxSections});
  for (std::size_t i = 0; i < count; ++i) {
    char* at = bytes.data() + sizeof header + i * sizeof(FileSection);
    FileSection section;
    std::memcpy(&section, at, sizeof section);
    const std::size_t begin = std::min<std::size_t>(section.offset, bytes.size());
    const std::size_t size = std::min<std::size_t>(section.bytes, bytes.size() - begin);
    section.checksum = checksum(bytes.data() + begin, size);
    std::memcpy(at, &section, sizeof section);
  }
  header.table_checksum = checksum(bytes.data() + sizeof header, count * sizeof(FileSection));
  header.header_checksum = checksum(&header, offsetof(FileHeader, header_checksum));
  std::memcpy(bytes.data(), &header, sizeof header);
}

void search_with(const Snapshot& snapshot, const Settings& settings, const Limits& limits) {
  constexpr std::size_t kQueries = 9;  // enough for a batch
  constexpr std::size_t kK = 5;
  const std::vector<float> queries(kQueries * snapshot.codebook->dim, 0.5f);
  std::vector<float> scores(kQueries * kK);
  std::vector<std::int64_t> rows(kQueries * kK);
  for (const std::size_t count : {std::size_t{1}, kQueries}) {
    search(snapshot, queries.data(), count, kK, settings, limits, 1, scores.data(), rows.data());
  }
  for (const std::int64_t row : rows) {
    if (row < -1 || row >= static_cast<std::int64_t>(snapshot.size)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<char> bytes(data, data + size);
  make_checksums_right(bytes);
  try {
    load_codebook(bytes);
    const Index index = load(bytes);
    const Snapshot& snapshot = *index.snapshot;
    Settings exact;
    exact.exact = true;
    Settings whole = index.settings;
    whole.stop = 0.0f;
    std::vector<std::uint8_t> allowed(snapshot.size, 0);
    for (std::size_t row = 0; row < snapshot.size; row += 2) allowed[row] = 1;
    const Filter filter = make_filter(snapshot, allowed);
    Limits limits;
    limits.allow = &filter;
    for (const Settings& settings : {index.settings, whole, exact}) {
      search_with(snapshot, settings, {});
      search_with(snapshot, settings, limits);
    }
    const std::vector<float> rows(20 * snapshot.codebook->dim, -1.5f);
    const Index encoded =
        build(rows.data(), 20, snapshot.codebook->dim, Ids(20), {}, [](const char*, double) {}, snapshot.codebook);
    search_with(*encoded.snapshot, exact, {});
    std::vector<char> again;
    save(index, [&](std::size_t total) {
      again.resize(total);
      return again.data();
    });
    load(again);
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
