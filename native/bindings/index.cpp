// `Index`, `Settings` and `Filter` as Python sees them.
#include "index.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <system_error>

#include "arrays.h"
#include "attributes.h"
#include "bindings.h"
#include "codebook_type.h"
#include "file/file.h"
#include "live_index.h"
#include "options.h"
#include "search/live_filter.h"
#include "search/search.h"

namespace shortlist::bindings {
namespace {

using namespace nb::literals;

// What make() gives, made without the GIL.
template <typename Make>
auto without_gil(const Make& make) {
  const nb::gil_scoped_release release;
  return make();
}

// An index that changes, and what is kept beside it.
struct PyIndex {
  PyIndex(Index index) : live(std::move(index.snapshot)), settings(index.settings), note(std::move(index.note)) {}

  std::shared_ptr<const Snapshot> snapshot() const { return live.snapshot(); }
  Index index() const { return {snapshot(), settings, note}; }

  LiveIndex live;
  Settings settings;  // what a search uses that is given none
  std::string note;
  nb::object result_type = nb::borrow(reinterpret_cast<PyObject*>(&PyTuple_Type));
};

PyIndex* build_index(nb::handle embeddings, nb::handle ids, const std::string& metric, nb::handle leaves,
                     nb::handle codes, const std::string& store, nb::handle tier, nb::handle spread, nb::handle sample,
                     nb::handle iterations, std::uint64_t seed, nb::handle threads, nb::handle progress,
                     const PyCodebook* codebook, nb::handle columns) {
  BuildOptions options{read_options(metric, {leaves, codes, tier, spread, sample, iterations}, seed)};
  options.threads = count_or(threads, "threads", 0, 1, kMaxThreads);
  options.store = parse(kStores, store, "store");
  const std::size_t dim = codebook == nullptr ? 0 : codebook->codebook->dim;
  const bool cosine = (codebook == nullptr ? options.metric : codebook->codebook->metric) == Metric::cosine;
  const FloatMatrix matrix(embeddings, "embeddings", dim, false, !cosine);
  check_rows(matrix.rows(), matrix.dim(), options, "embeddings");
  Ids own = read_ids(ids, matrix.rows());
  std::vector<Column> attributes = read_columns(columns, matrix.rows());
  const Progress report = report_to(progress);
  return new PyIndex(without_gil([&] {
    return build(matrix.data(), matrix.rows(), matrix.dim(), std::move(own), options, report,
                 codebook == nullptr ? nullptr : codebook->codebook, std::move(attributes));
  }));
}

nb::object make_result(nb::handle type, nb::object scores, nb::object ids, nb::object rows) {
  // A subclass of tuple without fields of its own, such as a named tuple, is made without a call to Python.
  auto* cls = reinterpret_cast<PyTypeObject*>(type.ptr());
  const auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(cls, Py_tp_alloc));
  nb::object result = nb::steal(allocate(cls, 3));
  if (!result.is_valid()) throw nb::python_error();
  PyTuple_SetItem(result.ptr(), 0, scores.release().ptr());
  PyTuple_SetItem(result.ptr(), 1, ids.release().ptr());
  PyTuple_SetItem(result.ptr(), 2, rows.release().ptr());
  return result;
}

nb::object ids_of_rows(const Snapshot& snapshot, const std::int64_t* rows, std::size_t num, std::size_t k,
                       bool is_vector) {
  if (snapshot.id_kind() != Ids::Kind::strings) {
    auto result = new_integers(num, k, is_vector);
    for (std::size_t i = 0; i < num * k; ++i) {
      result.values[i] = rows[i] < 0 ? -1 : snapshot.integer_id(static_cast<std::size_t>(rows[i]));
    }
    return result.object;
  }
  auto result = new_objects(num, k, is_vector);
  for (std::size_t i = 0; i < num * k; ++i) {
    const std::string_view id =
        rows[i] < 0 ? std::string_view() : snapshot.string_id(static_cast<std::size_t>(rows[i]));
    result.values[i] = PyUnicode_DecodeUTF8(id.data(), static_cast<Py_ssize_t>(id.size()), nullptr);
    if (result.values[i] == nullptr) throw nb::python_error();
  }
  return result.object;
}

// Makes rows of a snapshot, -1 left as it is, what users call rows: places among those that are not deleted.
void count_live_rows(const Snapshot& snapshot, std::span<std::int64_t> rows) {
  if (snapshot.num_live == snapshot.size) return;
  for (std::int64_t& row : rows) {
    if (row >= 0) row = static_cast<std::int64_t>(snapshot.place_of(static_cast<std::size_t>(row)));
  }
}

struct PyFilter {
  LiveFilter::Pointer filter;
};

template <typename... Arguments>
PyFilter* new_filter(Arguments&&... arguments) {
  return new PyFilter{std::make_shared<LiveFilter>(std::forward<Arguments>(arguments)...)};
}

// What searches for `num_queries` queries may return, and the memory that says so.
class GivenLimits {
 public:
  GivenLimits(const std::shared_ptr<const Snapshot>& snapshot, std::size_t num_queries, nb::handle exclude,
              nb::handle exclude_offsets, const PyFilter* allow);
  const Limits& limits() const { return limits_; }

