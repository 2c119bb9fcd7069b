// Drawn faces: shapes and shading painted over each other from back to front, each a smooth function of a few
// factors. What is skin or hair is lit as a curved surface, so that the light's direction shows everywhere.
#include <array>
#include <cmath>

#include "datasets/canvas.h"
#include "datasets/draws.h"
#include "datasets/generators.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int kSide = 64, kSamples = 2;
constexpr int64_t kPixels = kSide * kSide * 3;
constexpr int64_t kBins = 20;

enum Factor {
  kBackground,
  kClothes,
  kSkin,
  kFaceWidth,
  kHairColour,
  kHairLength,
  kEyeSize,
  kEyeSpacing,
  kEyeColour,
  kGaze,
  kBrows,
  kSmile,
  kMouth,
  kPosition,
  kTilt,
  kLight,
  kFactors
};
const std::vector<std::string> kNames{
    "background", "clothes", "skin",  "face_width", "hair_colour", "hair_length", "eye_size", "eye_spacing",
    "eye_colour", "gaze",    "brows", "smile",      "mouth",       "position",    "tilt",     "light"};

/// The colour at t in 0..1 on a way through evenly spaced ones.
template <size_t N>
Colour along(const std::array<Colour, N>& way, float t) {
  const float place = std::clamp(t, 0.0f, 1.0f) * static_cast<float>(N - 1);
  const size_t step = std::min(static_cast<size_t>(place), N - 2);
  return mix(way[step], way[step + 1], place - static_cast<float>(step));
}

constexpr std::array<Colour, 4> kSkins{
    {{0.36f, 0.22f, 0.15f}, {0.62f, 0.41f, 0.28f}, {0.87f, 0.65f, 0.50f}, {0.98f, 0.83f, 0.73f}}};
constexpr std::array<Colour, 6> kHairs{{{0.08f, 0.06f, 0.06f},
                                        {0.25f, 0.14f, 0.08f},
                                        {0.52f, 0.25f, 0.10f},
                                        {0.74f, 0.46f, 0.18f},
                                        {0.92f, 0.78f, 0.46f},
                                        {0.86f, 0.86f, 0.86f}}};
constexpr std::array<Colour, 4> kIrises{
    {{0.22f, 0.12f, 0.06f}, {0.45f, 0.28f, 0.10f}, {0.25f, 0.45f, 0.25f}, {0.25f, 0.50f, 0.75f}}};

struct Direction {
  float x, y, z;
};

/// One face on a canvas. Its own coordinates (u, v) start between the eyes and the nose, in pixels, and turn
/// with the head.
class Face {
 public:
  Face(const double* factors, Canvas& canvas) : canvas_(canvas) {
    for (size_t i = 0; i < kFactors; ++i) f_[i] = static_cast<float>(factors[i]);
    half_width_ = range(kFaceWidth, 12.2f, 16.2f);
    skin_ = along(kSkins, f_[kSkin]);
    hair_ = along(kHairs, f_[kHairColour]);
    const float side = range(kLight, -0.85f, 0.85f), length = norm(side, 0.45f, 0.75f);
    light_ = {side / length, -0.45f / length, 0.75f / length};
    centre_x_ = 32 + range(kPosition, -6, 6);
    const float angle = range(kTilt, -0.26f, 0.26f);
    cosine_ = std::cos(angle);
    sine_ = std::sin(angle);
  }

  void draw() {
    background();
    clothes();
    back_hair();
    neck();
    ears();
    face();
    for (const float side : {-1.0f, 1.0f}) eye(side);
    nostrils();
    mouth();
    front_hair();
    for (const float side : {-1.0f, 1.0f}) brow(side);
  }

 private:
  static constexpr float kHalfHeight = 18.5f, kCentreY = 32, kPivotY = 52;

  float range(Factor factor, float low, float high) const { return low + (high - low) * f_[factor]; }

  /// From red to magenta, and not on to red again: a factor has two ends.
  float hue(Factor factor) const { return 0.85f * f_[factor]; }

