// AVX-512 with VBMI and VNNI (Intel Ice Lake, AMD Zen 4 and later).
#include "kernels/avx512.h"

#include <immintrin.h>

#include "kernels/loops_f32.h"

namespace shortlist {
namespace {

struct Avx512 {
  using Sums = __m512i;

  static constexpr std::size_t kSumsInProgress = 4;

  static SHORTLIST_INLINE Sums splat(std::int32_t value) { return _mm512_set1_epi32(value); }
  static SHORTLIST_INLINE Sums plus(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
  static SHORTLIST_INLINE void store(std::int32_t* out, Sums sums) { _mm512_storeu_si512(out, sums); }
  static SHORTLIST_INLINE std::uint32_t at_least(Sums sums, std::int32_t threshold) {
    return _mm512_cmpge_epi32_mask(sums, _mm512_set1_epi32(threshold));
  }
  template <std::size_t kBlocks>
  static SHORTLIST_INLINE bool any_at_least(const Sums (&sums)[kBlocks], std::int32_t threshold) {
    Sums largest = sums[0];
#pragma GCC unroll 4
    for (std::size_t b = 1; b < kBlocks; ++b) largest = _mm512_max_epi32(largest, sums[b]);
    return at_least(largest, threshold) != 0;
  }
  // A compressing store is slow (microcode on Zen 4): compress in the register, store all sixteen.
  static SHORTLIST_INLINE std::size_t append(Sums sums, std::uint32_t mask, std::uint32_t first_row,
                                             std::uint32_t* rows, std::int32_t* kept_sums) {
    const auto kept = static_cast<__mmask16>(mask);
    const __m512i row = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first_row)),
                                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_si512(rows, _mm512_maskz_compress_epi32(kept, row));
    _mm512_storeu_si512(kept_sums, _mm512_maskz_compress_epi32(kept, sums));
    return static_cast<std::size_t>(__builtin_popcount(mask));
  }

  struct Int8 {
    using Query = std::int8_t;
    using Codes = __m512i;
    using Terms = __m512i;
    static constexpr std::size_t kQueryStep = 4;
    static constexpr std::size_t kRegisterSlices = 8;
    static constexpr std::size_t kBlocks = 4;
    static constexpr std::size_t kManyBlocks = 4;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) { return _mm512_loadu_si512(slice); }
    static SHORTLIST_INLINE Terms terms(const Query* query) {
      int four;
      __builtin_memcpy(&four, query, sizeof four);
      return _mm512_set1_epi32(four);
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return _mm512_setzero_si512(); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      return _mm512_dpbusd_epi32(sums, codes, terms);
    }
  };

