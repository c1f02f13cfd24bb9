// What training calls: arrays in, results written into the caller's arrays, the GIL released.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <optional>

#include "bindings.h"
#include "train/catalogue.h"
#include "train/softmax.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace shortlist::bindings {
namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Keys = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewMatrix = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewVector = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
  if (!holds) throw nb::value_error(message);
}

void require_shapes_of(const Matrix& queries, const Matrix& candidates, const NewMatrix& of_queries,
                       const NewMatrix& of_candidates) {
  require(of_queries.shape(0) == queries.shape(0) && of_queries.shape(1) == queries.shape(1) &&
              of_candidates.shape(0) == candidates.shape(0) && of_candidates.shape(1) == candidates.shape(1),
          "`of_queries` and `of_candidates` must have the shapes of `queries` and `candidates`.");
}

SoftmaxBatch batch_of(const Matrix& queries, const Matrix& candidates, const std::optional<Vector>& bias,
                      const std::optional<Keys>& keys, float temperature) {
  const std::size_t count = candidates.shape(0);
  require(queries.shape(1) == candidates.shape(1), "`candidates` must have the dimensions of `queries`.");
  require(count >= queries.shape(0), "`candidates` must have at least one row a query.");
  require(!bias || bias->shape(0) == count, "`bias` must have one value a candidate.");
  require(!keys || keys->shape(0) == count, "`keys` must have one value a candidate.");
  return {.queries = queries.data(),
          .num_queries = queries.shape(0),
          .candidates = candidates.data(),
          .num_candidates = count,
          .dim = queries.shape(1),
          .temperature = temperature,
          .bias = bias ? bias->data() : nullptr,
          .keys = keys ? keys->data() : nullptr};
}

void softmax_of(const Matrix& queries, const Matrix& candidates, const std::optional<Vector>& bias,
                const std::optional<Keys>& keys, float temperature, const NewVector& losses,
                const std::optional<Vector>& weights, const std::optional<NewMatrix>& of_queries,
                const std::optional<NewMatrix>& of_candidates, std::size_t threads) {
  const SoftmaxBatch batch = batch_of(queries, candidates, bias, keys, temperature);
  require(losses.shape(0) == batch.num_queries, "`losses` must have one value a query.");
  const bool wanted = weights.has_value();
  require(wanted == of_queries.has_value() && wanted == of_candidates.has_value(),
          "`weights`, `of_queries` and `of_candidates` must be given together or not at all.");
  if (wanted) {
    require(weights->shape(0) == batch.num_queries, "`weights` must have one value a query.");
    require_shapes_of(queries, candidates, *of_queries, *of_candidates);
  }
  const nb::gil_scoped_release release;
  softmax(batch, threads, losses.data(), wanted ? weights->data() : nullptr, wanted ? of_queries->data() : nullptr,
          wanted ? of_candidates->data() : nullptr);
}

double catalogue_loss_of(const Matrix& queries, const Matrix& candidates, const Indices& known,
                         const Indices& positives, float temperature, float shift, bool logistic,
                         const std::optional<NewMatrix>& of_queries, const std::optional<NewMatrix>& of_candidates,
                         std::size_t threads) {
  require(queries.shape(1) == candidates.shape(1), "`candidates` must have the dimensions of `queries`.");
  require(known.shape(0) == queries.shape(0) && positives.shape(0) == queries.shape(0),
          "`known` and `positives` must have a row a query.");
  require(of_queries.has_value() == of_candidates.has_value(),
          "`of_queries` and `of_candidates` must be given together or not at all.");
  if (of_queries) require_shapes_of(queries, candidates, *of_queries, *of_candidates);
  const CatalogueBatch batch{.queries = queries.data(),
                             .num_queries = queries.shape(0),
                             .candidates = candidates.data(),
                             .num_candidates = candidates.shape(0),
                             .dim = queries.shape(1),
                             .temperature = temperature,
                             .shift = shift,
                             .known = known.data(),
                             .known_width = known.shape(1),
                             .positives = positives.data(),
                             .positives_width = positives.shape(1),
                             .logistic = logistic};
  const nb::gil_scoped_release release;
  return catalogue_loss(batch, threads, of_queries ? of_queries->data() : nullptr,
                        of_candidates ? of_candidates->data() : nullptr);
}

}  // namespace

void bind_train(nb::module_& m) {
  m.def("softmax", &softmax_of, "queries"_a, "candidates"_a, "bias"_a.none(), "keys"_a.none(), "temperature"_a,
        "losses"_a, "weights"_a = nb::none(), "of_queries"_a = nb::none(), "of_candidates"_a = nb::none(),
        "threads"_a = 0);
  m.def("catalogue_loss", &catalogue_loss_of, "queries"_a, "candidates"_a, "known"_a, "positives"_a, "temperature"_a,
        "shift"_a, "logistic"_a, "of_queries"_a = nb::none(), "of_candidates"_a = nb::none(), "threads"_a = 0);
}

}  // namespace shortlist::bindings
