// Cycles each kernel takes per vector and query, beside what is known to be possible on AMD Zen 4 with
// AVX-512.
//
//   bench_kernels [--json] [--only TEXT] [LEVEL...]
//
// runs the levels named, or all that this machine can run, and only the kernels whose name contains TEXT.
//
// A cycle is the time of one addition in a chain of them, timed anew around every measurement, so that the
// figures hold whatever the clock frequency. Each figure is the lower quartile of many rounds: other
// processes only ever add time.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "kernels/dispatch.h"

using namespace shortlist;

namespace {

constexpr std::int32_t kNothing = 1 << 30;  // a threshold no row reaches

double now_ns() {
  using namespace std::chrono;
  return static_cast<double>(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

double cycles_per_ns() {
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    std::uint64_t sum = 0;
    const double start = now_ns();
    for (int i = 0; i < 2000; ++i) {
#define ADD "add %0, %0, #1\n"
#if defined(__x86_64__)
#undef ADD
#define ADD "add $1, %0\n"
#endif
      asm volatile(ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD : "+r"(sum));
#undef ADD
    }
    best = std::max(best, 40000 / (now_ns() - start));
  }
  return best;
}

struct Time {
  double cycles, ns;  // per item
};

Time measure(double items, const std::function<void(std::size_t)>& run) {
  constexpr std::size_t kRounds = 25;
  const double start = now_ns();
  run(0);
  const double once = std::max(now_ns() - start, 100.0);
  const auto repeats = static_cast<std::size_t>(std::max(1.0, 300e3 / once));
  std::vector<Time> times;
  std::size_t round = 1;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const double rate = cycles_per_ns();
    const double begin = now_ns();
    for (std::size_t r = 0; r < repeats; ++r) run(round++);
    const double ns = (now_ns() - begin) / static_cast<double>(repeats) / items;
    times.push_back({ns * std::max(rate, cycles_per_ns()), ns});
  }
  std::sort(times.begin(), times.end(), [](const Time& a, const Time& b) { return a.cycles < b.cycles; });
  return times[kRounds / 4];
}

struct Report {
  bool json = false;
  std::string only;
  bool first = true;

  // `reference` is in cycles, 0 where there is none.
  void row(const char* level, const std::string& kernel, const std::string& where, Time time, double reference) {
    if (json) {
      std::printf("%s\n  {\"level\": \"%s\", \"kernel\": \"%s\", \"data\": \"%s\", \"cycles\": %.3f, \"ns\": %.3f",
                  first ? "[" : ",", level, kernel.c_str(), where.c_str(), time.cycles, time.ns);
      if (reference > 0) std::printf(", \"reference_cycles\": %.2f", reference);
      std::printf("}");
    } else {
      if (first) std::printf("%-7s %-44s %-9s %9s %9s %9s\n", "level", "kernel", "data", "cycles", "reference", "ns");
      std::printf("%-7s %-44s %-9s %9.3f ", level, kernel.c_str(), where.c_str(), time.cycles);
      if (reference > 0) {
        std::printf("%9.2f ", reference);
      } else {
        std::printf("%9s ", "");
      }
      std::printf("%9.3f\n", time.ns);
    }
    std::fflush(stdout);
    first = false;
  }
  void end() const {
    if (json) std::printf("\n]\n");
  }
};

// A table in huge pages, where the system has them: as the engine keeps its own.
template <class Value>
class Table {
 public:
  explicit Table(std::size_t size) : size_(size) {
    const std::size_t bytes = (size * sizeof(Value) + kPage - 1) / kPage * kPage;
    values_.reset(static_cast<Value*>(std::aligned_alloc(kPage, bytes)));
#ifdef __linux__
    madvise(values_.get(), bytes, MADV_HUGEPAGE);
#endif
  }
  Value* data() { return values_.get(); }
  Value* begin() { return values_.get(); }
  Value* end() { return values_.get() + size_; }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(Value* values) const { std::free(values); }
  };
  static constexpr std::size_t kPage = 2 << 20;
  std::unique_ptr<Value, Free> values_;
  std::size_t size_;
};

struct Cache {
  const char* name;
  std::size_t bytes;
};
constexpr Cache kCaches[] = {{"L1", 16 << 10}, {"L2", 512 << 10}, {"L3", 12 << 20}};

class Bench {
 public:
  Bench(const Kernels& kernels, Report& report) : k(kernels), report_(report) {
    for (auto& v : bytes) v = static_cast<std::uint8_t>(random());
    for (auto& v : values) v = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
    for (auto& v : query) v = static_cast<std::int8_t>(random() % 200 - 100);
  }

