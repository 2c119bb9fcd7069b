#include "datasets/cubic_density.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "datasets/toy_parts.h"

namespace elbo {
namespace {

constexpr double kInnerDrop = 45, kOuterDrop = 60;  // nats below the largest value that are left out
constexpr double kPerWidth = 2;                     // values within the least width
constexpr double kGrowth = 1.6;                     // from one distance to a centre to the next, in a search
constexpr double kResolved = 0x1p-46;               // of u, that a step must be at least

struct Span {
  double low, high;
};

/// A place around which a function may have a peak, and how narrow that may be.
struct Centre {
  double at, width;
};

/// -ln of an exponential of a square.
double half_square(double off) { return 0.5 * off * off; }

/// The likelihood of one coordinate: -ln p(x | u) = (x - u^3)^2 / (2 v), but for its constant.
struct Likelihood {
  double x, noise;  // the deviation

  double centre() const { return std::cbrt(x); }
  double operator()(double u) const { return half_square((x - u * u * u) / noise); }
  /// Where it is at most so many nats.
  Span below(double nats) const {
    const double off = noise * std::sqrt(2 * nats);
    return {std::cbrt(x - off), std::cbrt(x + off)};
  }
  /// Its width at x, or where it is flat the width of that.
  double width() const {
    const double flat = std::cbrt(noise), at = centre();
    return std::min(flat, noise / (3 * at * at));
  }
  /// The largest second derivative in size.
  double curvature(const Span& span) const {
    const auto at = [&](double u) { return std::abs(3 * u / noise * ((5 * u * u * u - 2 * x) / noise)); };
    const double least = std::cbrt(x / 10);  // of the derivative, where it is negative
    return std::max({at(span.low), at(span.high), least > span.low && least < span.high ? at(least) : 0});
  }
};

/// Where a function of one number is within some nats of its least value: all of its basins.
class Basins {
 public:
  /// `f` is smooth on the scale of its distance to the nearest centre, but for what is narrower than the
  /// centres are. It has its least value within the bracket.
  template <class F>
  void find(const F& f, const Span& bracket, std::initializer_list<Centre> centres, double drop) {
    spans_.clear();
    lay_points(bracket, centres);
    values_.resize(points_.size());
    for (size_t i = 0; i < points_.size(); ++i) values_[i] = f(points_[i]);
    bottoms_.clear();
    least_ = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < points_.size(); ++i) {
      const bool first = i == 0, last = i + 1 == points_.size();
      if ((!first && values_[i - 1] < values_[i]) || (!last && values_[i + 1] <= values_[i])) continue;
      bottoms_.push_back(bottom(f, i, points_[first ? i : i - 1], points_[last ? i : i + 1]));
      least_ = std::min(least_, bottoms_.back().value);
    }
    const double most = least_ + drop;
    for (const Bottom& b : bottoms_) {
      if (!(b.value <= most)) continue;
      const Span span{edge(f, b, most, -1), edge(f, b, most, 1)};
      if (!spans_.empty() && span.low <= spans_.back().high)
        spans_.back() = {std::min(span.low, spans_.back().low), std::max(span.high, spans_.back().high)};
      else
        spans_.push_back(span);
    }
  }

  double least() const { return least_; }
  const std::vector<Span>& spans() const { return spans_; }

 private:
  struct Bottom {
    size_t index;  // of a point nearby
    double at, value;
  };

  void lay_points(const Span& bracket, std::initializer_list<Centre> centres) {
    points_.assign({bracket.low, bracket.high});
    const auto add = [&](double u) {
      if (u > bracket.low && u < bracket.high) points_.push_back(u);
    };
    for (const Centre& centre : centres) {
      const double furthest = std::max(bracket.high - centre.at, centre.at - bracket.low);
      // No nearer than numbers lie, so that the loop ends.
      double distance = std::max(centre.width / 2, 0x1p-52 * (std::abs(centre.at) + furthest));
      add(centre.at);
      for (; distance < furthest; distance *= kGrowth) {
        add(centre.at - distance);
        add(centre.at + distance);
      }
    }
    std::sort(points_.begin(), points_.end());
    points_.erase(std::unique(points_.begin(), points_.end()), points_.end());
  }

