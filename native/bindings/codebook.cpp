// `Codebook` as Python sees it.
#include "codebook.h"

#include "arrays.h"
#include "bindings.h"
#include "codebook_type.h"
#include "file/file.h"
#include "options.h"

namespace shortlist::bindings {
namespace {

using namespace nb::literals;

PyCodebook* learn_codebook(nb::handle sample_rows, const std::string& metric, nb::handle leaves, nb::handle codes,
                           nb::handle tier, nb::handle spread, nb::handle sample, nb::handle iterations,
                           std::uint64_t seed, nb::handle threads, nb::handle progress) {
  const LearnOptions options = read_options(metric, {leaves, codes, tier, spread, sample, iterations}, seed);
  const std::size_t workers = count_or(threads, "threads", 0, 1, kMaxThreads);
  const FloatMatrix matrix(sample_rows, "sample", 0, false, options.metric != Metric::cosine);
  check_rows(matrix.rows(), matrix.dim(), options, "sample");
  const Progress report = report_to(progress);
  auto result = std::make_unique<PyCodebook>();
  {
    const nb::gil_scoped_release release;
    const PreparedRows rows(options.metric, matrix.data(), matrix.rows(), matrix.dim(), workers, report);
    Learned learned = learn(rows.data(), matrix.rows(), matrix.dim(), options, workers, report);
    result->codebook = std::make_shared<const Codebook>(std::move(learned.codebook));
  }
  return result.release();
}

nb::object codebook_to_bytes(const PyCodebook& self) {
  return to_bytes([&](const auto& allocate) { save(self.codebook, allocate); });
}

PyCodebook* codebook_from_bytes(nb::handle data) {
  const Buffer buffer(data);
  const nb::gil_scoped_release release;
  return new PyCodebook{load_codebook(buffer.bytes())};
}

}  // namespace

nb::object to_bytes(const std::function<void(const std::function<char*(std::size_t)>& allocate)>& save) {
  nb::object bytes;
  const nb::gil_scoped_release release;
  save([&](std::size_t size) {
    const nb::gil_scoped_acquire acquire;
    bytes = nb::steal(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size)));
    if (!bytes.is_valid()) throw nb::python_error();
    return PyBytes_AsString(bytes.ptr());
  });
  return bytes;
}

Buffer::Buffer(nb::handle object) {
  if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
}

void bind_codebook(nb::module_& m) {
  nb::class_<PyCodebook>(m, "Codebook")
      .def_static("learn", &learn_codebook, "sample_rows"_a, nb::kw_only(), "metric"_a = "dot", "leaves"_a = nb::none(),
                  "codes"_a = nb::none(), "tier"_a = nb::none(), "spread"_a = nb::none(), "sample"_a = nb::none(),
                  "iterations"_a = nb::none(), "seed"_a = 0, "threads"_a = nb::none(), "progress"_a = nb::none())
      .def("to_bytes", &codebook_to_bytes)
      .def_static("from_bytes", &codebook_from_bytes, "data"_a)
      .def_prop_ro("dim", [](const PyCodebook& self) { return self.codebook->dim; })
      .def_prop_ro("metric", [](const PyCodebook& self) { return name_of(kMetrics, self.codebook->metric); })
      .def_prop_ro("num_leaves", [](const PyCodebook& self) { return self.codebook->num_leaves(); })
      .def_prop_ro("codes", [](const PyCodebook& self) { return codes_of(*self.codebook); })
      .def_prop_ro("spread", [](const PyCodebook& self) { return spread_of(*self.codebook); })
      .def_prop_ro("nbytes", [](const PyCodebook& self) { return self.codebook->bytes(); });
}

}  // namespace shortlist::bindings
