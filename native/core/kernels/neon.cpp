// NEON with the dot product instructions (ARMv8.2 and later: Apple M1, AWS Graviton 2, Raspberry Pi 5). Older
// processors use the scalar level.
#include "kernels/neon.h"

#include <arm_neon.h>

#include "kernels/loops_f32.h"

namespace shortlist {
namespace {

struct Neon {
  struct Sums {
    int32x4_t part[4];
  };

  static constexpr std::size_t kSumsInProgress = 1;

  static SHORTLIST_INLINE Sums splat(std::int32_t value) {
    const int32x4_t four = vdupq_n_s32(value);
    return {{four, four, four, four}};
  }
  static SHORTLIST_INLINE Sums plus(Sums a, Sums b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vaddq_s32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE void store(std::int32_t* out, Sums sums) {
    for (std::size_t p = 0; p < 4; ++p) vst1q_s32(out + 4 * p, sums.part[p]);
  }
  static SHORTLIST_INLINE std::uint32_t at_least(Sums sums, std::int32_t threshold) {
    const int32x4_t limit = vdupq_n_s32(threshold);
    const auto narrow = [&](std::size_t p) __attribute__((always_inline)) {
      return vmovn_u16(
          vcombine_u16(vmovn_u32(vcgeq_s32(sums.part[p], limit)), vmovn_u32(vcgeq_s32(sums.part[p + 1], limit))));
    };
    const uint8x8_t bits = vcreate_u8(0x8040201008040201u);
    return vaddv_u8(vand_u8(narrow(0), bits)) | static_cast<std::uint32_t>(vaddv_u8(vand_u8(narrow(2), bits))) << 8;
  }
  template <std::size_t kCount>
  static SHORTLIST_INLINE bool any_at_least(const Sums (&sums)[kCount], std::int32_t threshold) {
    int32x4_t largest = sums[0].part[0];
#pragma GCC unroll 4
    for (std::size_t b = 0; b < kCount; ++b) {
#pragma GCC unroll 4
      for (std::size_t p = 0; p < 4; ++p) largest = vmaxq_s32(largest, sums[b].part[p]);
    }
    return vmaxvq_s32(largest) >= threshold;
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

  // The dot product instruction wants both sides signed: a stored byte less 128, made up for at the start.
  struct Int8 {
    using Query = std::int8_t;
    struct Codes {
      int8x16_t part[4];
    };
    using Terms = int8x16_t;
    static constexpr std::size_t kQueryStep = 4;
    static constexpr std::size_t kRegisterSlices = 8;
    static constexpr std::size_t kBlocks = 2;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      Codes codes;
      for (std::size_t p = 0; p < 4; ++p) {
        codes.part[p] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(slice + 16 * p), vdupq_n_u8(0x80)));
      }
      return codes;
    }
    static SHORTLIST_INLINE Terms terms(const Query* query) {
      std::int32_t four;
      __builtin_memcpy(&four, query, sizeof four);
      return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
    static SHORTLIST_INLINE Sums start(const Query* query, std::size_t slices) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < 4 * slices; ++i) sum += query[i];
      return splat(128 * sum);
    }
    static SHORTLIST_INLINE Sums add(Sums sums, const Codes& codes, Terms terms) {
      for (std::size_t p = 0; p < 4; ++p) sums.part[p] = vdotq_s32(sums.part[p], codes.part[p], terms);
      return sums;
    }
  };

