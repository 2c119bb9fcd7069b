#include "datasets/preprocessing.h"

#include <array>
#include <cmath>

#include "tensor/file.h"
#include "tensor/map_loops.h"
#include "tensor/random.h"

namespace elbo {
namespace {

using Kind = Preprocessing::Kind;

constexpr int64_t kBlock = 256;                   // pixels whose noise is drawn together
constexpr int64_t kMostDraws = int64_t{1} << 34;  // of one random key

template <class Formula>
struct Inverse {
  Formula formula;
  template <class T>
  ELBO_HD T operator()(T y) const {
    return formula.inverse(y);
  }
};

struct Unstandardized {
  template <class T>
  ELBO_HD T operator()(T y, T mean, T scale) const {
    return y * scale + mean;
  }
};

/// Calls f(i, count, noise) for the pixels i .. i + count - 1 of a row, block by block.
template <class F>
void for_each_block(int64_t row, int64_t width, bool noisy, const RandomKey& key, const F& f) {
  alignas(64) std::array<float, kBlock> noise{};
  for (int64_t i = 0; i < width; i += kBlock) {
    const int64_t count = std::min(kBlock, width - i);
    if (noisy) fill_uniform_from({noise.data(), static_cast<size_t>(count)}, key, row * width + i);
    f(i, count, noise.data());
  }
}

template <class T, class Formula>
void preprocess_row(Formula formula, const Dataset& data, int64_t row, const RandomKey& key, T* out) {
  const int64_t width = data.dimensions();
  const uint8_t* pixels = data.x.data<uint8_t>() + row * width;
  for_each_block(row, width, Formula::noisy, key, [&](int64_t i, int64_t count, const float* noise) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j)
      out[i + j] = formula.forward(static_cast<T>(pixels[i + j]), static_cast<T>(noise[j]));
  });
}

/// What preprocess_rows and preprocess_all share: row_of(i) is the row that out[i] is made from.
template <class RowOf>
void preprocess_range(const Dataset& data, const Preprocessing& preprocessing, const RandomKey& key,
                      int64_t begin, int64_t end, const RowOf& row_of, const Tensor& out) {
  const int64_t width = data.dimensions();
  const bool standardizes = preprocessing.mean.defined();
  const double* const mean = standardizes ? preprocessing.mean.data<double>() : nullptr;
  const double* const scale = standardizes ? preprocessing.scale.data<double>() : nullptr;
  visit_floating(out.dtype(), "preprocess", [&](auto zero) {
    using T = decltype(zero);
    T* const target = out.data<T>();
    const auto put = [&](T* row, const auto* values) {
      if (standardizes)
        for (int64_t j = 0; j < width; ++j) row[j] = standardized<T>(values[j], mean[j], scale[j]);
      else
        std::transform(values, values + width, row, [](auto value) { return static_cast<T>(value); });
    };
    if (data.has_pixels()) {
      visit_formula(preprocessing, [&](auto formula) {
        for (int64_t i = begin; i < end; ++i) {
          T* const row = target + i * width;
          preprocess_row(formula, data, row_of(i), key, row);
          if (standardizes) put(row, row);
        }
      });
      return;
    }
    visit_floating(data.x.dtype(), "preprocess", [&](auto stored) {
      const auto* const source = data.x.data<decltype(stored)>();
      for (int64_t i = begin; i < end; ++i) put(target + i * width, source + row_of(i) * width);
    });
  });
}

/// The mean of ln z over z in [low, high].
double mean_log(double low, double high) {
  return (high * std::log(high) - low * std::log(low)) / (high - low) - 1;
}

}  // namespace

RandomKey noise_key(const Preprocessing& preprocessing, uint64_t seed, int64_t epoch) {
  const uint64_t step = preprocessing.fresh_noise ? static_cast<uint64_t>(epoch) : 0;
  return {.seed = seed, .stream = kDequantisation, .step = step};
}

const char* name(Kind kind) {
  constexpr std::array names{"none", "scale", "dequantize", "logit"};
  return names[static_cast<size_t>(kind)];
}

Kind parse_preprocessing(const std::string& text) {
  for (const Kind kind : {Kind::none, Kind::scale, Kind::dequantize, Kind::logit})
    if (text == name(kind)) return kind;
  fail("[preprocess] unknown preprocessing {}; there are none, scale, dequantize and logit", quote(text));
}

double default_alpha(const Dataset& data) { return data.channels == 3 ? 0.05 : 1e-6; }

void check_preprocessing(const Dataset& data, const Preprocessing& preprocessing) {
  if (!data.x.defined() || data.x.rank() != 2 || data.x.elements() == 0)
    fail("[preprocess] the data set {} has no points (N, D)", quote(data.name));
  check_preprocessing_of_kind(data, preprocessing);
  if (data.x.elements() > kMostDraws)
    fail("[preprocess] {} has more than 2^34 pixels; use --limit", quote(data.name));
}

void check_preprocessing_of_kind(const Dataset& data, const Preprocessing& preprocessing) {
  if (!data.has_pixels() && preprocessing.kind != Kind::none)
    fail("[preprocess] {} is for 8-bit pixels, but {} holds {} values; use --preprocess none",
         name(preprocessing.kind), quote(data.name), name(data.x.dtype()));
  if (data.binary && preprocessing.kind != Kind::none)
    fail("[preprocess] {} is for pixels 0..255, but all those of {} are 0 or 1; use --preprocess none",
         name(preprocessing.kind), quote(data.name));
  if (preprocessing.kind == Kind::logit && !(preprocessing.alpha > 0 && preprocessing.alpha < 0.5))
    fail("[preprocess] alpha must lie between 0 and 0.5, got {}", preprocessing.alpha);
  for (const Tensor* of_each : {&preprocessing.mean, &preprocessing.scale})
    if (of_each->defined() != preprocessing.mean.defined() ||
        (of_each->defined() &&
         (of_each->dtype() != DType::f64 || !(of_each->shape() == Shape{data.dimensions()}))))
      fail("[preprocess] mean and scale must be those of the {} dimensions of {}", data.dimensions(),
           quote(data.name));
  if (preprocessing.scale.defined())
    for (const double scale : preprocessing.scale.span<double>())
      if (!(scale > 0) || !std::isfinite(scale))
        fail("[preprocess] a scale must be positive and finite, got {}", scale);
}