  void int8_select(std::size_t dim, std::vector<double> references) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = dim / 4;
      const Span span = span_of(kCaches[c].bytes, slices);
      report(name("int8_select", dim, "dims"), kCaches[c].name, references[c], span.num_rows,
             [&](std::size_t) { k.int8_select(&span, 1, slices, query.data(), rows.data(), sums.data()); });
    }
  }

  void int8_select_many(std::size_t dim, std::size_t count, std::vector<double> references) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = dim / 4;
      const Span span = span_of(kCaches[c].bytes, slices);
      std::vector<Selection<std::int8_t>> selections(count);
      for (std::size_t q = 0; q < count; ++q) {
        selections[q] = {query.data() + q * 2048, kNothing, rows.data(), sums.data(), 0};
      }
      report(name("int8_select_many", dim, "dims", count), kCaches[c].name, references[c],
             static_cast<double>(span.num_rows * count),
             [&](std::size_t) { k.int8_select_many(span, slices, selections.data(), count); });
    }
  }

  void int8_best(std::size_t dim, std::size_t count) {
    const std::size_t slices = dim / 4;
    const std::size_t blocks = (384 << 10) / (slices * kSliceBytes);
    const std::vector<float> values(blocks * kBlockRows, 0.5f);
    std::vector<Int8Query> queries(count);
    for (std::size_t q = 0; q < count; ++q) queries[q] = {query.data() + q * 2048, 0.5f, 0.5f};
    std::vector<std::uint32_t> best(count * kBlockRows);
    std::vector<float> best_scores(count * kBlockRows);
    report(name("int8_best", dim, "dims", count), "L2", 0, static_cast<double>(blocks * kBlockRows * count),
           [&](std::size_t) {
             k.int8_best(bytes.data(), blocks, slices, values.data(), values.data(), queries.data(), count, best.data(),
                         best_scores.data());
           });
  }

  void code4_select(std::size_t codes, std::vector<double> references) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = codes / 8;
      const Span span = span_of(kCaches[c].bytes, slices);
      report(name("code4_select", codes, "codes"), kCaches[c].name, references[c], span.num_rows,
             [&](std::size_t) { k.code4_select(&span, 1, slices, bytes.data(), rows.data(), sums.data()); });
    }
  }

  void code4_select_many(std::size_t codes, std::size_t count, std::vector<double> references) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = codes / 8;
      const Span span = span_of(kCaches[c].bytes, slices);
      std::vector<Selection<std::uint8_t>> selections(count);
      for (std::size_t q = 0; q < count; ++q) {
        selections[q] = {bytes.data() + q * slices * kSliceTableBytes, kNothing, rows.data(), sums.data(), 0};
      }
      report(name("code4_select_many", codes, "codes", count), kCaches[c].name, references[c],
             static_cast<double>(span.num_rows * count),
             [&](std::size_t) { k.code4_select_many(span, slices, selections.data(), count); });
    }
  }

  void int4_select(std::size_t dim, std::vector<double> references) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = dim / 8;
      const Span span = span_of(kCaches[c].bytes, slices);
      report(name("int4_select", dim, "dims"), kCaches[c].name, references[c], span.num_rows,
             [&](std::size_t) { k.int4_select(&span, 1, slices, query.data(), rows.data(), sums.data()); });
    }
  }

  void int4_select_many(std::size_t dim, std::size_t count) {
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t slices = dim / 8;
      const Span span = span_of(kCaches[c].bytes, slices);
      std::vector<Selection<std::int8_t>> selections(count);
      for (std::size_t q = 0; q < count; ++q) {
        selections[q] = {query.data() + q * 2048, kNothing, rows.data(), sums.data(), 0};
      }
      report(name("int4_select_many", dim, "dims", count), kCaches[c].name, 0,
             static_cast<double>(span.num_rows * count),
             [&](std::size_t) { k.int4_select_many(span, slices, selections.data(), count); });
    }
  }

  // Leaves of 144 rows picked at random from all of memory, 32 a query, as a search visits them: a different
  // draw each time, so that the caches hold none of them.
  void leaves(bool int8) {
    const std::size_t slices = int8 ? 8 : 1;
    const std::size_t leaf_bytes = 9 * slices * kSliceBytes;
    constexpr std::size_t kVisited = 32;
    std::vector<Span> spans(kVisited * 4096);
    for (auto& s : spans) {
      const std::size_t leaf = random() % (bytes.size() / leaf_bytes);
      s = {bytes.data() + leaf * leaf_bytes, nullptr, 144, static_cast<std::uint32_t>(144 * leaf), kNothing};
    }
    report(int8 ? "int8_select, 32 dims, random leaves of 144" : "code4_select, 8 codes, random leaves of 144",
           "memory", 0, 144 * kVisited, [&](std::size_t round) {
             const Span* visited = spans.data() + round % 4096 * kVisited;
             if (int8) {
               k.int8_select(visited, kVisited, slices, query.data(), rows.data(), sums.data());
             } else {
               k.code4_select(visited, kVisited, slices, bytes.data(), rows.data(), sums.data());
             }
           });
  }

  void f32(std::size_t dim, std::size_t count) {
    const std::size_t blocks = (4 << 20) / (dim * 64);
    const std::size_t n = blocks * kBlockRows;
    const double ideal = static_cast<double>(dim) / 16;
    std::vector<float> out(n * count);
    const float* queries = values.data() + values.size() - count * dim;
    report(name("f32_scores", dim, "dims", count), "L3", ideal, static_cast<double>(n * count),
           [&](std::size_t) { k.f32_scores(values.data(), blocks, dim, queries, dim, count, out.data(), n); });
  }

  // 128 sorted rows of a table larger than the caches, drawn anew each time. `run(indices, out)` scores them.
  template <class Run>
  void gather(const char* what, std::size_t table_values, std::size_t dim, const Run& run) {
    constexpr std::size_t kRows = 128;
    const std::size_t n = table_values / dim;
    std::vector<std::uint32_t> indices(kRows * 2048);
    for (auto& i : indices) i = static_cast<std::uint32_t>(random() % n);
    for (std::size_t d = 0; d < 2048; ++d) std::sort(&indices[d * kRows], &indices[d * kRows] + kRows);
    std::vector<float> out(kRows);
    report(name(what, dim, "dims"), "memory", 0, kRows,
           [&](std::size_t round) { run(&indices[round % 2048 * kRows], kRows, out.data()); });
  }

  void gathers(std::size_t dim) {
    const float* query = values.data();
    const auto plain = [&](const char* what, const auto* table, std::size_t size, auto kernel) {
      gather(what, size, dim, [&](const std::uint32_t* indices, std::size_t count, float* out) {
        kernel(table, dim, indices, count, query, dim, out);
      });
    };
    plain("dot_rows_f32", values.data(), values.size(), k.dot_rows_f32);
    plain("l2_rows_f32", values.data(), values.size(), k.l2_rows_f32);
    const auto* bf16 = reinterpret_cast<const std::uint16_t*>(bytes.data());
    plain("dot_rows_bf16", bf16, bytes.size() / 2, k.dot_rows_bf16);
    plain("l2_rows_bf16", bf16, bytes.size() / 2, k.l2_rows_bf16);
    const std::vector<float> scales(bytes.size() / dim, 0.01f);
    const auto scaled = [&](const char* what, auto kernel) {
      gather(what, bytes.size(), dim, [&](const std::uint32_t* indices, std::size_t count, float* out) {
        kernel(reinterpret_cast<const std::int8_t*>(bytes.data()), scales.data(), dim, indices, count, query, dim, out);
      });
    };
    scaled("dot_rows_int8", k.dot_rows_int8);
    scaled("l2_rows_int8", k.l2_rows_int8);
  }

 private:
  static std::string name(const char* kernel, std::size_t size, const char* unit, std::size_t queries = 1) {
    std::string text = std::string(kernel) + ", " + std::to_string(size) + " " + unit;
    return queries > 1 ? text + ", " + std::to_string(queries) + " queries" : text;
  }
  Span span_of(std::size_t size, std::size_t slices) {
    const std::size_t blocks = size / (slices * kSliceBytes);
    return {bytes.data(), nullptr, static_cast<std::uint32_t>(blocks * kBlockRows), 0, kNothing};
  }
  void report(const std::string& kernel, const char* where, double reference, double items,
              const std::function<void(std::size_t)>& run) {
    if (kernel.find(report_.only) == std::string::npos) return;
    report_.row(k.name, kernel, where, measure(items, run), std::strcmp(k.name, "avx512") == 0 ? reference : 0);
  }

  const Kernels& k;
  Report& report_;
  std::mt19937 random{1};
  Table<std::uint8_t> bytes{108u << 20};
  Table<float> values{32u << 20};
  std::vector<std::int8_t> query = std::vector<std::int8_t>(8 * 2048);
  std::vector<std::uint32_t> rows = std::vector<std::uint32_t>(4u << 20);
  std::vector<std::int32_t> sums = std::vector<std::int32_t>(4u << 20);
};

}  // namespace