 private:
  std::shared_ptr<const Filter> allow_;
  Array<std::uint32_t> excluded_;
  Array<std::int64_t> offsets_;
  Limits limits_;
};

GivenLimits::GivenLimits(const std::shared_ptr<const Snapshot>& snapshot, std::size_t num_queries, nb::handle exclude,
                         nb::handle exclude_offsets, const PyFilter* allow) {
  if (allow != nullptr) {
    allow_ = without_gil([&] { return allow->filter->of(snapshot); });
    limits_.allow = allow_.get();
  }
  if (!exclude.is_none()) {
    excluded_ = find_rows(*snapshot, exclude, "exclude");
    if (!exclude_offsets.is_none()) {
      const std::int64_t total = static_cast<std::int64_t>(excluded_.size());
      offsets_ = Array<std::int64_t>(num_queries + 1);
      const Integers given(exclude_offsets, "exclude_offsets");
      const auto values = given.values();
      if (values.size() != offsets_.size() || values.front() != 0 || values.back() != total ||
          !std::is_sorted(values.begin(), values.end())) {
        fail("`exclude_offsets` must rise from 0 to " + std::to_string(total) + " in " +
             std::to_string(offsets_.size()) + " steps.");
      }
      std::copy(values.begin(), values.end(), offsets_.begin());
    }
    limits_.exclude = excluded_;
    limits_.exclude_offsets = offsets_;
  }
}

nb::object search_index(const PyIndex& self, nb::handle queries, nb::handle k, const Settings* settings,
                        nb::handle exclude, nb::handle exclude_offsets, const PyFilter* allow, nb::handle threads) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Codebook& codebook = *snapshot->codebook;
  const FloatMatrix matrix(queries, "queries", codebook.dim, true, codebook.metric != Metric::cosine);
  const std::size_t kept = count_or(k, "k", 10, 1, kMaxK);
  const std::size_t workers = count_or(threads, "threads", matrix.rows() == 1 ? 1 : 0, 1, kMaxThreads);
  const GivenLimits given(snapshot, matrix.rows(), exclude, exclude_offsets, allow);
  // A copy: another thread may set those of the index meanwhile.
  const Settings chosen = settings != nullptr ? *settings : self.settings;
  auto scores = new_floats(matrix.rows(), kept, matrix.is_vector());
  auto rows = new_integers(matrix.rows(), kept, matrix.is_vector());
  {
    const nb::gil_scoped_release release;
    search(*snapshot, matrix.data(), matrix.rows(), kept, chosen, given.limits(), workers, scores.values, rows.values);
  }
  nb::object ids = ids_of_rows(*snapshot, rows.values, matrix.rows(), kept, matrix.is_vector());
  count_live_rows(*snapshot, {rows.values, matrix.rows() * kept});
  return make_result(self.result_type, std::move(scores.object), std::move(ids), std::move(rows.object));
}

