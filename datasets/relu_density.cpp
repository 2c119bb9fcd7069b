#include "datasets/relu_density.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "datasets/sha256.h"
#include "tensor/math.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr double kHalfRoot = 16;     // of the first square: the prior is e^-128 of its largest value beyond
constexpr double kFurthest = 1e5;    // deviations of the noise: a density of 0 in f64
constexpr double kNegligible = -40;  // logarithm of what is left out, as a part of the whole

/// Gauss and Legendre's rule on (-1, 1): half of its nodes and weights, as it is symmetric.
template <size_t N>
struct Rule {
  std::array<double, N> node, weight;
};
constexpr Rule<3> kCoarse{{-0.77459666924148338, 0, 0.77459666924148338},
                          {0.55555555555555556, 0.88888888888888889, 0.55555555555555556}};
constexpr Rule<6> kFine{{-0.93246951420315203, -0.66120938646626451, -0.23861918608319691,
                         0.23861918608319691, 0.66120938646626451, 0.93246951420315203},
                        {0.17132449237917035, 0.36076157304813861, 0.46791393457269105, 0.46791393457269105,
                         0.36076157304813861, 0.17132449237917035}};

struct Unit {
  double w1, w2, bias;  // of its input
  double v1, v2;        // what it adds to the outputs
  double slope;         // |w| |v|
};

std::vector<Unit> units_of(const ReluNet& net, const char* where) {
  const int64_t hidden = net.hidden_bias.defined() ? net.hidden_bias.elements() : 0;
  if (hidden < 1 || net.hidden_weight.shape() != Shape{hidden, 2} ||
      net.output_weight.shape() != Shape{2, hidden} || net.output_bias.shape() != Shape{2})
    fail("[{}] the network must have weights (H, 2) and (2, H) and biases (H) and (2)", where);
  std::vector<Unit> units;
  for (int64_t j = 0; j < hidden; ++j) {
    Unit unit{.w1 = net.hidden_weight.at(2 * j),
              .w2 = net.hidden_weight.at(2 * j + 1),
              .bias = net.hidden_bias.at(j),
              .v1 = net.output_weight.at(j),
              .v2 = net.output_weight.at(hidden + j),
              .slope = 0};
    unit.slope = std::hypot(unit.w1, unit.w2) * std::hypot(unit.v1, unit.v2);
    units.push_back(unit);
  }
  return units;
}

struct Affine {
  double a11 = 0, a12 = 0, a21 = 0, a22 = 0, c1 = 0, c2 = 0;

  void add(const Unit& unit) {
    a11 += unit.v1 * unit.w1, a12 += unit.v1 * unit.w2, c1 += unit.v1 * unit.bias;
    a21 += unit.v2 * unit.w1, a22 += unit.v2 * unit.w2, c2 += unit.v2 * unit.bias;
  }
  /// The largest factor by which it stretches.
  double slope() const {
    const double squares = a11 * a11 + a12 * a12 + a21 * a21 + a22 * a22, area = a11 * a22 - a12 * a21;
    return std::sqrt(0.5 * (squares + std::sqrt(std::max(0.0, squares * squares - 4 * area * area))));
  }
};

struct Square {
  double z1, z2, half;  // centre, and half a side
};

/// The integral for one x. Units that are on, or off, in all of a square are so in its quarters: those are
/// told what is left to decide.
class Integral {
 public:
  Integral(const std::vector<Unit>& units, const double* output_bias, double noise, double finer)
      : units_(units), noise_(noise), finer_(finer) {
    all_.c1 = output_bias[0], all_.c2 = output_bias[1];
  }

  double log_density(double x1, double x2) {
    if (std::isnan(x1) || std::isnan(x2)) return std::numeric_limits<double>::quiet_NaN();
    x1_ = x1, x2_ = x2;
    largest_ = -std::numeric_limits<double>::infinity();
    sum_ = 0;
    open_.resize(units_.size());
    double distance = 0, slope = 0;
    for (size_t j = 0; j < units_.size(); ++j) {
      open_[j] = j;
      slope += units_[j].slope;
    }
    log_value(0, 0, all_, 0, units_.size(), &distance);
    if (distance - slope / noise_ * kHalfRoot * std::sqrt(2) > kFurthest)
      return -std::numeric_limits<double>::infinity();
    visit({0, 0, kHalfRoot}, all_, 0, units_.size());
    return largest_ + std::log(sum_) - 2 * math::kLogTwoPi - 2 * std::log(noise_);
  }

 private:
  /// ln of the integrand but for its constants, with the units open_[begin .. end) added to the affine part.
  double log_value(double z1, double z2, Affine f, size_t begin, size_t end,
                   double* distance = nullptr) const {
    double y1 = f.a11 * z1 + f.a12 * z2 + f.c1 - x1_, y2 = f.a21 * z1 + f.a22 * z2 + f.c2 - x2_;
    for (size_t i = begin; i < end; ++i) {
      const Unit& unit = units_[open_[i]];
      const double input = std::max(0.0, unit.w1 * z1 + unit.w2 * z2 + unit.bias);
      y1 += unit.v1 * input, y2 += unit.v2 * input;
    }
    const double squares = (y1 * y1 + y2 * y2) / (noise_ * noise_);
    if (distance) *distance = std::sqrt(squares);
    return -0.5 * (squares + z1 * z1 + z2 * z2);
  }