  /// Calls f(u, v).
  template <class F>
  auto in_face(const F& f) const {
    return [this, f](float x, float y) {
      const float dx = x - centre_x_, dy = y - kPivotY;
      return f(cosine_ * dx + sine_ * dy, cosine_ * dy - sine_ * dx + kPivotY - kCentreY);
    };
  }
  /// Paints in the face's coordinates, within `reach` pixels of (u, v).
  template <class Shape, class Paint>
  void paint(float u, float v, float reach, const Shape& shape, const Paint& colour, float strength = 1) {
    const float down = v - (kPivotY - kCentreY);
    const float x = centre_x_ + cosine_ * u - sine_ * down, y = kPivotY + sine_ * u + cosine_ * down;
    canvas_.paint({x - reach, y - reach, x + reach, y + reach}, in_face(shape), in_face(colour), strength);
  }

  /// How bright a surface is that bulges like an ellipsoid, at a place given in its half axes.
  float lit(float x, float y) const {
    const float z = std::sqrt(std::max(1 - x * x - y * y, 0.05f)), length = norm(x, y, z);
    return std::max((light_.x * x + light_.y * y + light_.z * z) / length, 0.0f);
  }

  void background() {
    const Colour bright = from_hue(hue(kBackground), 0.30f, 0.90f),
                 dark = from_hue(hue(kBackground), 0.46f, 0.52f);
    canvas_.paint(
        {0, 0, kSide, kSide}, [](float, float) { return -1.0f; },
        [&](float x, float y) {
          const float away = norm(x - 32 - 26 * light_.x, y - 20) / 58;
          return mix(bright, dark, smooth_step(0, 1, away));
        });
  }

  void clothes() {
    const float x0 = 32 + 0.6f * (centre_x_ - 32);
    const Colour cloth = from_hue(hue(kClothes), 0.55f, 0.62f);
    canvas_.paint(
        {0, 46, kSide, kSide}, [&](float x, float y) { return rounded_box(x - x0, y - 72, 25, 19.5f, 13); },
        [&](float x, float y) {
          const float shade = 0.55f + 0.6f * lit((x - x0) / 34, (y - 74) / 32);
          const float collar = smooth_step(1.0f, 0.2f, std::abs(ellipse(x - x0, y - 52.5f, 9, 6.5f) - 0.8f));
          return (shade * (1 - 0.25f * collar)) * cloth;
        });
  }

  Colour hair_at(float u, float v) const {
    const float x = u / (half_width_ + 6), y = (v + 4) / 26;
    const float diffuse = lit(x, std::min(y, 0.6f));
    const float strands = 0.06f * std::sin(2.6f * u + 0.25f * v) + 0.04f * std::sin(1.1f * u - 0.4f * v + 1);
    const float glint = bell((x - 0.45f * light_.x) / 0.42f, (y + 0.52f) / 0.16f);
    return (0.55f + 0.55f * diffuse + strands) * hair_ + (0.16f * glint) * Colour{1, 0.95f, 0.85f};
  }

  void back_hair() {
    const float length = range(kHairLength, -4, 30), width = half_width_ + 4.2f;
    paint(
        0, 4, 40,
        [=](float u, float v) {
          const float cap = ellipse(u, v + 4, width, kHalfHeight - 0.5f);
          // Tapers where it is short, so that short hair ends at the nape.
          const float wide = width - 2.5f * smooth_step(10, -4, length);
          const float fall = rounded_box(u, v - length / 2 + 3, wide, std::max(length / 2 + 3, 1.0f), 5);
          return std::min(cap, length > 0 ? fall : cap);
        },
        [this](float u, float v) { return 0.72f * hair_at(u, v); });
  }

  void neck() {
    const float x0 = 32 + 0.6f * (centre_x_ - 32), lean = 0.4f * (centre_x_ - 32);
    const auto place = [=](float y) { return x0 + lean * smooth_step(58, 44, y); };
    const auto colour = [&](float x, float y) {
      const float shadow = smooth_step(57, 46, y);
      return ((0.5f + 0.5f * lit((x - place(y)) / 9, 0.1f)) * (1 - 0.4f * shadow)) * skin_;
    };
    canvas_.paint(
        {8, 40, 56, 62}, [&](float x, float y) { return rounded_box(x - place(y), y - 48, 6.4f, 11, 4); },
        colour);
    canvas_.paint(
        {8, 48, 56, 62},
        [&](float x, float y) { return std::max(ellipse(x - x0, y - 52.5f, 9, 6.5f), 52 - y); }, colour);
  }