nb::object range_search_index(const PyIndex& self, nb::handle queries, float least, nb::handle exclude,
                              nb::handle exclude_offsets, const PyFilter* allow, nb::handle threads) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Codebook& codebook = *snapshot->codebook;
  const FloatMatrix matrix(queries, "queries", codebook.dim, true, codebook.metric != Metric::cosine);
  if (std::isnan(least)) fail("`least` must be a number, got NaN.");
  const std::size_t workers = count_or(threads, "threads", matrix.rows() == 1 ? 1 : 0, 1, kMaxThreads);
  const GivenLimits given(snapshot, matrix.rows(), exclude, exclude_offsets, allow);
  std::vector<std::vector<Scored>> found;
  {
    const nb::gil_scoped_release release;
    found = range_search(*snapshot, matrix.data(), matrix.rows(), least, given.limits(), workers);
  }
  auto offsets = new_integers(1, matrix.rows() + 1, true);
  offsets.values[0] = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    offsets.values[i + 1] = offsets.values[i] + static_cast<std::int64_t>(found[i].size());
  }
  const auto total = static_cast<std::size_t>(offsets.values[found.size()]);
  auto scores = new_floats(1, total, true);
  auto rows = new_integers(1, total, true);
  std::size_t at = 0;
  for (const std::vector<Scored>& of_query : found) {
    for (const Scored& one : of_query) {
      scores.values[at] = one.score;
      rows.values[at++] = static_cast<std::int64_t>(one.row);
    }
  }
  nb::object ids = ids_of_rows(*snapshot, rows.values, 1, total, true);
  count_live_rows(*snapshot, {rows.values, total});
  return nb::make_tuple(scores.object, ids, rows.object, offsets.object);
}

nb::object find_ids(const PyIndex& self, nb::handle ids) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Array<std::uint32_t> found = find_rows(*snapshot, ids, "ids");
  auto rows = new_integers(1, found.size(), true);
  std::transform(found.begin(), found.end(), rows.values, [&](std::uint32_t row) {
    return row == Ids::kNone ? std::int64_t{-1} : static_cast<std::int64_t>(snapshot->place_of(row));
  });
  return rows.object;
}

// What is stored how; segments are alike.
const char* store_of(const Snapshot& snapshot) { return name_of(kStores, snapshot.parts[0].segment->rows.store); }

nb::dict describe(const PyIndex& self) {
  const std::shared_ptr<const Snapshot> now = self.snapshot();
  const Snapshot& snapshot = *now;
  const Codebook& codebook = *snapshot.codebook;
  std::size_t codes = 0, rows = 0, order = 0, ids = 0;
  for (const Part& part : snapshot.parts) {
    codes += part.segment->codes.bytes();
    rows += part.segment->rows.bytes();
    order += part.segment->row_of.bytes() + part.segment->position_of.bytes();
    ids += part.segment->ids.bytes();
  }
  nb::dict bytes;
  bytes["codes"] = codes;
  bytes["rows"] = rows;
  bytes["centroids"] = codebook.bytes();
  bytes["order"] = order;
  bytes["ids"] = ids;
  nb::dict result;
  result["rows"] = snapshot.num_live;
  result["deleted"] = snapshot.size - snapshot.num_live;
  result["segments"] = snapshot.parts.size();
  result["dim"] = codebook.dim;
  result["metric"] = name_of(kMetrics, codebook.metric);
  result["groups"] = codebook.centroids.num_cells();
  result["leaves"] = codebook.num_leaves();
  result["rows_per_leaf"] =
      static_cast<double>(snapshot.size - snapshot.tier()) / static_cast<double>(codebook.num_leaves());
  result["tier"] = snapshot.tier();
  result["spread"] = spread_of(codebook);
  result["codes"] = codes_of(codebook);
  result["store"] = store_of(snapshot);
  result["bytes"] = bytes;
  return result;
}

PyFilter* filter_ids(const PyIndex& self, nb::handle ids) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Array<std::uint32_t> rows = find_rows(*snapshot, ids, "allow");
  return without_gil([&] {
    Array<std::uint8_t> allowed(snapshot->size, 0);
    for (const std::uint32_t row : rows) {
      if (row != Ids::kNone) allowed[row] = 1;
    }
    return new_filter(snapshot, make_filter(*snapshot, allowed));
  });
}

PyFilter* filter_rows(const PyIndex& self, nb::handle mask) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Mask given(mask, "allow", snapshot->num_live);
  return without_gil([&] {
    if (snapshot->num_live == snapshot->size) return new_filter(snapshot, make_filter(*snapshot, given.values()));
    Array<std::uint8_t> allowed(snapshot->size, 0);
    auto next = given.values().begin();
    snapshot->for_each_live([&](std::size_t row) { allowed[row] = *next++; });
    return new_filter(snapshot, make_filter(*snapshot, allowed));
  });
}

