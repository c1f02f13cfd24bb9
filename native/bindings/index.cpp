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
#include "bindings.h"
#include "codebook_type.h"
#include "file/file.h"
#include "options.h"
#include "search/search.h"

namespace shortlist::bindings {
namespace {

using namespace nb::literals;

// An engine index and what Python keeps beside it.
struct PyIndex {
  Index index;
  nb::object result_type = nb::borrow(reinterpret_cast<PyObject*>(&PyTuple_Type));
};

PyIndex* build_index(nb::handle embeddings, nb::handle ids, const std::string& metric, nb::handle leaves,
                     nb::handle codes, const std::string& store, nb::handle tier, nb::handle spread, nb::handle sample,
                     nb::handle iterations, std::uint64_t seed, nb::handle threads, nb::handle progress,
                     const PyCodebook* codebook) {
  BuildOptions options{read_options(metric, {leaves, codes, tier, spread, sample, iterations}, seed)};
  options.threads = count_or(threads, "threads", 0, 1, kMaxThreads);
  options.store = parse(kStores, store, "store");
  const std::size_t dim = codebook == nullptr ? 0 : codebook->codebook->dim;
  const bool cosine = (codebook == nullptr ? options.metric : codebook->codebook->metric) == Metric::cosine;
  const FloatMatrix matrix(embeddings, "embeddings", dim, false, !cosine);
  check_rows(matrix.rows(), matrix.dim(), options, "embeddings");
  Ids own = read_ids(ids, matrix.rows());
  const Progress report = report_to(progress);
  auto result = std::make_unique<PyIndex>();
  {
    const nb::gil_scoped_release release;
    result->index = build(matrix.data(), matrix.rows(), matrix.dim(), std::move(own), options, report,
                          codebook == nullptr ? nullptr : codebook->codebook);
  }
  return result.release();
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

void check_filter(const Snapshot& snapshot, const Filter& filter) {
  if (filter.snapshot == snapshot.number) return;
  fail("`allow` must be a filter made by this index or a copy of it, got another's; make one of this index.");
}

// What searches for `num_queries` queries may return, and the memory that says so.
class GivenLimits {
 public:
  GivenLimits(const Snapshot& snapshot, std::size_t num_queries, nb::handle exclude, nb::handle exclude_offsets,
              const Filter* allow);
  const Limits& limits() const { return limits_; }

 private:
  Array<std::uint32_t> excluded_;
  Array<std::int64_t> offsets_;
  Limits limits_;
};

GivenLimits::GivenLimits(const Snapshot& snapshot, std::size_t num_queries, nb::handle exclude,
                         nb::handle exclude_offsets, const Filter* allow) {
  if (allow != nullptr) {
    check_filter(snapshot, *allow);
    limits_.allow = allow;
  }
  if (!exclude.is_none()) {
    excluded_ = find_rows(snapshot, exclude, "exclude");
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
                        nb::handle exclude, nb::handle exclude_offsets, const Filter* allow, nb::handle threads) {
  const std::shared_ptr<const Snapshot> snapshot = self.index.snapshot;
  const Codebook& codebook = *snapshot->codebook;
  const FloatMatrix matrix(queries, "queries", codebook.dim, true, codebook.metric != Metric::cosine);
  const std::size_t kept = count_or(k, "k", 10, 1, kMaxK);
  const std::size_t workers = count_or(threads, "threads", matrix.rows() == 1 ? 1 : 0, 1, kMaxThreads);
  const GivenLimits given(*snapshot, matrix.rows(), exclude, exclude_offsets, allow);
  // A copy: another thread may set those of the index meanwhile.
  const Settings chosen = settings != nullptr ? *settings : self.index.settings;
  auto scores = new_floats(matrix.rows(), kept, matrix.is_vector());
  auto rows = new_integers(matrix.rows(), kept, matrix.is_vector());
  {
    const nb::gil_scoped_release release;
    search(*snapshot, matrix.data(), matrix.rows(), kept, chosen, given.limits(), workers, scores.values, rows.values);
  }
  nb::object ids = ids_of_rows(*snapshot, rows.values, matrix.rows(), kept, matrix.is_vector());
  return make_result(self.result_type, std::move(scores.object), std::move(ids), std::move(rows.object));
}

nb::object range_search_index(const PyIndex& self, nb::handle queries, float least, nb::handle exclude,
                              nb::handle exclude_offsets, const Filter* allow, nb::handle threads) {
  const std::shared_ptr<const Snapshot> snapshot = self.index.snapshot;
  const Codebook& codebook = *snapshot->codebook;
  const FloatMatrix matrix(queries, "queries", codebook.dim, true, codebook.metric != Metric::cosine);
  if (std::isnan(least)) fail("`least` must be a number, got NaN.");
  const std::size_t workers = count_or(threads, "threads", matrix.rows() == 1 ? 1 : 0, 1, kMaxThreads);
  const GivenLimits given(*snapshot, matrix.rows(), exclude, exclude_offsets, allow);
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
  return nb::make_tuple(scores.object, ids, rows.object, offsets.object);
}

nb::object find_ids(const PyIndex& self, nb::handle ids) {
  const Array<std::uint32_t> found = find_rows(*self.index.snapshot, ids, "ids");
  auto rows = new_integers(1, found.size(), true);
  std::transform(found.begin(), found.end(), rows.values, [](std::uint32_t row) {
    return row == Ids::kNone ? std::int64_t{-1} : static_cast<std::int64_t>(row);
  });
  return rows.object;
}

// What is stored how; segments are alike.
const char* store_of(const Snapshot& snapshot) { return name_of(kStores, snapshot.parts[0].segment->rows.store); }

nb::dict describe(const PyIndex& self) {
  const Snapshot& snapshot = *self.index.snapshot;
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

Filter* filter_ids(const PyIndex& self, nb::handle ids) {
  const std::shared_ptr<const Snapshot> snapshot = self.index.snapshot;
  const Array<std::uint32_t> rows = find_rows(*snapshot, ids, "allow");
  const nb::gil_scoped_release release;
  Array<std::uint8_t> allowed(snapshot->size, 0);
  for (const std::uint32_t row : rows) {
    if (row != Ids::kNone) allowed[row] = 1;
  }
  return new Filter(make_filter(*snapshot, allowed));
}

Filter* filter_rows(const PyIndex& self, nb::handle mask) {
  const std::shared_ptr<const Snapshot> snapshot = self.index.snapshot;
  const Mask allowed(mask, "allow", snapshot->size);
  const nb::gil_scoped_release release;
  return new Filter(make_filter(*snapshot, allowed.values()));
}

nb::object rows_of_filter(const PyIndex& self, const Filter& filter) {
  const Snapshot& snapshot = *self.index.snapshot;
  check_filter(snapshot, filter);
  auto allowed = new_bools(snapshot.size);
  read_filter(snapshot, filter, {allowed.values, snapshot.size});
  return allowed.object;
}

nb::object all_ids(const PyIndex& self) {
  const Snapshot& snapshot = *self.index.snapshot;
  auto rows = new_integers(1, snapshot.size, true);
  for (std::size_t i = 0; i < snapshot.size; ++i) rows.values[i] = static_cast<std::int64_t>(i);
  if (snapshot.id_kind() == Ids::Kind::rows && snapshot.parts.size() == 1) return rows.object;
  return ids_of_rows(snapshot, rows.values, 1, snapshot.size, true);
}

nb::object vectors_of_rows(const PyIndex& self, nb::handle rows) {
  const Integers wanted(rows, "rows");
  const Snapshot& snapshot = *self.index.snapshot;
  auto result = new_floats(wanted.values().size(), snapshot.codebook->dim, false);
  float* out = result.values;
  for (const std::int64_t row : wanted.values()) {
    if (row < 0 || row >= static_cast<std::int64_t>(snapshot.size)) {
      fail("`rows` must be from 0 to " + std::to_string(snapshot.size - 1) + ", got " + std::to_string(row) + ".");
    }
    snapshot.read_row(static_cast<std::size_t>(row), out);
    out += snapshot.codebook->dim;
  }
  return result.object;
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
  const Index index = self.index;  // a copy: another thread may set its settings meanwhile
  try {
    const nb::gil_scoped_release release;
    save(index, name);
  } catch (const std::system_error& error) {
    raise_os_error(error, path);
  }
}

nb::object index_to_bytes(const PyIndex& self) {
  return to_bytes([index = self.index](const auto& allocate) { save(index, allocate); });
}

PyIndex* index_from_bytes(nb::handle data) {
  const Buffer buffer(data);
  auto result = std::make_unique<PyIndex>();
  {
    const nb::gil_scoped_release release;
    result->index = load(buffer.bytes());
  }
  return result.release();
}

PyIndex* load_index(nb::handle path, bool mmap) {
  const std::string name = path_of(path);
  auto result = std::make_unique<PyIndex>();
  try {
    const nb::gil_scoped_release release;
    result->index = load(name, mmap);
  } catch (const std::system_error& error) {
    raise_os_error(error, path);
  }
  return result.release();
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

  nb::class_<Filter>(m, "Filter")
      .def("__len__", [](const Filter& self) { return self.count; })
      .def_prop_ro("nbytes", &Filter::bytes);

  nb::class_<PyIndex>(m, "Index")
      .def_static("build", &build_index, "embeddings"_a, "ids"_a = nb::none(), nb::kw_only(), "metric"_a = "dot",
                  "leaves"_a = nb::none(), "codes"_a = nb::none(), "store"_a = "float32", "tier"_a = nb::none(),
                  "spread"_a = nb::none(), "sample"_a = nb::none(), "iterations"_a = nb::none(), "seed"_a = 0,
                  "threads"_a = nb::none(), "progress"_a = nb::none(), "codebook"_a.none() = nb::none())
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
      .def("find", &find_ids, "ids"_a)
      .def("vectors", &vectors_of_rows, "rows"_a)
      .def("__len__", [](const PyIndex& self) { return self.index.snapshot->num_live; })
      .def_prop_ro("dim", [](const PyIndex& self) { return self.index.snapshot->codebook->dim; })
      .def_prop_ro("metric",
                   [](const PyIndex& self) { return name_of(kMetrics, self.index.snapshot->codebook->metric); })
      .def_prop_ro("ids", &all_ids)
      .def_prop_ro("ids_are_text",
                   [](const PyIndex& self) { return self.index.snapshot->id_kind() == Ids::Kind::strings; })
      .def_prop_ro("num_leaves", [](const PyIndex& self) { return self.index.snapshot->codebook->num_leaves(); })
      .def_prop_ro("tier", [](const PyIndex& self) { return self.index.snapshot->tier(); })
      .def_prop_ro("spread", [](const PyIndex& self) { return spread_of(*self.index.snapshot->codebook); })
      .def_prop_ro("codes", [](const PyIndex& self) { return codes_of(*self.index.snapshot->codebook); })
      .def_prop_ro("store", [](const PyIndex& self) { return store_of(*self.index.snapshot); })
      .def_prop_ro("nbytes",
                   [](const PyIndex& self) {
                     std::size_t bytes = self.index.snapshot->codebook->bytes();
                     for (const Part& part : self.index.snapshot->parts) bytes += part.segment->bytes();
                     return bytes;
                   })
      .def_prop_ro("codebook", [](const PyIndex& self) { return new PyCodebook{self.index.snapshot->codebook}; })
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
          "default_settings", [](const PyIndex& self) { return self.index.settings; },
          [](PyIndex& self, const Settings& settings) { self.index.settings = settings; })
      .def_prop_rw(
          "note", [](const PyIndex& self) { return self.index.note; },
          [](PyIndex& self, std::string note) { self.index.note = std::move(note); });
}

}  // namespace shortlist::bindings