  struct Code4 {
    using Query = std::uint8_t;
    struct Codes {
      uint8x16_t low[4], high[4];  // places in the tables of codes 0..3 and 4..7
    };
    struct Terms {
      uint8x16x4_t low, high;  // 64 table entries each
    };
    static constexpr std::size_t kQueryStep = kSliceTableBytes;
    static constexpr std::size_t kRegisterSlices = 1;
    static constexpr std::size_t kBlocks = 1;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 2;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      const uint8x16_t quarter = vreinterpretq_u8_u32(vdupq_n_u32(0x30201000u));
      Codes codes;
      for (std::size_t p = 0; p < 4; ++p) {
        const uint8x16_t bytes = vld1q_u8(slice + 16 * p);
        codes.low[p] = vorrq_u8(vandq_u8(bytes, vdupq_n_u8(0x0f)), quarter);
        codes.high[p] = vorrq_u8(vshrq_n_u8(bytes, 4), quarter);
      }
      return codes;
    }
    static SHORTLIST_INLINE Terms terms(const Query* tables) {
      const auto quarter = [tables](std::size_t i) __attribute__((always_inline)) { return vld1q_u8(tables + 16 * i); };
      return {{{quarter(0), quarter(1), quarter(2), quarter(3)}}, {{quarter(4), quarter(5), quarter(6), quarter(7)}}};
    }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return splat(0); }
    static SHORTLIST_INLINE Sums add(Sums sums, const Codes& codes, const Terms& terms) {
      const uint8x16_t ones = vdupq_n_u8(1);
      for (std::size_t p = 0; p < 4; ++p) {
        uint32x4_t sum = vreinterpretq_u32_s32(sums.part[p]);
        sum = vdotq_u32(sum, vqtbl4q_u8(terms.low, codes.low[p]), ones);
        sum = vdotq_u32(sum, vqtbl4q_u8(terms.high, codes.high[p]), ones);
        sums.part[p] = vreinterpretq_s32_u32(sum);
      }
      return sums;
    }
  };

  struct Int4 {
    using Query = std::int8_t;
    struct Codes {
      int8x16_t low[4], high[4];  // codes 0..3 and 4..7
    };
    struct Terms {
      int8x16_t low, high;
    };
    static constexpr std::size_t kQueryStep = 8;
    static constexpr std::size_t kRegisterSlices = 4;
    static constexpr std::size_t kBlocks = 1;
    static constexpr std::size_t kManyBlocks = 1;
    static constexpr std::size_t kManyQueries = 4;

    static SHORTLIST_INLINE Codes load(const std::uint8_t* slice) {
      Codes codes;
      for (std::size_t p = 0; p < 4; ++p) {
        const uint8x16_t bytes = vld1q_u8(slice + 16 * p);
        codes.low[p] = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(0x0f)));
        codes.high[p] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
      }
      return codes;
    }
    static SHORTLIST_INLINE Terms terms(const Query* query) { return {Int8::terms(query), Int8::terms(query + 4)}; }
    static SHORTLIST_INLINE Sums start(const Query*, std::size_t) { return splat(0); }
    static SHORTLIST_INLINE Sums add(Sums sums, const Codes& codes, const Terms& terms) {
      for (std::size_t p = 0; p < 4; ++p) {
        sums.part[p] = vdotq_s32(sums.part[p], codes.low[p], terms.low);
        sums.part[p] = vdotq_s32(sums.part[p], codes.high[p], terms.high);
      }
      return sums;
    }
  };

  static constexpr std::size_t kTileBlocks = 1;
  static constexpr std::size_t kTileQueries = 6;

  struct Floats {
    float32x4_t part[4];
  };

  static SHORTLIST_INLINE Floats zero() { return broadcast(0.0f); }
  static SHORTLIST_INLINE Floats broadcast(float value) {
    const float32x4_t four = vdupq_n_f32(value);
    return {{four, four, four, four}};
  }
  static SHORTLIST_INLINE void store(float* out, Floats values) {
    for (std::size_t p = 0; p < 4; ++p) vst1q_f32(out + 4 * p, values.part[p]);
  }
  static SHORTLIST_INLINE Floats add(Floats a, Floats b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vaddq_f32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE Floats sub(Floats a, Floats b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vsubq_f32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE Floats mul(Floats a, Floats b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vmulq_f32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE Floats fma(Floats a, Floats b, Floats c) {
    for (std::size_t p = 0; p < 4; ++p) c.part[p] = vfmaq_f32(c.part[p], a.part[p], b.part[p]);
    return c;
  }
  static SHORTLIST_INLINE Floats floats(const Sums& sums) {
    Floats converted;
    for (std::size_t p = 0; p < 4; ++p) converted.part[p] = vcvtq_f32_s32(sums.part[p]);
    return converted;
  }
  static SHORTLIST_INLINE void max_at(Floats& best, Sums& at, Floats scores, Sums block) {
    for (std::size_t p = 0; p < 4; ++p) {
      const uint32x4_t larger = vcgtq_f32(scores.part[p], best.part[p]);
      best.part[p] = vbslq_f32(larger, scores.part[p], best.part[p]);
      at.part[p] = vbslq_s32(larger, block.part[p], at.part[p]);
    }
  }

  static SHORTLIST_INLINE Floats min(Floats a, Floats b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vminq_f32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE Floats max(Floats a, Floats b) {
    for (std::size_t p = 0; p < 4; ++p) a.part[p] = vmaxq_f32(a.part[p], b.part[p]);
    return a;
  }
  static SHORTLIST_INLINE void count_reaching(Sums& counts, Floats values, Floats threshold) {
    for (std::size_t p = 0; p < 4; ++p) {
      const int32x4_t reaching = vreinterpretq_s32_u32(vcgeq_f32(values.part[p], threshold.part[p]));
      counts.part[p] = vsubq_s32(counts.part[p], reaching);
    }
  }
  static SHORTLIST_INLINE std::int32_t total(Sums sums) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(sums.part[0], sums.part[1]), vaddq_s32(sums.part[2], sums.part[3])));
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
    return {{vld1q_f32(values), vld1q_f32(values + 4), vld1q_f32(values + 8), vld1q_f32(values + 12)}};
  }
  static SHORTLIST_INLINE Floats load(const std::uint16_t* values) {
    const auto widen = [values](std::size_t p) __attribute__((always_inline)) {
      return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(values + 4 * p), 16));
    };
    return {{widen(0), widen(1), widen(2), widen(3)}};
  }
  static SHORTLIST_INLINE Floats load(const std::int8_t* values) {
    const int8x16_t bytes = vld1q_s8(values);
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  template <class Value>
  static SHORTLIST_INLINE Floats load_some(const Value* values, std::size_t count) {
    Value all[16] = {};
    __builtin_memcpy(all, values, count * sizeof(Value));
    return load(all);
  }

  static SHORTLIST_INLINE float fold(Floats values) {
    const float32x4_t four =
        vaddq_f32(vaddq_f32(values.part[0], values.part[2]), vaddq_f32(values.part[1], values.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
};

}  // namespace

constinit const Kernels kNeonKernels = kernels_of<Neon>("neon");

}  // namespace shortlist
