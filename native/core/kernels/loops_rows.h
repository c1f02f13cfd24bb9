// The loops over stored rows that every vector level shares, one row after another; see loops.h for why all is
// in an anonymous namespace, and loops_f32.h for what `Ops` provides.
#pragma once

#include "kernels/loops.h"

namespace shortlist {
namespace {

template <class Ops>
struct DotTerm {
  SHORTLIST_INLINE typename Ops::Floats operator()(typename Ops::Floats row, typename Ops::Floats query) const {
    return Ops::mul(row, query);
  }
};

template <class Ops>
struct SquaredDifferenceTerm {
  SHORTLIST_INLINE typename Ops::Floats operator()(typename Ops::Floats row, typename Ops::Floats query) const {
    const typename Ops::Floats difference = Ops::sub(row, query);
    return Ops::mul(difference, difference);
  }
};

template <class Ops>
struct ScaledSquaredDifferenceTerm {
  typename Ops::Floats scale;

  SHORTLIST_INLINE typename Ops::Floats operator()(typename Ops::Floats row, typename Ops::Floats query) const {
    return SquaredDifferenceTerm<Ops>()(Ops::mul(scale, row), query);
  }
};

// The 32 partial sums of the specification, in the same order.
template <class Ops, class Term, class Value>
SHORTLIST_INLINE float sum_row(const Value* row, const float* query, std::size_t dim, const Term& term) {
  typename Ops::Floats low = Ops::zero();
  typename Ops::Floats high = Ops::zero();
  std::size_t i = 0;
  for (; i + 32 <= dim; i += 32) {
    low = Ops::add(low, term(Ops::load(row + i), Ops::load(query + i)));
    high = Ops::add(high, term(Ops::load(row + i + 16), Ops::load(query + i + 16)));
  }
  if (i + 16 <= dim) {
    low = Ops::add(low, term(Ops::load(row + i), Ops::load(query + i)));
    i += 16;
    if (i < dim) high = Ops::add(high, term(Ops::load_some(row + i, dim - i), Ops::load_some(query + i, dim - i)));
  } else if (i < dim) {
    low = Ops::add(low, term(Ops::load_some(row + i, dim - i), Ops::load_some(query + i, dim - i)));
  }
  return Ops::fold(Ops::add(low, high));
}

template <class Ops>
float dot(const float* a, const float* b, std::size_t dim) {
  return sum_row<Ops>(a, b, dim, DotTerm<Ops>());
}

// out[i] = score(row) of the rows in turn; those picked by index are fetched before, `bytes` of each.
template <class Fetch, class Score>
SHORTLIST_INLINE void score_rows(const std::uint32_t* indices, std::size_t num_rows, std::size_t bytes, float* out,
                                 Fetch fetch_row, Score score) {
  if (indices == nullptr) {  // the processor fetches consecutive rows by itself
    for (std::size_t i = 0; i < num_rows; ++i) out[i] = score(i);
    return;
  }
  // Enough rows ahead to hide memory, few enough to leave room for them among the outstanding misses. In a
  // table larger than the caches this took half off the time of rows of 64 bytes (25 to 12 ns), a third off
  // that of 192 bytes (45 to 29 ns), a seventh off that of 1,536 (153 to 130 ns).
  const std::size_t ahead = bytes <= 128 ? 16 : bytes <= 512 ? 8 : bytes <= 2048 ? 4 : 2;
  for (std::size_t i = 0; i < ahead && i < num_rows; ++i) fetch_row(indices[i]);
  for (std::size_t i = 0; i < num_rows; ++i) {
    if (i + ahead < num_rows) fetch_row(indices[i + ahead]);
    out[i] = score(indices[i]);
  }
}

template <class Ops, class Term, class Value>
void sum_rows(const Value* rows, std::size_t stride, const std::uint32_t* indices, std::size_t num_rows,
              const float* query, std::size_t dim, float* out) {
  const std::size_t bytes = dim * sizeof(Value);
  const auto fetch_row = [=](std::size_t row) __attribute__((always_inline)) { fetch(rows + row * stride, bytes); };
  const auto score = [=](std::size_t row) __attribute__((always_inline)) {
    return sum_row<Ops>(rows + row * stride, query, dim, Term());
  };
  score_rows(indices, num_rows, bytes, out, fetch_row, score);
}

// Scores rows that have a scale each: `score(values, scale)`.
template <class Score>
SHORTLIST_INLINE void score_scaled_rows(const std::int8_t* rows, const float* scales, std::size_t stride,
                                        const std::uint32_t* indices, std::size_t num_rows, std::size_t dim, float* out,
                                        Score score) {
  const auto fetch_row = [=](std::size_t row) __attribute__((always_inline)) {
    fetch(rows + row * stride, dim);
    __builtin_prefetch(scales + row);
  };
  const auto score_row = [=](std::size_t row)
                             __attribute__((always_inline)) { return score(rows + row * stride, scales[row]); };
  score_rows(indices, num_rows, dim, out, fetch_row, score_row);
}

template <class Ops>
void dot_rows_int8(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                   std::size_t num_rows, const float* query, std::size_t dim, float* out) {
  const auto score = [=](const std::int8_t* row, float scale) __attribute__((always_inline)) {
    return scale * sum_row<Ops>(row, query, dim, DotTerm<Ops>());
  };
  score_scaled_rows(rows, scales, stride, indices, num_rows, dim, out, score);
}

template <class Ops>
void l2_rows_int8(const std::int8_t* rows, const float* scales, std::size_t stride, const std::uint32_t* indices,
                  std::size_t num_rows, const float* query, std::size_t dim, float* out) {
  const auto score = [=](const std::int8_t* row, float scale) __attribute__((always_inline)) {
    return sum_row<Ops>(row, query, dim, ScaledSquaredDifferenceTerm<Ops>{Ops::broadcast(scale)});
  };
  score_scaled_rows(rows, scales, stride, indices, num_rows, dim, out, score);
}

}  // namespace
}  // namespace shortlist
