// AVX2 with FMA (Intel Haswell, AMD Zen and later).
#include "kernels/avx2.h"

#include <immintrin.h>

#include "kernels/loops_f32.h"

namespace shortlist {
namespace {

SHORTLIST_INLINE __m256i load256(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

struct Avx2 {
  struct Sums {
    __m256i low, high;  // rows 0..7 and 8..15
  };

  static constexpr std::size_t kSumsInProgress = 1;

  static SHORTLIST_INLINE Sums splat(std::int32_t value) {
    return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)};
  }
  static SHORTLIST_INLINE Sums plus(Sums a, Sums b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
  }
  static SHORTLIST_INLINE void store(std::int32_t* out, Sums sums) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums.low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), sums.high);
  }
  static SHORTLIST_INLINE std::uint32_t signs(__m256i values) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(values)));
  }
  static SHORTLIST_INLINE std::uint32_t at_least(Sums sums, std::int32_t threshold) {
    const __m256i limit = _mm256_set1_epi32(threshold);
    return (signs(_mm256_cmpgt_epi32(limit, sums.low)) | signs(_mm256_cmpgt_epi32(limit, sums.high)) << 8) ^ 0xffffu;
  }
  template <std::size_t kCount>
  static SHORTLIST_INLINE bool any_at_least(const Sums (&sums)[kCount], std::int32_t threshold) {
    __m256i largest = _mm256_max_epi32(sums[0].low, sums[0].high);
#pragma GCC unroll 4
    for (std::size_t b = 1; b < kCount; ++b) {
      largest = _mm256_max_epi32(largest, _mm256_max_epi32(sums[b].low, sums[b].high));
    }
    return signs(_mm256_cmpgt_epi32(_mm256_set1_epi32(threshold), largest)) != 0xffu;
  }
  static SHORTLIST_INLINE std::size_t append(Sums sums, std::uint32_t mask, std::uint32_t first_row,
                                             std::uint32_t* rows, std::int32_t* kept_sums) {
    std::int32_t all[kBlockRows];
    store(all, sums);
    std::size_t kept = 0;
    for (; mask != 0; mask &= mask - 1, ++kept) {
      const auto j = static_cast<std::uint32_t>(__builtin_ctz(mask));
      rows[kept] = first_row + j;
      kept_sums[kept] = all[j];
    }
    return kept;
  }

  // `vpmaddubsw` saturates, so bytes are widened: the even and the odd bytes of a row's four, as 16-bit
  // values, are multiplied by the even and the odd values of the query.
  struct Int8 {
    using Query = std::int8_t;
    struct Codes {
      __m256i low_even, low_odd, high_even, high_odd;
    };
    struct Terms {
      __m256i even, odd;
    };
    static constexpr std::size_t kQueryStep = 4;
    static constexpr std::size_t kRegisterSlices = 0;
    static constexpr std::size_t kBlocks = 1;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const __m256i low = load256(slice);
      const __m256i high = load256(slice + 32);
      const __m256i even = _mm256_set1_epi16(0x00ff);
      return {_mm256_and_si256(low, even), _mm256_srli_epi16(low, 8), _mm256_and_si256(high, even),
              _mm256_srli_epi16(high, 8)};
    }
    static SHORTLIST_INLINE Terms terms(const Query* query) {
      int four;
      __builtin_memcpy(&four, query, sizeof four);
      const __m256i values = _mm256_set1_epi32(four);
      return {_mm256_srai_epi16(_mm256_slli_epi16(values, 8), 8), _mm256_srai_epi16(values, 8)};
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return splat(0); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      const __m256i low =
          _mm256_add_epi32(_mm256_madd_epi16(codes.low_even, terms.even), _mm256_madd_epi16(codes.low_odd, terms.odd));
      const __m256i high = _mm256_add_epi32(_mm256_madd_epi16(codes.high_even, terms.even),
                                            _mm256_madd_epi16(codes.high_odd, terms.odd));
      return {_mm256_add_epi32(sums.low, low), _mm256_add_epi32(sums.high, high)};
    }
  };

  // `vpshufb` looks up one table of sixteen entries in each half of a register, so the bytes of a code must
  // come together first: a transpose gives codes 0 | 1 and codes 2 | 3 of the sixteen rows, and in the high
  // nibbles 4 | 5 and 6 | 7. The rows stand in the order 0-3, 8-11, 4-7, 12-15, which the last step of `add`
  // undoes for nothing.
  struct Code4 {
    using Query = std::uint8_t;
    struct Codes {
      __m256i codes01, codes23, codes45, codes67;
    };
    struct Terms {
      __m256i table01, table23, table45, table67;
    };
    static constexpr std::size_t kQueryStep = kSliceTableBytes;
    static constexpr std::size_t kRegisterSlices = 1;
    static constexpr std::size_t kBlocks = 1;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const __m256i by_code =
          _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
      const __m256i nibble = _mm256_set1_epi8(0x0f);
      const __m256i low = _mm256_shuffle_epi8(load256(slice), by_code);
      const __m256i high = _mm256_shuffle_epi8(load256(slice + 32), by_code);
      const __m256i first = _mm256_permute4x64_epi64(_mm256_unpacklo_epi32(low, high), 0b11011000);
      const __m256i second = _mm256_permute4x64_epi64(_mm256_unpackhi_epi32(low, high), 0b11011000);
      return {_mm256_and_si256(first, nibble), _mm256_and_si256(second, nibble),
              _mm256_and_si256(_mm256_srli_epi16(first, 4), nibble),
              _mm256_and_si256(_mm256_srli_epi16(second, 4), nibble)};
    }
    static SHORTLIST_INLINE Terms terms(const Query* tables) {
      return {load256(tables), load256(tables + 32), load256(tables + 64), load256(tables + 96)};
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return splat(0); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      const __m256i entries01 = _mm256_shuffle_epi8(terms.table01, codes.codes01);
      const __m256i entries23 = _mm256_shuffle_epi8(terms.table23, codes.codes23);
      const __m256i entries45 = _mm256_shuffle_epi8(terms.table45, codes.codes45);
      const __m256i entries67 = _mm256_shuffle_epi8(terms.table67, codes.codes67);
      const __m256i ones = _mm256_set1_epi8(1);
      const __m256i left = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpacklo_epi8(entries01, entries23), ones),
                                            _mm256_maddubs_epi16(_mm256_unpacklo_epi8(entries45, entries67), ones));
      const __m256i right = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_unpackhi_epi8(entries01, entries23), ones),
                                             _mm256_maddubs_epi16(_mm256_unpackhi_epi8(entries45, entries67), ones));
      const __m256i total =
          _mm256_add_epi16(_mm256_permute2x128_si256(left, right, 0x20), _mm256_permute2x128_si256(left, right, 0x31));
      const __m256i zeros = _mm256_setzero_si256();
      return {_mm256_add_epi32(sums.low, _mm256_unpacklo_epi16(total, zeros)),
              _mm256_add_epi32(sums.high, _mm256_unpackhi_epi16(total, zeros))};
    }
  };

  // Codes are so small that neither two products of `vpmaddubsw` nor four added in 16 bits come near its limit.
  struct Int4 {
    using Query = std::int8_t;
    struct Codes {
      __m256i first_low, first_high, second_low, second_high;  // rows 0..7 and 8..15, codes 0..3 and 4..7
    };
    struct Terms {
      __m256i low, high;
    };
    static constexpr std::size_t kQueryStep = 8;
    static constexpr std::size_t kRegisterSlices = 0;
    static constexpr std::size_t kBlocks = 1;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const __m256i first = load256(slice);
      const __m256i second = load256(slice + 32);
      const __m256i nibble = _mm256_set1_epi8(0x0f);
      return {_mm256_and_si256(first, nibble), _mm256_and_si256(_mm256_srli_epi16(first, 4), nibble),
              _mm256_and_si256(second, nibble), _mm256_and_si256(_mm256_srli_epi16(second, 4), nibble)};
    }
    static SHORTLIST_INLINE Terms terms(const Query* query) {
      int fours[2];
      __builtin_memcpy(fours, query, sizeof fours);
      return {_mm256_set1_epi32(fours[0]), _mm256_set1_epi32(fours[1])};
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return splat(0); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      const __m256i ones = _mm256_set1_epi16(1);
      const __m256i first = _mm256_add_epi16(_mm256_maddubs_epi16(codes.first_low, terms.low),
                                             _mm256_maddubs_epi16(codes.first_high, terms.high));
      const __m256i second = _mm256_add_epi16(_mm256_maddubs_epi16(codes.second_low, terms.low),
                                              _mm256_maddubs_epi16(codes.second_high, terms.high));
      return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(first, ones)),
              _mm256_add_epi32(sums.high, _mm256_madd_epi16(second, ones))};
    }
  };

  static constexpr std::size_t kTileBlocks = 1;
  static constexpr std::size_t kTileQueries = 6;

  struct Floats {
    __m256 low, high;
  };

  static SHORTLIST_INLINE Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static SHORTLIST_INLINE Floats broadcast(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
  static SHORTLIST_INLINE void store(float* out, Floats values) {
    _mm256_storeu_ps(out, values.low);
    _mm256_storeu_ps(out + 8, values.high);
  }
  static SHORTLIST_INLINE Floats add(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  static SHORTLIST_INLINE Floats sub(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static SHORTLIST_INLINE Floats mul(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  static SHORTLIST_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static SHORTLIST_INLINE Floats floats(Sums sums) {
    return {_mm256_cvtepi32_ps(sums.low), _mm256_cvtepi32_ps(sums.high)};
  }
  static SHORTLIST_INLINE void max_at(__m256& best, __m256i& at, __m256 scores, __m256i block) {
    const __m256 larger = _mm256_cmp_ps(scores, best, _CMP_GT_OQ);
    best = _mm256_blendv_ps(best, scores, larger);
    at = _mm256_blendv_epi8(at, block, _mm256_castps_si256(larger));
  }
  static SHORTLIST_INLINE void max_at(Floats& best, Sums& at, Floats scores, Sums block) {
    max_at(best.low, at.low, scores.low, block.low);
    max_at(best.high, at.high, scores.high, block.high);
  }

  static SHORTLIST_INLINE Floats min(Floats a, Floats b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
  }
  static SHORTLIST_INLINE Floats max(Floats a, Floats b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static SHORTLIST_INLINE void count_reaching(Sums& counts, Floats values, Floats threshold) {
    const __m256 low = _mm256_cmp_ps(values.low, threshold.low, _CMP_GE_OQ);
    const __m256 high = _mm256_cmp_ps(values.high, threshold.high, _CMP_GE_OQ);
    counts.low = _mm256_sub_epi32(counts.low, _mm256_castps_si256(low));
    counts.high = _mm256_sub_epi32(counts.high, _mm256_castps_si256(high));
  }
  static SHORTLIST_INLINE std::int32_t total(Sums sums) {
    const __m256i eight = _mm256_add_epi32(sums.low, sums.high);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
  }
  static SHORTLIST_INLINE std::size_t compact(float threshold, const float* scores, const std::uint32_t* rows,
                                              float* kept_scores, std::uint32_t* kept_rows) {
    std::size_t kept = 0;
    for (std::size_t j = 0; j < kBlockRows; ++j) {
      const float score = scores[j];
      kept_scores[kept] = score;
      kept_rows[kept] = rows[j];
      kept += score >= threshold ? 1 : 0;
    }
    return kept;
  }

  static SHORTLIST_INLINE Floats load(const float* values) {
    return {_mm256_loadu_ps(values), _mm256_loadu_ps(values + 8)};
  }
  static SHORTLIST_INLINE Floats load(const std::uint16_t* values) {
    const auto* from = reinterpret_cast<const __m128i*>(values);
    return {from_bf16(_mm_loadu_si128(from)), from_bf16(_mm_loadu_si128(from + 1))};
  }
  static SHORTLIST_INLINE Floats load(const std::int8_t* values) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
    return {from_int8(bytes), from_int8(_mm_srli_si128(bytes, 8))};
  }
  template <class Value>
  static SHORTLIST_INLINE Floats load_some(const Value* values, std::size_t count) {
    Value all[16] = {};
    __builtin_memcpy(all, values, count * sizeof(Value));
    return load(all);
  }
  static SHORTLIST_INLINE __m256 from_bf16(__m128i values) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
  }
  static SHORTLIST_INLINE __m256 from_int8(__m128i values) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values)); }

  static SHORTLIST_INLINE float fold(Floats values) {
    const __m256 eight = _mm256_add_ps(values.low, values.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace

constinit const Kernels kAvx2Kernels = kernels_of<Avx2>("avx2");

}  // namespace shortlist