PyFilter* filter_where(const PyIndex& self, nb::handle plan) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  Condition condition = read_condition(plan);
  return without_gil([&] {
    Filter filter = make_filter(*snapshot, condition);
    return new_filter(snapshot, std::move(filter), std::move(condition));
  });
}

nb::object attributes_of_ids(const PyIndex& self, nb::handle ids) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Array<std::uint32_t> found = find_rows(*snapshot, ids, "ids");
  std::vector<std::uint32_t> rows;
  auto there = new_bools(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    there.values[i] = found[i] == Ids::kNone ? 0 : 1;
    if (found[i] != Ids::kNone) rows.push_back(found[i]);
  }
  return nb::make_tuple(values_of(*snapshot, rows), there.object);
}

nb::object rows_of_filter(const PyIndex& self, const PyFilter& filter) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  Array<std::uint8_t> allowed(snapshot->size);
  read_filter(*snapshot, *filter.filter->of(snapshot), {allowed.data(), allowed.size()});
  auto result = new_bools(snapshot->num_live);
  std::uint8_t* next = result.values;
  snapshot->for_each_live([&](std::size_t row) { *next++ = allowed[row]; });
  return result.object;
}

nb::object all_ids(const PyIndex& self) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  auto rows = new_integers(1, snapshot->num_live, true);
  std::int64_t* next = rows.values;
  snapshot->for_each_live([&](std::size_t row) { *next++ = static_cast<std::int64_t>(row); });
  return ids_of_rows(*snapshot, rows.values, 1, snapshot->num_live, true);
}

// The vectors of ids, and their rows: -1 and zeros where there is none.
nb::object vectors_of_ids(const PyIndex& self, nb::handle ids) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Array<std::uint32_t> found = find_rows(*snapshot, ids, "ids");
  const std::size_t dim = snapshot->codebook->dim;
  auto vectors = new_floats(found.size(), dim, false);
  auto rows = new_integers(1, found.size(), true);
  for (std::size_t i = 0; i < found.size(); ++i) {
    rows.values[i] = found[i] == Ids::kNone ? -1 : static_cast<std::int64_t>(snapshot->place_of(found[i]));
    float* out = vectors.values + i * dim;
    if (found[i] == Ids::kNone) {
      std::fill_n(out, dim, 0.0f);
    } else {
      snapshot->read_row(found[i], out);
    }
  }
  return nb::make_tuple(vectors.object, rows.object);
}

nb::object upsert_rows(PyIndex& self, nb::handle embeddings, nb::handle ids, nb::handle columns) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Codebook& codebook = *snapshot->codebook;
  const FloatMatrix matrix(embeddings, "embeddings", codebook.dim, false, codebook.metric != Metric::cosine);
  Ids own = read_new_ids(ids, matrix.rows());
  std::vector<Column> attributes = read_columns(columns, matrix.rows());
  try {
    const Changes changes =
        without_gil([&] { return self.live.upsert(matrix.data(), std::move(own), std::move(attributes)); });
    return nb::make_tuple(changes.added, changes.replaced);
  } catch (const std::length_error& error) {
    fail(std::string("`embeddings` must fit beside those there are: ") + error.what() + ".");
  }
}

std::size_t delete_ids(PyIndex& self, nb::handle ids) {
  const Ids own = read_some_ids(ids, "ids");
  return without_gil([&] { return self.live.erase(own); });
}

void rebalance_index(PyIndex& self, nb::handle leaves, nb::handle codes, nb::handle tier, nb::handle spread,
                     nb::handle sample, nb::handle iterations, std::uint64_t seed, nb::handle threads,
                     nb::handle progress) {
  const LearnOptions options = read_options(name_of(kMetrics, self.snapshot()->codebook->metric),
                                            {leaves, codes, tier, spread, sample, iterations}, seed);
  const std::size_t workers = count_or(threads, "threads", 0, 1, kMaxThreads);
  const Progress report = report_to(progress);
  const nb::gil_scoped_release release;
  self.live.rebalance(options, workers, report);
}

nb::dict health_of_index(const PyIndex& self) {
  const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
  const Health health = without_gil([&] { return health_of(*snapshot); });
  nb::dict result;
  result["rows"] = health.rows;
  result["deleted"] = health.deleted;
  result["segments"] = health.segments;
  result["leaves"] = health.leaves;
  result["largest"] = health.largest;
  result["empty"] = health.empty;
  result["tier"] = health.tier;
  result["imbalance"] = health.imbalance;
  result["excess"] = health.excess;
  result["distance"] = health.distance;
  result["outside"] = health.outside;
  return result;
}