  struct Code4 {
    using Query = std::uint8_t;
    struct Codes {
      __m512i low, high;  // places in the tables of codes 0..3 and 4..7
    };
    struct Terms {
      __m512i low, high;  // 64 table entries each
    };
    static constexpr std::size_t kQueryStep = kSliceTableBytes;
    static constexpr std::size_t kRegisterSlices = 1;
    static constexpr std::size_t kBlocks = 4;
    static constexpr std::size_t kManyBlocks = 4;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const __m512i bytes = _mm512_loadu_si512(slice);
      const __m512i nibble = _mm512_set1_epi8(0x0f);
      const __m512i quarter = _mm512_set1_epi32(0x30201000);
      constexpr int kAndThenOr = 0xEA;
      return {_mm512_ternarylogic_epi32(bytes, nibble, quarter, kAndThenOr),
              _mm512_ternarylogic_epi32(_mm512_srli_epi16(bytes, 4), nibble, quarter, kAndThenOr)};
    }
    static SHORTLIST_INLINE Terms terms(const Query* tables) {
      return {_mm512_loadu_si512(tables), _mm512_loadu_si512(tables + 64)};
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return _mm512_setzero_si512(); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      const __m512i ones = _mm512_set1_epi8(1);
      sums = _mm512_dpbusd_epi32(sums, _mm512_permutexvar_epi8(codes.low, terms.low), ones);
      return _mm512_dpbusd_epi32(sums, _mm512_permutexvar_epi8(codes.high, terms.high), ones);
    }
  };

  struct Int4 {
    using Query = std::int8_t;
    struct Codes {
      __m512i low, high;  // codes 0..3 and 4..7
    };
    struct Terms {
      __m512i low, high;
    };
    static constexpr std::size_t kQueryStep = 8;
    static constexpr std::size_t kRegisterSlices = 4;
    static constexpr std::size_t kBlocks = 4;
    static constexpr std::size_t kManyBlocks = 4;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const __m512i bytes = _mm512_loadu_si512(slice);
      const __m512i nibble = _mm512_set1_epi8(0x0f);
      return {_mm512_and_si512(bytes, nibble), _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble)};
    }
    static SHORTLIST_INLINE Terms terms(const Query* query) { return {Int8::terms(query), Int8::terms(query + 4)}; }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return _mm512_setzero_si512(); }
    static SHORTLIST_INLINE Sums add(Sums sums, Codes codes, Terms terms) {
      return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums, codes.low, terms.low), codes.high, terms.high);
    }
  };

  static constexpr std::size_t kTileBlocks = 2;
  static constexpr std::size_t kTileQueries = 8;

  using Floats = __m512;

  static SHORTLIST_INLINE Floats zero() { return _mm512_setzero_ps(); }
  static SHORTLIST_INLINE Floats broadcast(float value) { return _mm512_set1_ps(value); }
  static SHORTLIST_INLINE void store(float* out, Floats values) { _mm512_storeu_ps(out, values); }
  static SHORTLIST_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static SHORTLIST_INLINE Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  static SHORTLIST_INLINE Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static SHORTLIST_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static SHORTLIST_INLINE Floats floats(Sums sums) { return _mm512_cvtepi32_ps(sums); }
  static SHORTLIST_INLINE void max_at(Floats& best, Sums& at, Floats scores, Sums block) {
    const __mmask16 larger = _mm512_cmp_ps_mask(scores, best, _CMP_GT_OQ);
    best = _mm512_mask_mov_ps(best, larger, scores);
    at = _mm512_mask_mov_epi32(at, larger, block);
  }

  static SHORTLIST_INLINE Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static SHORTLIST_INLINE Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static SHORTLIST_INLINE void count_reaching(Sums& counts, Floats values, Floats threshold) {
    const __mmask16 reaching = _mm512_cmp_ps_mask(values, threshold, _CMP_GE_OQ);
    counts = _mm512_mask_add_epi32(counts, reaching, counts, _mm512_set1_epi32(1));
  }
  static SHORTLIST_INLINE std::int32_t total(Sums sums) { return _mm512_reduce_add_epi32(sums); }
  static SHORTLIST_INLINE std::size_t compact(float threshold, const float* scores, const std::uint32_t* rows,
                                              float* kept_scores, std::uint32_t* kept_rows) {
    const __m512 all_scores = _mm512_loadu_ps(scores);
    const __m512i all_rows = _mm512_loadu_si512(rows);
    const __mmask16 kept = _mm512_cmp_ps_mask(all_scores, _mm512_set1_ps(threshold), _CMP_GE_OQ);
    _mm512_storeu_ps(kept_scores, _mm512_maskz_compress_ps(kept, all_scores));
    _mm512_storeu_si512(kept_rows, _mm512_maskz_compress_epi32(kept, all_rows));
    return static_cast<std::size_t>(__builtin_popcount(kept));
  }

  static SHORTLIST_INLINE Floats load(const float* values) { return _mm512_loadu_ps(values); }
  static SHORTLIST_INLINE Floats load(const std::uint16_t* values) {
    return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
  }
  static SHORTLIST_INLINE Floats load(const std::int8_t* values) {
    return from_int8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
  }
  static SHORTLIST_INLINE __mmask16 first(std::size_t count) { return static_cast<__mmask16>((1u << count) - 1); }
  static SHORTLIST_INLINE Floats load_some(const float* values, std::size_t count) {
    return _mm512_maskz_loadu_ps(first(count), values);
  }
  static SHORTLIST_INLINE Floats load_some(const std::uint16_t* values, std::size_t count) {
    return from_bf16(_mm256_maskz_loadu_epi16(first(count), values));
  }
  static SHORTLIST_INLINE Floats load_some(const std::int8_t* values, std::size_t count) {
    return from_int8(_mm_maskz_loadu_epi8(first(count), values));
  }
  static SHORTLIST_INLINE Floats from_bf16(__m256i values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
  }
  static SHORTLIST_INLINE Floats from_int8(__m128i values) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values)); }

  static SHORTLIST_INLINE float fold(Floats values) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(values), _mm512_extractf32x8_ps(values, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace

constinit const Kernels kAvx512Kernels = kernels_of<Avx512>("avx512");

}  // namespace shortlist