  Colour skin_at(float u, float v, float brightness) const {
    // Shadows on skin are redder than light on it.
    const Colour shadow{0.52f * skin_.r, 0.38f * skin_.g, 0.36f * skin_.b};
    const Colour bright = 1.06f * skin_ + Colour{0.03f, 0.03f, 0.03f};
    const float cheek = bell((std::abs(u) - 0.58f * half_width_) / 3.6f, (v - 5.5f) / 3.2f);
    const Colour flushed = mix(bright, {0.93f * bright.r, 0.58f * bright.g, 0.56f * bright.b}, 0.42f * cheek);
    return mix(shadow, flushed, brightness);
  }

  void ears() {
    for (const float side : {-1.0f, 1.0f}) {
      const float u0 = side * (half_width_ + 0.3f);
      paint(
          u0, 1, 7, [=](float u, float v) { return ellipse(u - u0, v - 1, 2.4f, 4.2f); },
          [=, this](float u, float v) {
            const float hollow = bell((u - u0) / 1.2f, (v - 1) / 2.4f);
            return skin_at(0, 0, 0.35f + 0.4f * lit(side * 0.75f, 0) - 0.25f * hollow);
          });
    }
  }

  /// Wide at the cheekbones and narrower towards the chin.
  float outline(float u, float v) const {
    const float narrow = 1 - 0.24f * smooth_step(1, kHalfHeight, v);
    return ellipse(u / narrow, v, half_width_, kHalfHeight);
  }

  /// What stands out of the face's ellipsoid or lies in it.
  float relief(float u, float v) const {
    const float ridge =
        2.6f * bell(u / (1.5f + 0.09f * (v + 4)), 0) * smooth_step(-5, 5, v) * smooth_step(9.5f, 6, v);
    const float tip = 1.1f * bell(u / 2.0f, (v - 5.6f) / 1.8f);
    const float s = spacing();
    const float sockets = -1.5f * bell((std::abs(u) - s) / 3.4f, (v + 2.5f) / 2.6f);
    const float lips = 0.8f * bell(u / 4.5f, (v - 11.5f) / 2.4f),
                chin = 0.9f * bell(u / 3.5f, (v - 16) / 1.8f);
    return ridge + tip + sockets + lips + chin;
  }

  void face() {
    paint(
        0, 0, 24, [this](float u, float v) { return outline(u, v); },
        [this](float u, float v) {
          constexpr float kStep = 0.5f;
          const float here = relief(u - kStep / 2, v - kStep / 2);
          const float across = (relief(u + kStep / 2, v - kStep / 2) - here) / kStep;
          const float down = (relief(u - kStep / 2, v + kStep / 2) - here) / kStep;
          const float x = 0.92f * u / half_width_, y = 0.85f * v / kHalfHeight;
          const float z = std::sqrt(std::max(1 - x * x - y * y, 0.08f));
          const Direction n{x - 0.55f * across, y - 0.55f * down, z};
          const float length = norm(n.x, n.y, n.z);
          const float diffuse = std::max((light_.x * n.x + light_.y * n.y + light_.z * n.z) / length, 0.0f);
          // Under the hair it is darker.
          const float covered = smooth_step(-10, -15, v);
          const Colour colour = skin_at(u, v, (0.22f + 0.88f * diffuse) * (1 - 0.35f * covered));
          const float shine = std::pow(diffuse, 24.0f);
          return colour + (0.10f * shine) * Colour{1, 1, 1};
        });
  }

  float spacing() const { return range(kEyeSpacing, 5.1f, 7.9f); }
  float eye_width() const { return range(kEyeSize, 2.5f, 4.1f); }
  float eye_height() const { return range(kEyeSize, 1.25f, 2.7f); }
  static constexpr float kEyeV = -1.5f;