  /// By golden sections, until what is left is nearly level.
  template <class F>
  Bottom bottom(const F& f, size_t index, double low, double high) const {
    constexpr double kLevel = 0.02, kGolden = 0.3819660112501051;
    Bottom best{index, points_[index], values_[index]};
    double at_low = low < best.at ? values_[index - 1] : best.value,
           at_high = high > best.at ? values_[index + 1] : best.value;
    for (int i = 0; i < 200 && std::max(at_low, at_high) - best.value > kLevel; ++i) {
      const bool right = high - best.at > best.at - low;
      const double u = best.at + kGolden * (right ? high - best.at : low - best.at);
      if (u == best.at || u <= low || u >= high) break;
      const double value = f(u);
      if (value < best.value) {
        (right ? low : high) = best.at;
        (right ? at_low : at_high) = best.value;
        best = {index, u, value};
      } else {
        (right ? high : low) = u;
        (right ? at_high : at_low) = value;
      }
    }
    return best;
  }

  /// The first place beyond the bottom where f is above `most`, or the bracket's end.
  template <class F>
  double edge(const F& f, const Bottom& b, double most, int direction) const {
    double inside = b.at;
    auto i = static_cast<int64_t>(b.index);
    const auto last = static_cast<int64_t>(points_.size()) - 1;
    for (;; i += direction) {
      if (i < 0 || i > last) return points_[static_cast<size_t>(direction < 0 ? 0 : last)];
      const double u = points_[static_cast<size_t>(i)];
      if (direction * (u - b.at) <= 0) continue;
      if (values_[static_cast<size_t>(i)] > most) break;
      inside = u;
    }
    double outside = points_[static_cast<size_t>(i)];
    while (std::abs(outside - inside) > 0.05 * std::abs(inside - b.at)) {
      const double middle = inside + 0.5 * (outside - inside);
      if (middle == inside || middle == outside) break;
      (f(middle) > most ? outside : inside) = middle;
    }
    return outside;
  }

  double least_ = 0;
  std::vector<double> points_, values_;
  std::vector<Bottom> bottoms_;
  std::vector<Span> spans_;
};

/// Values of u, evenly spaced.
struct Grid {
  double low, step;
  int64_t count;

  /// Nothing where numbers do not lie closely enough.
  static std::optional<Grid> over(const Span& span, double curvature, double finer) {
    const double length = span.high - span.low;
    const double parts = std::ceil(kPerWidth * finer * length * std::sqrt(curvature));
    const double step = length / parts;
    if (!(step > kResolved * std::max(std::abs(span.low), std::abs(span.high))) || !(parts < 1e7))
      return std::nullopt;
    return Grid{span.low, step, static_cast<int64_t>(parts) + 1};
  }
  double at(int64_t i) const { return low + static_cast<double>(i) * step; }
};

/// The integral over the second coordinate of its prior, given the first one's value, and its likelihood.
class Inner {
 public:
  Inner(double deviation, const Likelihood& likelihood) : deviation_(deviation), likelihood_(likelihood) {}

  /// The least value of -ln(prior * likelihood) but for constants, where the prior's mean is `mean`; the
  /// places that count are in spans().
  double locate(double mean) {
    const double centre = likelihood_.centre();
    const auto f = [&](double u) { return half_square((u - mean) / deviation_) + likelihood_(u); };
    const double nats = std::min(f(mean), f(centre)) + kInnerDrop;
    if (!(nats < std::numeric_limits<double>::infinity())) return nats;
    const Span of_likelihood = likelihood_.below(nats);
    const double off = deviation_ * std::sqrt(2 * nats);
    const Span bracket{std::max(of_likelihood.low, mean - off), std::min(of_likelihood.high, mean + off)};
    basins_.find(f, bracket, {{mean, deviation_}, {centre, likelihood_.width()}}, kInnerDrop);
    return basins_.least();
  }
  const std::vector<Span>& spans() const { return basins_.spans(); }

  /// ln of the integral.
  std::optional<double> log_integral(double mean, double finer) {
    const double least = locate(mean);
    double sum = 0;
    for (const Span& span : spans()) {
      const auto grid = Grid::over(span, 1 / (deviation_ * deviation_) + likelihood_.curvature(span), finer);
      if (!grid) return std::nullopt;
      for (int64_t i = 0; i < grid->count; ++i) {
        const double u = grid->at(i);
        sum += grid->step * std::exp(least - half_square((u - mean) / deviation_) - likelihood_(u));
      }
    }
    return std::log(sum / deviation_) - least - 0.5 * math::kLogTwoPi;
  }

  /// What the integral's -ln bends by at most, as a function of the mean, where these places count.
  double curvature(const Span& span) const {
    return 1 / (deviation_ * deviation_ + 1 / likelihood_.curvature(span));
  }

 private:
  double deviation_;
  Likelihood likelihood_;
  Basins basins_;
};

/// The prior, with the coordinate of more variance first.
struct Prior {
  bool swapped;
  double deviation, slope, inner_deviation;  // of the first; the second's mean by it; of what is left