std::string path_of(nb::handle path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &bytes) == 0) throw nb::python_error();
  const nb::object owner = nb::steal(bytes);
  return {PyBytes_AsString(bytes), static_cast<std::size_t>(PyBytes_Size(bytes))};
}

// What the system refused as the OSError that Python would raise.
[[noreturn]] void raise_os_error(const std::system_error& error, nb::handle path) {
  errno = error.code().value();
  PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path.ptr());
  throw nb::python_error();
}

void save_index(const PyIndex& self, nb::handle path) {
  const std::string name = path_of(path);
  const Index index = self.index();  // another thread may change it meanwhile
  try {
    const nb::gil_scoped_release release;
    save(index, name);
  } catch (const std::system_error& error) {
    raise_os_error(error, path);
  }
}

nb::object index_to_bytes(const PyIndex& self) {
  return to_bytes([index = self.index()](const auto& allocate) { save(index, allocate); });
}

PyIndex* index_from_bytes(nb::handle data) {
  const Buffer buffer(data);
  return new PyIndex(without_gil([&] { return load(buffer.bytes()); }));
}

PyIndex* load_index(nb::handle path, bool mmap) {
  const std::string name = path_of(path);
  try {
    return new PyIndex(without_gil([&] { return load(name, mmap); }));
  } catch (const std::system_error& error) {
    raise_os_error(error, path);
  }
}

}  // namespace

