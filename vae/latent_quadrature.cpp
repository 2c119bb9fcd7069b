#include "vae/latent_quadrature.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "autograd/ops.h"
#include "vae/metric_parts.h"
#include "vae/point_spread.h"

namespace elbo {
namespace {

constexpr int64_t kPoints = 256;       // looked at together, at most
constexpr int64_t kNumbers = 1 << 20;  // of x at all nodes, made at a time
constexpr double kReach = 10;          // deviations of the prior that are looked at first,
constexpr double kFurthest = 100;      // and at most
constexpr double kNegligible = 40;     // nats below the whole

/// Gauss and Legendre's rule on (0, 1): nodes in order, and the logarithms of the weights.
constexpr size_t kNodes = 8;
struct Rule {
  std::array<double, kNodes> node{}, log_weight{};
  Rule() {
    constexpr double roots[] = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267,
                                0.9602898564975363},
                     weights[] = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745,
                                  0.1012285362903763};
    for (size_t i = 0; i < kNodes; ++i) {
      const size_t at = i < 4 ? 3 - i : i - 4;
      node[i] = (1 + (i < 4 ? -roots[at] : roots[at])) / 2;
      log_weight[i] = std::log(weights[at] / 2);
    }
  }
};

/// ln (e^a + e^b).
double log_add(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::nan("");
  const double most = std::max(a, b);
  return most == -INFINITY ? most : most + std::log1p(std::exp(std::min(a, b) - most));
}

struct Panel {
  double low, high;
};

/// Of every member's every point: the panel's integral, and no less than its integrand anywhere in it times
/// its width, both as logarithms; and whether its nodes are as close as they must be.
struct Values {
  std::vector<double> integral, bound;
  std::vector<char> close;
};

class Quadrature {
 public:
  Quadrature(const Vae& vae, const Tensor& x)
      : vae_(vae), x_(x.to(DType::f64)), n_(x.size(-2)), count_(static_cast<size_t>(vae.models() * n_)) {
    if (const Tensor prior = vae.prior_log_variance().value(); prior.defined())
      scale_ = exp(0.5 * Variable(prior)).value().to(DType::f64).to(Device::cpu);
  }

  /// ln p(x) of (M, n) points, and its error.
  std::pair<std::vector<double>, std::vector<double>> find() {
    // A coarser decoder's rounding is met before the sums' own. Panels have an end where a decoder is no
    // function of z to its rounding, or its noise is so small that nodes would be for ever.
    const bool is_double = vae_.dtype() == DType::f64;
    const double tolerance = is_double ? 1e-12 : 1e-6;
    const int64_t most = is_double ? 1 << 16 : 1 << 14;
    std::vector<double> settled(count_, -INFINITY);
    std::vector<Panel> panels;
    for (double low = -kReach; low < kReach; ++low) panels.push_back({low, low + 1});
    std::vector<Values> values = values_of(panels);
    std::vector<double> error = widen(panels, values);
    int64_t made = static_cast<int64_t>(panels.size());
    while (!panels.empty()) {
      std::vector<double> whole = settled;
      for (const Values& own : values)
        for (size_t i = 0; i < count_; ++i) whole[i] = log_add(whole[i], own.integral[i]);
      std::vector<Panel> halves;
      for (const Panel& panel : panels) {
        const double middle = (panel.low + panel.high) / 2;
        halves.push_back({panel.low, middle});
        halves.push_back({middle, panel.high});
      }
      std::vector<Values> of_halves = values_of(halves);
      made += static_cast<int64_t>(halves.size());
      const bool last = made + 2 * static_cast<int64_t>(halves.size()) > most;
      std::vector<Panel> next;
      std::vector<Values> of_next;
      for (size_t p = 0; p < panels.size(); ++p) {
        Values &first = of_halves[2 * p], &second = of_halves[2 * p + 1];
        bool done = true;
        std::vector<double> change(count_);
        for (size_t i = 0; i < count_; ++i) {
          const double now = log_add(first.integral[i], second.integral[i]);
          change[i] = std::abs(std::exp(now - whole[i]) - std::exp(values[p].integral[i] - whole[i]));
          const bool matters = std::max(first.bound[i], second.bound[i]) > whole[i] - kNegligible;
          const bool missed = matters && !(first.close[i] && second.close[i]);
          done = done && !(change[i] > tolerance) && !missed;
          if (missed && last) change[i] = INFINITY;
        }
        if (done || last) {
          for (size_t i = 0; i < count_; ++i) {
            settled[i] = log_add(settled[i], log_add(first.integral[i], second.integral[i]));
            error[i] += change[i];
          }
          continue;
        }
        next.insert(next.end(), {halves[2 * p], halves[2 * p + 1]});
        of_next.push_back(std::move(first));
        of_next.push_back(std::move(second));
      }
      panels = std::move(next);
      values = std::move(of_next);
    }
    return {settled, error};
  }

