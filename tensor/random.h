// Random numbers by counter: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
// 3").
//
// A draw is a pure function of (seed, member, stream, step, element): nothing is global, nothing is stored,
// any element can be drawn alone, in any order, on any device. The same integers come out on CPU and GPU, in
// f32 and f64, so a resumed run equals an unbroken one, and a member of an ensemble draws what it would draw
// alone.
//
//   RandomKey key{.seed = 7, .stream = kLatentNoise, .step = 12};
//   Tensor eps = normal({128, 200}, DType::f32, key);
#pragma once

#include "tensor/math.h"
#include "tensor/tensor.h"

namespace elbo {

/// What a draw is for; two uses that share seed and step must differ here.
enum StreamId : uint32_t {
  kInitialisation = 1,
  kLatentNoise = 2,
  kShuffle = 3,
  kDequantisation = 4,
  kSynthesis = 5,
  kSubset = 6,
  kEvaluation = 7,
  kTestInput = 8,
  kUnitNoise = 9,
};

struct RandomKey {
  uint64_t seed = 0;
  uint32_t member = 0;
  uint32_t stream = 0;
  uint64_t step = 0;
  /// If not null, counter_factor times the number there is added to the step at the time of the draw: so each
  /// replay of a captured training step draws new numbers. In device memory for draws on the GPU.
  const int64_t* counter = nullptr;
  uint64_t counter_factor = 1;
};

/// Four words from a counter and a key.
struct PhiloxBlock {
  uint32_t word[4];
};

ELBO_HD PhiloxBlock philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.word[2];
    const uint32_t high0 = static_cast<uint32_t>(product0 >> 32), low0 = static_cast<uint32_t>(product0);
    const uint32_t high1 = static_cast<uint32_t>(product1 >> 32), low1 = static_cast<uint32_t>(product1);
    counter = {{high1 ^ counter.word[1] ^ key0, low1, high0 ^ counter.word[3] ^ key1, low0}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The step at the time of the draw.
ELBO_HD uint64_t step_of(const RandomKey& key) {
  return key.step + (key.counter ? key.counter_factor * static_cast<uint64_t>(*key.counter) : 0);
}

/// The block that holds elements 4 * group .. 4 * group + 3 of a draw. The counter is (group, step, member
/// and stream); element counts stay below 2^34 and steps below 2^32.
ELBO_HD PhiloxBlock random_block(const RandomKey& key, uint32_t group) {
  const PhiloxBlock counter{{group, static_cast<uint32_t>(step_of(key)), key.member, key.stream}};
  return philox4x32(counter, static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32));
}

/// A word as a number in the open interval (0, 1): its upper 23 bits, centred in their cells. With one bit
/// more the largest would round to 1 in float; with 23, float and double get the same number.
template <class T>
ELBO_HD T to_unit(uint32_t word) {
  // Through int32_t: the conversion of signed integers is the one that vectorises.
  return static_cast<T>(static_cast<int32_t>(word >> 9)) * T(1.0 / 8388608) + T(0.5 / 8388608);
}

/// Two standard normals from two words (Box & Muller 1958).
template <class T>
ELBO_HD void to_normal_pair(uint32_t a, uint32_t b, T& first, T& second) {
  const T radius = math::sqrt(T(-2) * math::log(to_unit<T>(a)));
  T cosine, sine;
  math::cos_sin_turn(to_unit<T>(b), cosine, sine);
  first = radius * cosine;
  second = radius * sine;
}

/// Uniform draws in (0, 1), or standard normals, one per element, f32 or f64. With `members` > 1 the first
/// axis must have that size, and index m of it is what key.member + m draws alone. Throws when the step or
/// the number of elements is beyond what random_block can tell apart.
Tensor uniform(const Shape& shape, DType dtype, const RandomKey& key, int64_t members = 1,
               Device device = Device::cpu);
Tensor normal(const Shape& shape, DType dtype, const RandomKey& key, int64_t members = 1,
              Device device = Device::cpu);
/// Throws for a key's draw of so many elements where random_block would repeat those of another step.
void check_draw(const RandomKey& key, int64_t elements, const char* where);
/// The same draws into an existing tensor.
void fill_uniform(const Tensor& out, const RandomKey& key, int64_t members = 1);
void fill_normal(const Tensor& out, const RandomKey& key, int64_t members = 1);
/// Numbers `begin`..`begin + out.size() - 1` of a key's uniform sequence: a part of what `uniform` gives,
/// drawn alone.
void fill_uniform_from(std::span<float> out, const RandomKey& key, int64_t begin);
/// The same of its normal sequence, in the calling thread.
template <class T>
void fill_normal_from(std::span<T> out, const RandomKey& key, int64_t begin);

/// A permutation of 0..n-1 (i64), the same for a key whatever the thread count.
Tensor permutation(int64_t n, const RandomKey& key);

}  // namespace elbo