void bind_index(nb::module_& m) {
  nb::class_<Settings>(m, "Settings")
      .def(
          "__init__",
          [](Settings* self, bool exact, nb::handle leaves, nb::handle rerank, float stop, nb::handle groups) {
            constexpr std::size_t kMost = 1u << 30;
            if (!std::isfinite(stop)) fail("`stop` must be finite.");
            new (self) Settings{.exact = exact,
                                .leaves = static_cast<std::uint32_t>(count_or(leaves, "leaves", 32, 1, kMost)),
                                .rerank = static_cast<std::uint32_t>(count_or(rerank, "rerank", 50, 1, kMost)),
                                .groups = static_cast<std::uint32_t>(count_or(groups, "groups", 0, 0, kMost)),
                                .stop = stop};
          },
          nb::kw_only(), "exact"_a = false, "leaves"_a = 32, "rerank"_a = 50, "stop"_a = 0.5f, "groups"_a = 0)
      .def_ro("exact", &Settings::exact)
      .def_ro("leaves", &Settings::leaves)
      .def_ro("rerank", &Settings::rerank)
      .def_ro("stop", &Settings::stop)
      .def_ro("groups", &Settings::groups)
      .def("__eq__",
           [](const Settings& self, nb::handle other) {
             return nb::isinstance<Settings>(other) && self == nb::cast<const Settings&>(other);
           })
      .def("__hash__",
           [](const Settings& s) { return nb::hash(nb::make_tuple(s.exact, s.leaves, s.rerank, s.stop, s.groups)); });

  nb::class_<PyFilter>(m, "Filter")
      .def_prop_ro("nbytes", [](const PyFilter& self) { return self.filter->bytes(); })
      .def("__and__", [](const PyFilter& a, const PyFilter& b) { return new_filter(a.filter, b.filter, &both); })
      .def("__or__", [](const PyFilter& a, const PyFilter& b) { return new_filter(a.filter, b.filter, &either); })
      .def("__invert__", [](const PyFilter& a) { return new_filter(a.filter, nullptr, nullptr); });

  nb::class_<PyIndex>(m, "Index")
      .def_static("build", &build_index, "embeddings"_a, "ids"_a = nb::none(), nb::kw_only(), "metric"_a = "dot",
                  "leaves"_a = nb::none(), "codes"_a = nb::none(), "store"_a = "float32", "tier"_a = nb::none(),
                  "spread"_a = nb::none(), "sample"_a = nb::none(), "iterations"_a = nb::none(), "seed"_a = 0,
                  "threads"_a = nb::none(), "progress"_a = nb::none(), "codebook"_a.none() = nb::none(),
                  "columns"_a = nb::list())
      .def("save", &save_index, "path"_a)
      .def_static("load", &load_index, "path"_a, nb::kw_only(), "mmap"_a = false)
      .def("search", &search_index, "queries"_a, "k"_a = 10, "settings"_a.none() = nb::none(), "exclude"_a = nb::none(),
           "exclude_offsets"_a = nb::none(), "allow"_a.none() = nb::none(), "threads"_a = nb::none())
      .def("range_search", &range_search_index, "queries"_a, "least"_a, "exclude"_a = nb::none(),
           "exclude_offsets"_a = nb::none(), "allow"_a.none() = nb::none(), "threads"_a = nb::none())
      .def("to_bytes", &index_to_bytes)
      .def_static("from_bytes", &index_from_bytes, "data"_a)
      .def("__copy__", [](const PyIndex& self) { return new PyIndex(self); })
      .def("filter_ids", &filter_ids, "ids"_a)
      .def("filter_rows", &filter_rows, "mask"_a)
      .def("rows_of_filter", &rows_of_filter, "filter"_a)
      .def(
          "count_filter",
          [](const PyIndex& self, const PyFilter& filter) { return filter.filter->of(self.snapshot())->count; },
          "filter"_a)
      .def("find", &find_ids, "ids"_a)
      .def("vectors", &vectors_of_ids, "ids"_a)
      .def("upsert", &upsert_rows, "embeddings"_a, "ids"_a, "columns"_a = nb::list())
      .def("filter_where", &filter_where, "plan"_a)
      .def("attributes", &attributes_of_ids, "ids"_a)
      .def_prop_ro("attribute_types", [](const PyIndex& self) { return types_of(*self.snapshot()); })
      .def("delete", &delete_ids, "ids"_a)
      .def("rebalance", &rebalance_index, nb::kw_only(), "leaves"_a = nb::none(), "codes"_a = nb::none(),
           "tier"_a = nb::none(), "spread"_a = nb::none(), "sample"_a = nb::none(), "iterations"_a = nb::none(),
           "seed"_a = 0, "threads"_a = nb::none(), "progress"_a = nb::none())
      .def("health", &health_of_index)
      .def("__len__", [](const PyIndex& self) { return self.snapshot()->num_live; })
      .def_prop_ro("dim", [](const PyIndex& self) { return self.snapshot()->codebook->dim; })
      .def_prop_ro("metric", [](const PyIndex& self) { return name_of(kMetrics, self.snapshot()->codebook->metric); })
      .def_prop_ro("ids", &all_ids)
      .def_prop_ro("ids_are_text", [](const PyIndex& self) { return self.snapshot()->id_kind() == Ids::Kind::strings; })
      .def_prop_ro("num_leaves", [](const PyIndex& self) { return self.snapshot()->codebook->num_leaves(); })
      .def_prop_ro("tier", [](const PyIndex& self) { return self.snapshot()->tier(); })
      .def_prop_ro("spread", [](const PyIndex& self) { return spread_of(*self.snapshot()->codebook); })
      .def_prop_ro("codes", [](const PyIndex& self) { return codes_of(*self.snapshot()->codebook); })
      .def_prop_ro("store", [](const PyIndex& self) { return store_of(*self.snapshot()); })
      .def_prop_ro("nbytes",
                   [](const PyIndex& self) {
                     const std::shared_ptr<const Snapshot> snapshot = self.snapshot();
                     std::size_t bytes = snapshot->codebook->bytes();
                     for (const Part& part : snapshot->parts) bytes += part.bytes();
                     return bytes;
                   })
      .def_prop_ro("codebook", [](const PyIndex& self) { return new PyCodebook{self.snapshot()->codebook}; })
      .def("describe", &describe)
      .def_prop_rw(
          "result_type", [](const PyIndex& self) { return self.result_type; },
          [](PyIndex& self, nb::handle type) {
            const bool fits = PyType_Check(type.ptr()) &&
                              PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()), &PyTuple_Type) != 0;
            if (!fits) throw nb::type_error("`result_type` must be a subclass of tuple.");
            self.result_type = nb::borrow(type);
          })
      .def_prop_rw(
          "default_settings", [](const PyIndex& self) { return self.settings; },
          [](PyIndex& self, const Settings& settings) { self.settings = settings; })
      .def_prop_rw(
          "note", [](const PyIndex& self) { return self.note; },
          [](PyIndex& self, std::string note) { self.note = std::move(note); });
}

}  // namespace shortlist::bindings