  void visit(const Square& s, Affine f, size_t begin, size_t end) {
    const size_t first = open_.size();
    double kinks = 0;  // how much the slope can change within the square
    for (size_t i = begin; i < end; ++i) {
      const size_t j = open_[i];
      const Unit& unit = units_[j];
      const double input = unit.w1 * s.z1 + unit.w2 * s.z2 + unit.bias;
      const double reach = (std::abs(unit.w1) + std::abs(unit.w2)) * s.half;
      if (input >= reach) {
        f.add(unit);
      } else if (input > -reach) {
        open_.push_back(j);
        kinks += unit.slope;
      }
    }
    const size_t last = open_.size();
    double distance = 0;  // of f from x, in deviations of the noise
    const double here = log_value(s.z1, s.z2, f, first, last, &distance);
    const double from_origin = std::hypot(s.z1, s.z2), reach = s.half * std::sqrt(2), side = 2 * s.half;
    const double slope = (f.slope() + kinks) / noise_;
    const double nearest = std::max(0.0, distance - slope * reach),
                 inner = std::max(0.0, from_origin - reach);
    const double most = -0.5 * (nearest * nearest + inner * inner) + 2 * std::log(side);
    if (sum_ == 0 || most > largest_ + std::log(sum_) + kNegligible) {
      const double scaled = side * finer_;
      const bool smooth =
          scaled * slope <= 2 && scaled * slope * distance <= 8 && scaled <= 1 && scaled * from_origin <= 8;
      const bool straight = scaled * kinks / noise_ * (1 + distance) <= 0.2;
      if ((smooth && straight) || s.half < 1e-7)
        scaled* slope <= 0.5 ? add(kCoarse, s, f, first, last, here) : add(kFine, s, f, first, last, here);
      else
        divide(s, f, first, last);
    }
    open_.resize(first);
  }

  /// Where the integrand is largest first: it decides what can be left out.
  void divide(const Square& s, const Affine& f, size_t begin, size_t end) {
    const double quarter = s.half / 2;
    std::array<std::pair<double, Square>, 4> parts;
    for (size_t i = 0; i < 4; ++i) {
      const Square part{s.z1 + (i % 2 == 0 ? -quarter : quarter), s.z2 + (i < 2 ? -quarter : quarter),
                        quarter};
      parts[i] = {log_value(part.z1, part.z2, f, begin, end), part};
    }
    std::sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& part : parts) visit(part.second, f, begin, end);
  }

  template <size_t N>
  void add(const Rule<N>& rule, const Square& s, const Affine& f, size_t begin, size_t end, double here) {
    double part = 0;
    for (size_t i = 0; i < N; ++i)
      for (size_t j = 0; j < N; ++j)
        part +=
            rule.weight[i] * rule.weight[j] *
            std::exp(log_value(s.z1 + s.half * rule.node[i], s.z2 + s.half * rule.node[j], f, begin, end) -
                     here);
    part *= s.half * s.half;
    if (here > largest_) {
      sum_ *= std::exp(largest_ - here);
      largest_ = here;
    }
    sum_ += part * std::exp(here - largest_);
  }

  const std::vector<Unit>& units_;
  Affine all_;
  double noise_, finer_;
  double x1_ = 0, x2_ = 0;
  double largest_ = 0, sum_ = 0;  // the sum so far is sum_ e^largest_
  std::vector<size_t> open_;      // units that are on in a part of a square, a stretch for each square
};

}  // namespace

Tensor apply(const ReluNet& net, const Tensor& z) {
  const std::vector<Unit> units = units_of(net, "relu_net");
  if (z.rank() != 2 || z.size(1) != 2) fail("[relu_net] z must be (N, 2), got {}", z.shape().str());
  const Tensor values = Tensor::empty(z.shape(), DType::f64);
  for (int64_t n = 0; n < z.size(0); ++n) {
    double *y = values.data<double>() + 2 * n, z1 = z.at(2 * n), z2 = z.at(2 * n + 1);
    y[0] = net.output_bias.at(0), y[1] = net.output_bias.at(1);
    for (const Unit& unit : units) {
      const double input = std::max(0.0, unit.w1 * z1 + unit.w2 * z2 + unit.bias);
      y[0] += unit.v1 * input, y[1] += unit.v2 * input;
    }
  }
  return values;
}

std::string fingerprint(const ReluNet& net) {
  Sha256 hash;
  for (const Tensor* part : {&net.hidden_weight, &net.hidden_bias, &net.output_weight, &net.output_bias})
    for (const double value : part->to_vector()) {
      const auto bits = std::bit_cast<uint64_t>(value);
      char bytes[8];
      for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(bits >> (8 * i) & 0xff);
      hash.add({bytes, 8});
    }
  return hash.str();
}

Tensor relu_log_density(const ReluNet& net, double noise_variance, const Tensor& x, double finer) {
  const std::vector<Unit> units = units_of(net, "relu_log_density");
  if (!(noise_variance > 0))
    fail("[relu_log_density] the noise's variance must be positive, got {}", noise_variance);
  if (x.rank() != 2 || x.size(1) != 2)
    fail("[toys] the log density is of points (N, 2), got {}", x.shape().str());
  const Tensor values = Tensor::empty({x.size(0)}, DType::f64);
  const double* at = x.data<double>();
  parallel_for(x.size(0), 8, [&](int64_t begin, int64_t end) {
    Integral integral(units, net.output_bias.data<double>(), std::sqrt(noise_variance), finer);
    for (int64_t n = begin; n < end; ++n)
      values.data<double>()[n] = integral.log_density(at[2 * n], at[2 * n + 1]);
  });
  return values;
}

}  // namespace elbo
