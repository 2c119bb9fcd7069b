// preprocessing: from stored 8-bit pixels to the numbers a model sees, and back.
//
// Each kind is one formula of a pixel p in 0..255 and its dequantisation noise u in (0, 1), marked for host
// and device and written once below. Noise is drawn by counter: it depends on the seed, the epoch and the
// pixel's place in the data set, never on batches or threads. It is drawn in f32 whatever the result's type,
// so that f32 and f64 see the same points. Uses tensor/ only.
//
// Pixels or not, each dimension may then be moved and scaled, y = (x - mean) / scale, in f64 from the stored
// number on: of data far from zero f32 would keep the offset and lose the rest.
//
// Papamakarios et al. 2017, "Masked Autoregressive Flow" (section 4.2), as used by Lucas et al. 2019.
//
//   const Preprocessing how{.kind = Preprocessing::Kind::logit, .alpha = default_alpha(data)};
//   Tensor y = preprocess_all(data, how, seed, 0);            // (N, D) f32, with the noise of epoch 0
//   Tensor pixels = to_intensities(data, how, y);             // 0..1 again
#pragma once

#include "datasets/dataset.h"
#include "tensor/math.h"
#include "tensor/random.h"

namespace elbo {

struct Preprocessing {
  enum class Kind {
    none,        ///< values as stored; pixels 0..255
    scale,       ///< p / 255
    dequantize,  ///< x = (p + u) / 256
    logit,       ///< ln(s / (1 - s)) with s = alpha + (1 - 2 alpha) x, x dequantised
  };
  Kind kind = Kind::none;
  double alpha = 1e-6;      ///< of logit, in (0, 1/2)
  bool fresh_noise = true;  ///< new noise every epoch; otherwise epoch 0's throughout
  Tensor mean{}, scale{};   ///< (D) f64: what is taken from each dimension, and then divided by; or undefined
};

const char* name(Preprocessing::Kind kind);
/// The kind called "none", "scale", "dequantize" or "logit"; anything else is an Error.
Preprocessing::Kind parse_preprocessing(const std::string& text);
/// The alpha that the papers use: 1e-6 for grey images (MNIST), 0.05 for colour (CIFAR-10, CelebA).
double default_alpha(const Dataset& data);
/// Throws Error when `preprocessing` cannot be applied: pixels, and not binary ones, are needed for all but
/// `none`, a sane alpha, and a positive scale.
void check_preprocessing(const Dataset& data, const Preprocessing& preprocessing);
/// The same for data whose points are not there, only their kind: x (0, D).
void check_preprocessing_of_kind(const Dataset& data, const Preprocessing& preprocessing);

/// The same, and then (y - mean) / scale: both (D) f64.
Preprocessing followed_by(const Preprocessing& preprocessing, const Tensor& mean, const Tensor& scale);

/// The whole data set, preprocessed for an epoch: (N, D) of `dtype`, f32 or f64.
Tensor preprocess_all(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch,
                      DType dtype = DType::f32);
/// out[i] = preprocessed row rows[i] of the data; out (rows, D) f32 or f64. Runs on the calling thread alone.
void preprocess_rows(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch,
                     std::span<const int64_t> rows, const Tensor& out);

/// Undoes the preprocessing of y (..., D): pixel intensities in [0, 1], without noise taken off; of data that
/// never were pixels, the numbers that they were. What a model makes up may lie outside [0, 1]; nothing is
/// clipped.
Tensor to_intensities(const Dataset& data, const Preprocessing& preprocessing, const Tensor& y);

/// sum over dimensions of ln |dy/dx| for each data point, in nats, f64 (N); x is the dequantised pixel in (0,
/// 1) with this epoch's noise, or else the stored number. Only logit and `scale` make it other than 0.
Tensor log_jacobian(const Dataset& data, const Preprocessing& preprocessing, uint64_t seed, int64_t epoch);
/// Its mean over data points and over the noise, the latter integrated in closed form.
double expected_log_jacobian(const Dataset& data, const Preprocessing& preprocessing);
/// What of it `scale` makes, - sum ln scale: add it to an ELBO or log-likelihood of standardised data to get
/// that of the numbers before. 0 without a scale.
double standardize_log_jacobian(const Preprocessing& preprocessing);
/// Add this to an ELBO or log-likelihood of preprocessed data (nats per data point) to get the units of Lucas
/// et al.'s tables, the density of the pixel in 0..256: expected_log_jacobian - D ln 256 for logit, - D ln
/// 256 for dequantize, and standardize_log_jacobian for the others, whose results they give as they are.
double paper_units_constant(const Dataset& data, const Preprocessing& preprocessing);

/// Key of the noise of an epoch; element row * D + i is that of dimension i of point `row`.
RandomKey noise_key(const Preprocessing& preprocessing, uint64_t seed, int64_t epoch);

/// (x - mean) / scale, rounded to T only when the offset is gone.
template <class T>
ELBO_HD T standardized(double x, double mean, double scale) {
  return static_cast<T>((x - mean) / scale);
}

// The formulas. `forward` is y(p, u), `inverse` the intensity x of a y, `log_jacobian` ln |dy/dx|.

struct RawPixel {
  static constexpr bool noisy = false;
  template <class T>
  ELBO_HD T forward(T p, T) const {
    return p;
  }
  template <class T>
  ELBO_HD T inverse(T y) const {
    return y / T(255);
  }
};

struct ScaledPixel {
  static constexpr bool noisy = false;
  template <class T>
  ELBO_HD T forward(T p, T) const {
    return p / T(255);
  }
  template <class T>
  ELBO_HD T inverse(T y) const {
    return y;
  }
};

struct DequantizedPixel {
  static constexpr bool noisy = true;
  template <class T>
  ELBO_HD T forward(T p, T u) const {
    return (p + u) * T(1.0 / 256);
  }
  template <class T>
  ELBO_HD T inverse(T y) const {
    return y;
  }
};

struct LogitPixel {
  static constexpr bool noisy = true;
  double alpha;

  template <class T>
  ELBO_HD T squeezed(T x) const {
    return T(alpha) + T(1 - 2 * alpha) * x;
  }
  /// 1 - squeezed(x) from 1 - x, which f32 would lose near white.
  template <class T>
  ELBO_HD T complement(T p, T u) const {
    return squeezed(((T(255) - p) + (T(1) - u)) * T(1.0 / 256));
  }

  template <class T>
  ELBO_HD T forward(T p, T u) const {
    return math::log(squeezed(DequantizedPixel{}.forward(p, u)) / complement(p, u));
  }
  template <class T>
  ELBO_HD T inverse(T y) const {
    return (math::sigmoid(y) - T(alpha)) / T(1 - 2 * alpha);
  }
  template <class T>
  ELBO_HD T log_jacobian(T p, T u) const {
    return math::log(T(1 - 2 * alpha)) -
           math::log(squeezed(DequantizedPixel{}.forward(p, u)) * complement(p, u));
  }
};

/// Calls f with the formula of `preprocessing`.
template <class F>
decltype(auto) visit_formula(const Preprocessing& preprocessing, F&& f) {
  switch (preprocessing.kind) {
    case Preprocessing::Kind::none:
      return f(RawPixel{});
    case Preprocessing::Kind::scale:
      return f(ScaledPixel{});
    case Preprocessing::Kind::dequantize:
      return f(DequantizedPixel{});
    case Preprocessing::Kind::logit:
      break;
  }
  return f(LogitPixel{preprocessing.alpha});
}

}  // namespace elbo