 private:
  /// More panels at either end while the integrand there matters. Infinite for points where it still does at
  /// the furthest end, 0 for the others.
  std::vector<double> widen(std::vector<Panel>& panels, std::vector<Values>& values) {
    for (double reach = kReach;; reach += 1) {
      std::vector<double> whole(count_, -INFINITY), missed(count_, 0);
      for (const Values& own : values)
        for (size_t i = 0; i < count_; ++i) whole[i] = log_add(whole[i], own.integral[i]);
      bool matters = false;
      for (size_t p = 0; p < panels.size(); ++p)
        if (panels[p].low == -reach || panels[p].high == reach)
          for (size_t i = 0; i < count_; ++i)
            if (values[p].integral[i] > whole[i] - kNegligible) {
              matters = true;
              missed[i] = INFINITY;
            }
      if (!matters || reach >= kFurthest) return missed;
      const std::vector<Panel> more{{-reach - 1, -reach}, {reach, reach + 1}};
      for (Values& own : values_of(more)) values.push_back(std::move(own));
      panels.insert(panels.end(), more.begin(), more.end());
    }
  }

  std::vector<Values> values_of(const std::vector<Panel>& panels) const {
    std::vector<Values> all;
    const int64_t each = vae_.models() * n_ * vae_.dimensions() * static_cast<int64_t>(kNodes);
    const auto together = static_cast<size_t>(std::max<int64_t>(1, kNumbers / each));
    for (size_t first = 0; first < panels.size(); first += together)
      add_values(std::span(panels).subspan(first, std::min(together, panels.size() - first)), all);
    return all;
  }

  void add_values(std::span<const Panel> panels, std::vector<Values>& all) const {
    const int64_t models = vae_.models(), d = vae_.dimensions(),
                  nodes = static_cast<int64_t>(panels.size() * kNodes);
    std::vector<double> u;  // in the prior's deviations
    for (const Panel& panel : panels)
      for (double node : rule_.node) u.push_back(panel.low + (panel.high - panel.low) * node);
    const Tensor z = Tensor::empty({models, nodes, 1, 1}, DType::f64);
    for (int64_t m = 0; m < models; ++m)
      for (int64_t s = 0; s < nodes; ++s)
        z.data<double>()[m * nodes + s] = u[static_cast<size_t>(s)] * (scale_.defined() ? scale_.at(m) : 1.0);
    const Tensor here = vae_.has_members() ? z : z.reshape({nodes, 1, 1});
    const Observation p = vae_.decode(here.to(vae_.dtype()).to(vae_.device()));
    const auto in_f64 = [](const Variable& of) { return of.value().to(DType::f64).to(Device::cpu); };
    const Shape at_nodes = vae_.has_members() ? Shape{models, nodes, 1, d} : Shape{nodes, 1, d},
                at_points = vae_.has_members() ? Shape{models, nodes, n_, d} : Shape{nodes, n_, d};
    const Observation expanded{broadcast_to(in_f64(p.mean), at_points), p.log_variance.value().defined()
                                                                            ? Variable(in_f64(p.log_variance))
                                                                            : Variable()};
    const Tensor log_p = vae_.log_likelihood(x_, expanded).value();  // (M?, nodes, n)
    // The curve that the decoder draws, for what lies between the nodes.
    const Tensor curve = in_f64(p.mean).reshape({models, nodes, d});
    Tensor log_variance;
    if (vae_.likelihood() == Likelihood::diagonal_gaussian)
      log_variance = broadcast_to(in_f64(p.log_variance), at_nodes).value().reshape({models, nodes, d});
    else if (vae_.likelihood() == Likelihood::gaussian)
      log_variance = in_f64(p.log_variance).reshape({models});
    for (size_t q = 0; q < panels.size(); ++q) {
      Values own{std::vector<double>(count_, -INFINITY), std::vector<double>(count_, -INFINITY),
                 std::vector<char>(count_, 1)};
      const Panel& panel = panels[q];
      const double log_width = std::log(panel.high - panel.low),
                   nearest =
                       panel.low * panel.high < 0 ? 0 : std::min(std::abs(panel.low), std::abs(panel.high)),
                   most_of_prior = -0.5 * nearest * nearest - math::kLogTwoPi / 2;
      for (int64_t m = 0; m < models; ++m)
        for (size_t i = 0; i < kNodes; ++i) {
          const auto node = static_cast<int64_t>(q * kNodes + i);
          const double at = u[static_cast<size_t>(node)];
          const double* const log_likelihood = log_p.data<double>() + (m * nodes + node) * n_;
          for (int64_t j = 0; j < n_; ++j) {
            double& integral = own.integral[static_cast<size_t>(m * n_ + j)];
            integral = log_add(integral, log_likelihood[j] - 0.5 * at * at - math::kLogTwoPi / 2 +
                                             rule_.log_weight[i] + log_width);
          }
          if (i + 1 == kNodes) continue;
          const Step step = between(curve, log_variance, m, node);
          const double* const following = log_likelihood + n_;
          for (int64_t j = 0; j < n_; ++j) {
            const auto point = static_cast<size_t>(m * n_ + j);
            own.bound[point] = std::max(
                own.bound[point], step.bound(log_likelihood[j], following[j]) + most_of_prior + log_width);
            if (!(step.length <= step.longest)) own.close[point] = 0;
          }
        }
      all.push_back(std::move(own));
    }
  }