  void eye(float side) {
    const float u0 = side * spacing(), w = eye_width(), h = eye_height();
    const auto lens = [=](float u, float v) {
      const float t = (u - u0) / w;
      return (std::abs(v - kEyeV) - h * (1 - t * t)) / std::sqrt(1 + 4 * h * h * t * t / (w * w));
    };
    const auto white = [=](float, float v) {
      return (0.80f + 0.17f * smooth_step(-h, 0.4f * h, v - kEyeV)) * Colour{1, 0.99f, 0.97f};
    };
    paint(u0, kEyeV, w + 2, lens, white);
    const Colour iris = along(kIrises, f_[kEyeColour]);
    const float radius = 0.92f * std::sqrt(h * 1.9f), iu = u0 + range(kGaze, -0.5f, 0.5f) * (w - 0.3f),
                iv = kEyeV - 0.1f;
    const auto disc = [=](float at_u, float at_v, float r) {
      return [=](float u, float v) { return std::max(norm(u - at_u, v - at_v) - r, lens(u, v)); };
    };
    const auto plain = [](Colour colour) { return [colour](float, float) { return colour; }; };
    paint(iu, iv, radius + 2, disc(iu, iv, radius), [=](float u, float v) {
      const float out = norm(u - iu, v - iv) / radius;
      return (1.15f - 0.5f * out * out + 0.25f * (v - iv) / radius) * iris;
    });
    paint(iu, iv, radius + 2, disc(iu, iv, 0.5f * radius), plain({0.03f, 0.02f, 0.03f}));
    const float glint_u = iu + 0.45f * radius * light_.x * 1.3f, glint_v = iv - 0.4f * radius;
    paint(glint_u, glint_v, 2, disc(glint_u, glint_v, 0.42f), plain({1, 1, 1}), 0.9f);
    // Lashes, thicker outwards, and the lower lid.
    const Colour lash = mix(0.25f * hair_, {0.10f, 0.05f, 0.04f}, 0.6f);
    const auto lid = [=](float thickness, float sign) {
      return [=](float u, float v) {
        const float t = (u - u0) / w, edge = kEyeV + sign * h * (1 - t * t);
        const float wide = thickness * (1 + 0.45f * side * t);
        return std::max(std::abs(v - edge) / std::sqrt(1 + 4 * h * h * t * t / (w * w)) - wide,
                        std::abs(u - u0) - w - 0.3f);
      };
    };
    paint(u0, kEyeV, w + 3, lid(0.5f, -1), plain(lash), 0.92f);
    paint(u0, kEyeV, w + 3, lid(0.22f, 1), plain(0.45f * skin_), 0.6f);
    // The fold above the lid.
    const auto fold = [=](float u, float v) {
      const float t = (u - u0) / (w + 0.6f), edge = kEyeV - 1.1f - h * (1 - t * t);
      return std::max(std::abs(v - edge) - 0.25f, std::abs(u - u0) - w);
    };
    paint(u0, kEyeV - 1, w + 3, fold, plain(0.5f * skin_), 0.45f);
  }

  void brow(float side) {
    const float raise = f_[kBrows], u0 = side * (spacing() + 0.4f), w = eye_width() + 1.1f;
    const float v0 = kEyeV - eye_height() - 2.2f - 1.6f * raise;
    const Colour colour = 0.62f * hair_ + Colour{0.02f, 0.01f, 0.0f};
    paint(
        u0, v0, w + 3,
        [=](float u, float v) {
          const float t = side * (u - u0) / w;  // 1 at the temple
          const float middle = v0 + 0.9f * t * t + (1.5f * raise - 1.1f) * (-t) * 0.9f;
          return std::max(std::abs(v - middle) - (0.85f - 0.3f * t), std::abs(t) * w - w);
        },
        [=](float, float) { return colour; }, 0.88f);
  }

  void nostrils() {
    for (const float side : {-1.0f, 1.0f})
      paint(
          1.6f * side, 7.3f, 3,
          [=](float u, float v) { return ellipse(u - 1.6f * side, v - 7.3f, 0.95f, 0.5f); },
          [this](float, float) { return 0.38f * skin_; }, 0.7f);
  }