  explicit Prior(const Tensor& covariance) : swapped(covariance.at(0) < covariance.at(3)) {
    const double a = covariance.at(swapped ? 3 : 0), b = covariance.at(2), c = covariance.at(swapped ? 0 : 3);
    // a c - b^2, with what rounding loses of either.
    const double product = a * c, square = b * b;
    const double determinant = (product - square) + (std::fma(a, c, -product) - std::fma(b, b, -square));
    if (covariance.at(1) != b || !(a > 0) || !(determinant > 0) || !std::isfinite(determinant))
      fail("[cubic_log_density] the covariance must be symmetric and positive definite, got {}, {}, {}, {}",
           covariance.at(0), covariance.at(1), b, covariance.at(3));
    deviation = std::sqrt(a);
    slope = b / a;
    inner_deviation = std::sqrt(determinant / a);
  }
};

/// ln p(x), or nothing where f64 cannot resolve it.
std::optional<double> log_density_at(const Prior& prior, double noise, double x1, double x2, double finer) {
  if (prior.swapped) std::swap(x1, x2);
  const Likelihood first{x1, noise}, second{x2, noise};
  Inner inner(prior.inner_deviation, second);
  const auto without_inner = [&](double u) { return half_square(u / prior.deviation) + first(u); };
  const auto f = [&](double u) { return without_inner(u) + inner.locate(prior.slope * u); };
  const double centre = first.centre(), of_second = second.centre() / prior.slope;
  double nats = std::min(f(0), f(centre));
  const bool sees_second = std::isfinite(of_second);
  if (sees_second) nats = std::min(nats, f(of_second));
  nats += kOuterDrop;
  if (!(nats < std::numeric_limits<double>::infinity())) return std::nullopt;
  const Span of_likelihood = first.below(nats);
  const double off = prior.deviation * std::sqrt(2 * nats);
  const double narrowest = std::min(prior.inner_deviation, second.width()) / std::abs(prior.slope);
  Basins outer;
  outer.find(f, {std::max(of_likelihood.low, -off), std::min(of_likelihood.high, off)},
             {{0, prior.deviation},
              {centre, first.width()},
              sees_second ? Centre{of_second, narrowest} : Centre{0, prior.deviation}},
             kOuterDrop);

  double sum = 0;
  for (const Span& span : outer.spans()) {
    Span reached{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (const double end : {span.low, 0.5 * (span.low + span.high), span.high}) {
      inner.locate(prior.slope * end);
      reached.low = std::min(reached.low, inner.spans().front().low);
      reached.high = std::max(reached.high, inner.spans().back().high);
    }
    const auto grid = Grid::over(span,
                                 1 / (prior.deviation * prior.deviation) + first.curvature(span) +
                                     prior.slope * prior.slope * inner.curvature(reached),
                                 finer);
    if (!grid) return std::nullopt;
    for (int64_t i = 0; i < grid->count; ++i) {
      const double u = grid->at(i);
      const std::optional<double> log_inner = inner.log_integral(prior.slope * u, finer);
      if (!log_inner) return std::nullopt;
      sum += grid->step * std::exp(outer.least() - without_inner(u) + *log_inner);
    }
  }
  return std::log(sum / prior.deviation) - outer.least() - 1.5 * math::kLogTwoPi - 2 * std::log(noise);
}

}  // namespace

Tensor cubic_log_density(const Tensor& covariance, double noise_variance, const Tensor& x, double finer) {
  if (covariance.shape() != Shape{2, 2} || !(noise_variance > 0) || !std::isfinite(noise_variance))
    fail("[cubic_log_density] a covariance (2, 2) and a positive variance are needed, got {} and {}",
         covariance.shape().str(), noise_variance);
  const Prior prior(covariance);
  const double noise = std::sqrt(noise_variance);
  return each_point(x, Tensor::zeros({2}, DType::f64), [&](const double* at, std::vector<double>&) {
    if (std::isnan(at[0]) || std::isnan(at[1])) return std::numeric_limits<double>::quiet_NaN();
    if (std::isinf(at[0]) || std::isinf(at[1])) return -std::numeric_limits<double>::infinity();
    const std::optional<double> value = log_density_at(prior, noise, at[0], at[1], finer);
    if (!value)
      fail(
          "[cubic_log_density] the density at ({}, {}) needs values closer together than f64 has them: "
          "the noise's variance {} or the covariance ({}, {}; {}, {}) is too narrow for it",
          at[0], at[1], noise_variance, covariance.at(0), covariance.at(1), covariance.at(2),
          covariance.at(3));
    return *value;
  });
}

}  // namespace elbo