Preprocessing followed_by(const Preprocessing& preprocessing, const Tensor& mean, const Tensor& scale) {
  Preprocessing both = preprocessing;
  both.mean = mean.clone();
  both.scale = scale.clone();
  if (!preprocessing.mean.defined()) return both;
  for (int64_t j = 0; j < mean.elements(); ++j) {
    const double before = preprocessing.scale.at(j);
    both.mean.data<double>()[j] = preprocessing.mean.at(j) + before * mean.at(j);
    both.scale.data<double>()[j] *= before;
  }
  return both;
}

Tensor preprocess_all(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch,
                      DType dtype) {
  check_preprocessing(data, preprocessing);
  const RandomKey key = noise_key(preprocessing, seed, epoch);
  Tensor out = Tensor::empty(data.x.shape(), dtype);
  const auto row_of = [](int64_t i) { return i; };
  parallel_for(data.points(), kParallelGrain / data.dimensions() + 1, [&](int64_t begin, int64_t end) {
    preprocess_range(data, preprocessing, key, begin, end, row_of, out);
  });
  return out;
}

void preprocess_rows(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch,
                     std::span<const int64_t> rows, const Tensor& out) {
  check_preprocessing(data, preprocessing);
  const auto count = static_cast<int64_t>(rows.size());
  if (!(out.shape() == Shape{count, data.dimensions()}))
    fail("[preprocess] {} rows of {} dimensions do not fit {}", count, data.dimensions(), out.shape().str());
  for (const int64_t row : rows)
    if (row < 0 || row >= data.points()) fail("[preprocess] row {} is outside 0..{}", row, data.points() - 1);
  const auto row_of = [rows](int64_t i) { return rows[static_cast<size_t>(i)]; };
  preprocess_range(data, preprocessing, noise_key(preprocessing, seed, epoch), 0, count, row_of, out);
}

Tensor to_intensities(const Dataset& data, const Preprocessing& preprocessing, const Tensor& y) {
  const auto like_y = [&](const Tensor& of_each) { return of_each.to(y.dtype()).to(y.device()); };
  const Tensor x = preprocessing.mean.defined()
                       ? map(Unstandardized{}, y, like_y(preprocessing.mean), like_y(preprocessing.scale))
                       : y;
  if (!data.has_pixels() || data.binary) return x;
  return visit_formula(preprocessing,
                       [&](auto formula) { return map(Inverse<decltype(formula)>{formula}, x); });
}

Tensor log_jacobian(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch) {
  check_preprocessing(data, preprocessing);
  Tensor sums = Tensor::full({data.points()}, standardize_log_jacobian(preprocessing), DType::f64);
  if (preprocessing.kind != Kind::logit) return sums;
  const LogitPixel formula{preprocessing.alpha};
  const RandomKey key = noise_key(preprocessing, seed, epoch);
  const int64_t width = data.dimensions();
  double* const out = sums.data<double>();
  parallel_for(data.points(), kParallelGrain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* pixels = data.x.data<uint8_t>() + row * width;
      for_each_block(row, width, true, key, [&](int64_t i, int64_t count, const float* noise) {
        for (int64_t j = 0; j < count; ++j)
          out[row] += formula.log_jacobian(static_cast<double>(pixels[i + j]), double{noise[j]});
      });
    }
  });
  return sums;
}

double expected_log_jacobian(const Dataset& data, const Preprocessing& preprocessing) {
  check_preprocessing(data, preprocessing);
  const double of_scale = standardize_log_jacobian(preprocessing);
  if (preprocessing.kind != Kind::logit) return of_scale;
  std::array<int64_t, 256> histogram{};
  for (const uint8_t pixel : data.x.span<uint8_t>()) ++histogram[pixel];
  const double a = preprocessing.alpha;
  double sum = 0;
  for (int p = 0; p < 256; ++p) {
    // s runs over [low, high] while u runs over (0, 1), and 1 - s over the mirrored interval.
    const double low = a + (1 - 2 * a) * p / 256, high = a + (1 - 2 * a) * (p + 1) / 256;
    const double black = a + (1 - 2 * a) * (255 - p) / 256, white = a + (1 - 2 * a) * (256 - p) / 256;
    const double mean = std::log(1 - 2 * a) - mean_log(low, high) - mean_log(black, white);
    sum += static_cast<double>(histogram[static_cast<size_t>(p)]) * mean;
  }
  return of_scale + sum / static_cast<double>(data.points());
}

double standardize_log_jacobian(const Preprocessing& preprocessing) {
  double sum = 0;
  if (preprocessing.scale.defined())
    for (const double scale : preprocessing.scale.span<double>()) sum -= std::log(scale);
  return sum;
}

double paper_units_constant(const Dataset& data, const Preprocessing& preprocessing) {
  const double jacobian = expected_log_jacobian(data, preprocessing);
  if (preprocessing.kind == Kind::none || preprocessing.kind == Kind::scale) return jacobian;
  return jacobian - static_cast<double>(data.dimensions()) * std::log(256.0);
}

}  // namespace elbo
