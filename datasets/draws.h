// What generators that draw pictures (generators.h) share: the pictures to draw on, and Draws, the random
// numbers of one of them, in the order they are asked for, as a function of the seed, the split and the
// point's number alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "datasets/generators.h"
#include "tensor/random.h"

namespace elbo {

/// Throws for no points, and for more than could be meant.
inline void check_points_to_draw(const std::string& name, int64_t points) {
  if (points < 1 || points > kMostGeneratedPoints)
    fail("[{}] cannot make {} points; ask for 1 to {}", name, points, kMostGeneratedPoints);
}

/// So many square pictures u8, yet to be drawn.
inline Dataset blank_pictures(const char* name, int64_t points, int64_t side, int64_t channels) {
  check_points_to_draw(name, points);
  Dataset data;
  data.name = name;
  data.height = data.width = side;
  data.channels = channels;
  data.x = Tensor::empty({points, side * side * channels}, DType::u8);
  return data;
}

/// Whose draws these are: the random key's step for the training split; the test split's is the next. Apart
/// from ppca_data.cpp's.
enum class Drawing : uint64_t { digits = 16, sprites = 18, faces = 20 };

class Draws {
 public:
  Draws(Drawing drawing, uint64_t seed, Split split, int64_t number)
      : key_{.seed = seed,
             .stream = kSynthesis,
             .step = static_cast<uint64_t>(drawing) + (split == Split::train ? 0 : 1)},
        group_(static_cast<uint32_t>(number) * kGroupsPerPoint) {}

  /// In (0, 1).
  float uniform() {
    if (used_ == 4) {
      block_ = random_block(key_, group_++);
      used_ = 0;
    }
    return to_unit<float>(block_.word[used_++]);
  }
  float between(float low, float high) { return low + (high - low) * uniform(); }
  /// One of 0..count-1.
  int below(int count) {
    return std::min(static_cast<int>(uniform() * static_cast<float>(count)), count - 1);
  }
  /// Standard normal, cut off at 2.5.
  float normal() {
    const float radius = std::sqrt(-2 * std::log(uniform()));
    const float z = radius * std::cos(static_cast<float>(2 * math::kPi) * uniform());
    return std::clamp(z, -2.5f, 2.5f);
  }

 private:
  static constexpr uint32_t kGroupsPerPoint = 64;
  RandomKey key_;
  uint32_t group_;
  PhiloxBlock block_{};
  int used_ = 4;
};

}  // namespace elbo
