// What training calls: arrays in, results written into the caller's arrays, the GIL released.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <optional>

#include "bindings.h"
#include "train/softmax.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace shortlist::bindings {
namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Keys = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using NewMatrix = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using NewVector = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
  if (!holds) throw nb::value_error(message);
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

void losses(const Matrix& queries, const Matrix& candidates, const std::optional<Vector>& bias,
            const std::optional<Keys>& keys, float temperature, const NewVector& losses_out,
            const NewVector& log_sums_out, std::size_t threads) {
  const SoftmaxBatch batch = batch_of(queries, candidates, bias, keys, temperature);
  require(losses_out.shape(0) == batch.num_queries && log_sums_out.shape(0) == batch.num_queries,
          "`losses` and `log_sums` must have one value a query.");
  const nb::gil_scoped_release release;
  softmax_losses(batch, threads, losses_out.data(), log_sums_out.data());
}

void gradients(const Matrix& queries, const Matrix& candidates, const std::optional<Vector>& bias,
               const std::optional<Keys>& keys, float temperature, const Vector& log_sums, const Vector& weights,
               const NewMatrix& of_queries, const NewMatrix& of_candidates, std::size_t threads) {
  const SoftmaxBatch batch = batch_of(queries, candidates, bias, keys, temperature);
  require(log_sums.shape(0) == batch.num_queries && weights.shape(0) == batch.num_queries,
          "`log_sums` and `weights` must have one value a query.");
  require(of_queries.shape(0) == batch.num_queries && of_queries.shape(1) == batch.dim &&
              of_candidates.shape(0) == batch.num_candidates && of_candidates.shape(1) == batch.dim,
          "`of_queries` and `of_candidates` must have the shapes of `queries` and `candidates`.");
  const nb::gil_scoped_release release;
  softmax_gradients(batch, log_sums.data(), weights.data(), threads, of_queries.data(), of_candidates.data());
}

}  // namespace

void bind_train(nb::module_& m) {
  m.def("softmax_losses", &losses, "queries"_a, "candidates"_a, "bias"_a.none(), "keys"_a.none(), "temperature"_a,
        "losses"_a, "log_sums"_a, "threads"_a = 0);
  m.def("softmax_gradients", &gradients, "queries"_a, "candidates"_a, "bias"_a.none(), "keys"_a.none(), "temperature"_a,
        "log_sums"_a, "weights"_a, "of_queries"_a, "of_candidates"_a, "threads"_a = 0);
}

}  // namespace shortlist::bindings