  /// What the decoder does from one node to the next.
  struct Step {
    double length = 0;   ///< in deviations of the noise; of logits their changes' sum
    double longest = 2;  ///< as it may be
    double ceiling = 0;  ///< of ln p(x|z); for Bernoulli not known
    bool has_ceiling = true;

    /// No less than ln p(x|z) between, where it is a and b at the nodes, of a curve that is half as long
    /// again as it would be straight.
    double bound(double a, double b) const {
      const double far = 1.5 * length;
      if (!has_ceiling) return (a + b + far) / 2;
      const auto distance = [&](double log_p) { return std::sqrt(std::max(0.0, 2 * (ceiling - log_p))); };
      const double nearest = std::max(0.0, (distance(a) + distance(b) - far) / 2);
      return ceiling - nearest * nearest / 2;
    }
  };

  Step between(const Tensor& curve, const Tensor& log_variance, int64_t member, int64_t node) const {
    const int64_t d = curve.size(2), first = (member * curve.size(1) + node) * d;
    const double* const a = curve.data<double>() + first;
    const double* const b = a + d;
    Step step;
    double sum = 0;
    if (!log_variance.defined()) {
      step.has_ceiling = false;
      step.longest = 4;
      for (int64_t i = 0; i < d; ++i) sum += std::abs(b[i] - a[i]);
      step.length = sum;
      return step;
    }
    const bool one = log_variance.rank() == 1;
    for (int64_t i = 0; i < d; ++i) {
      const double* const v = log_variance.data<double>() + (one ? member : first + i);
      const double least = one ? *v : std::min(v[0], v[d]);
      sum += (b[i] - a[i]) * (b[i] - a[i]) * std::exp(-least);
      if (!one) sum += (v[d] - v[0]) * (v[d] - v[0]);
      step.ceiling -= (least + math::kLogTwoPi) / 2;
    }
    step.length = std::sqrt(sum);
    return step;
  }

  const Vae& vae_;
  const Tensor x_;  // (n, D) or (M, n, D), f64
  const int64_t n_;
  const size_t count_;  // M n
  Tensor scale_;        // the prior's deviation of each member
  const Rule rule_;
};

}  // namespace

QuadraturePoints quadrature_points(const Vae& vae, const Points& x) {
  if (vae.latent() != 1)
    fail("[quadrature] it is for one latent dimension, and the model has {}; there is importance sampling",
         vae.latent());
  const int64_t points = x.count();
  const QuadraturePoints all{Tensor::empty({vae.models(), points}, DType::f64),
                             Tensor::empty({vae.models(), points}, DType::f64)};
  const int64_t together = std::clamp<int64_t>(
      kNumbers / (vae.models() * vae.dimensions() * static_cast<int64_t>(kNodes)), 1, kPoints);
  for (int64_t begin = 0; begin < points; begin += together) {
    const Tensor part = x.rows(begin, std::min(begin + together, points)).to(Device::cpu);
    const int64_t n = part.size(-2);
    const auto [log_likelihood, error] = Quadrature(vae, part).find();
    for (int64_t m = 0; m < vae.models(); ++m)
      for (int64_t i = 0; i < n; ++i) {
        const auto from = static_cast<size_t>(m * n + i);
        all.log_likelihood.data<double>()[m * points + begin + i] = log_likelihood[from];
        all.error.data<double>()[m * points + begin + i] = error[from];
      }
  }
  return all;
}

std::vector<QuadratureEstimate> quadrature_log_likelihood(const Vae& vae, const Points& x) {
  if (x.count() == 0) fail("[quadrature] there are no points");
  const QuadraturePoints all = quadrature_points(vae, x);
  PointSpread spread(vae.models());
  spread.add(all.log_likelihood);
  std::vector<QuadratureEstimate> estimates;
  for (int64_t m = 0; m < vae.models(); ++m) {
    const std::span<const double> errors = all.error.slice(m).span<double>();
    estimates.push_back({spread.at(m).mean, spread.at(m).standard_error, std::ranges::max(errors)});
  }
  return estimates;
}

}  // namespace elbo