int main(int argc, char** argv) {
  Report report;
  std::vector<const Kernels*> levels;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) {
      report.json = true;
    } else if (std::strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      report.only = argv[++i];
    } else if (const Kernels* level = find_kernels(argv[i])) {
      levels.push_back(level);
    } else {
      std::fprintf(stderr, "No level called '%s' runs on this machine.\n", argv[i]);
      return 2;
    }
  }
  if (levels.empty()) levels = available_kernels();
  for (const Kernels* level : levels) {
    Bench bench(*level, report);
    bench.int8_select(32, {0.58, 1.00, 1.54});
    bench.int8_select(96, {0, 0, 0});
    bench.int8_select(128, {0, 0, 0});
    bench.int8_select_many(32, 8, {0.59, 0.59, 0.59});
    bench.int8_best(32, 64);
    bench.int8_best(96, 64);
    bench.code4_select(8, {0.63, 0.63, 0.63});
    bench.code4_select(16, {0, 0, 0});
    bench.code4_select(48, {0, 0, 0});
    bench.code4_select_many(8, 4, {0.50, 0.50, 0.50});
    bench.code4_select_many(16, 4, {0, 0, 0});
    bench.code4_select_many(48, 4, {0, 0, 0});
    bench.int4_select(32, {0, 0, 0});
    bench.int4_select(96, {0, 0, 0});
    bench.int4_select(384, {0, 0, 0});
    bench.int4_select_many(96, 8);
    bench.leaves(true);
    bench.leaves(false);
    bench.f32(32, 24);
    bench.f32(128, 24);
    bench.gathers(32);
    bench.gathers(96);
    bench.gathers(384);
  }
  report.end();
}