  void mouth() {
    constexpr float kV = 12.0f;
    const float smile = range(kSmile, -0.55f, 1.2f), open = std::max(range(kMouth, -1.2f, 4.6f), 0.0f);
    const float w = 4.6f + 1.3f * std::max(smile, 0.0f) - 0.22f * open;
    // The line between the lips, and how far the mouth opens above and below it.
    const auto shape = [=](float up, float down) {
      return [=](float u, float v) {
        const float t = std::min(std::abs(u) / w, 1.0f), bow = 1 - t * t;
        const float line = kV + 1.7f * smile * (bow - 0.55f);
        const float slope = 2 * t / w * (1.7f * std::abs(smile) + std::max(up, down));
        const float over = std::max(line - up * bow - v, v - line - down * bow);
        return std::max(over / std::sqrt(1 + slope * slope), std::abs(u) - w);
      };
    };
    const Colour lip = mix(skin_, {0.74f, 0.22f, 0.25f}, 0.58f);
    const auto lips = [=, this](float u, float v) {
      return (0.78f + 0.3f * bell((u - 2 * light_.x) / 4, (v - kV - open - 0.8f) / 1.2f)) * lip;
    };
    const float up = 0.25f * open, down = 0.75f * open;
    paint(0, kV, 11, shape(1.15f + up, 1.7f + down), lips);
    paint(0, kV, 11, shape(0.22f + up, 0.22f + down), [=](float u, float v) {
      const Colour dark{0.24f, 0.06f, 0.07f}, tongue{0.66f, 0.27f, 0.28f}, teeth{0.95f, 0.94f, 0.90f};
      const Colour deep =
          mix(dark, tongue, 0.8f * bell(u / 2.6f, (v - kV - down - 0.5f) / 1.2f) * smooth_step(1, 3, open));
      const float bite = smooth_step(0.6f, 0.1f, v - (kV + 1.7f * smile * 0.3f + 0.35f * open - up));
      return mix(deep, teeth, bite * smooth_step(0.5f, 1.6f, open));
    });
  }

  /// A cap on the skull with the face cut out of it, parted on one side.
  void front_hair() {
    const float width = half_width_ + 2.6f, length = range(kHairLength, -4, 30);
    const float strand = smooth_step(2, 22, length);
    paint(
        0, 0, 30,
        [=, this](float u, float v) {
          const float cap =
              std::max(ellipse(u, v + 3.2f, width, kHalfHeight - 0.2f), v - 1.5f + 0.05f * std::abs(u));
          // Long hair comes down beside the cheeks.
          const float side = std::max(ellipse(u, v - 2, width + 1.2f, 22.0f), v - (1 + 17 * strand));
          const float whole = strand > 0.02f ? std::min(cap, side) : cap;
          if (whole > 1) return whole;
          const float swept = u + 4.5f;
          const float forehead = std::max(ellipse(u, v - 5, half_width_ - 0.3f - 1.4f * strand, 18.0f),
                                          -11.2f - v + 0.022f * swept * swept);
          const float below = ellipse(u, v - 6, half_width_ - 0.3f - 1.4f * strand, 17.5f);
          return std::max(whole, -std::min(forehead, std::max(below, 4 - v)));
        },
        [this](float u, float v) { return hair_at(u, v); });
  }

  Canvas& canvas_;
  std::array<float, kFactors> f_{};
  float half_width_, centre_x_, cosine_, sine_;
  Colour skin_, hair_;
  Direction light_;
};

}  // namespace

void draw_face(std::span<const double> factors, std::span<uint8_t> pixels) {
  if (factors.size() != kFactors || static_cast<int64_t>(pixels.size()) != kPixels)
    fail("[faces] {} factors make a picture of {} values, got {} and {}", int{kFactors}, kPixels,
         factors.size(), pixels.size());
  Canvas canvas(kSide, kSamples);
  Face(factors.data(), canvas).draw();
  canvas.store(pixels.data());
}

Dataset make_faces(int64_t points, uint64_t seed, Split split) {
  Dataset data = blank_pictures("faces", points, kSide, 3);
  data.factors = {.names = kNames,
                  .levels = std::vector<int64_t>(kFactors, kBins),
                  .indices = Tensor::empty({points, kFactors}, DType::i64),
                  .values = Tensor::empty({points, kFactors}, DType::f64)};
  uint8_t* pixels = data.x.data<uint8_t>();
  int64_t* indices = data.factors.indices.data<int64_t>();
  double* values = data.factors.values.data<double>();
  parallel_for(points, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Draws draws(Drawing::faces, seed, split, i);
      double* const own = values + i * kFactors;
      for (int64_t f = 0; f < kFactors; ++f) {
        own[f] = draws.uniform();
        indices[i * kFactors + f] = static_cast<int64_t>(own[f] * kBins);
      }
      draw_face({own, kFactors}, {pixels + i * kPixels, static_cast<size_t>(kPixels)});
    }
  });
  data.fingerprint = fingerprint(data.x);
  return data;
}

}  // namespace elbo
