#include "vae/deep_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/copy.h"
#include "tensor/gemm.h"
#include "tensor/map_loops.h"
#include "vae/importance.h"
#include "vae/metric_parts.h"

namespace elbo {
namespace {

constexpr int64_t kRows = kPointsOfPart;
constexpr int64_t kPairs = int64_t{1} << 21;  // of points that are looked at together: 16 MiB in f64

struct IsBelow {
  double limit;
  template <class T>
  ELBO_HD T operator()(T value) const {
    return value < T(limit) ? T(1) : T(0);
  }
};

struct Exponential {
  template <class T>
  ELBO_HD T operator()(T x) const {
    return math::exp(x);
  }
};

/// E_q z^2 of one unit, its square, and its product with E_q z: what the variance of the law's terms is made
/// of.
struct SquaredSecondMoment {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance) const {
    const T moment = mean * mean + math::exp(log_variance);
    return moment * moment;
  }
};
struct SecondMomentTimesMean {
  template <class T>
  ELBO_HD T operator()(T mean, T log_variance) const {
    return (mean * mean + math::exp(log_variance)) * mean;
  }
};

struct SquaredErrorOfLogit {
  template <class T>
  ELBO_HD T operator()(T x, T logit) const {
    const T error = x - math::sigmoid(logit);
    return error * error;
  }
};

/// A running sum in double of what parts of the data contribute, (M, each).
struct RunningSum {
  Tensor total;
  RunningSum(int64_t members, int64_t each) : total(Tensor::zeros({members, each}, DType::f64)) {}
  void add(const Tensor& part) {
    add_into(total, part.reshape(total.shape()).to(DType::f64).to(Device::cpu));
  }
  double at(int64_t member, int64_t i = 0) const { return total.at(member * total.size(1) + i); }
};

/// What one pass over the data gathers, of every member.
struct Gathered {
  RunningSum unit_kl, means, squared_means, variances, squared_moments, moments_by_means, log_likelihood,
      error, error_of_mean;
  PointSpread elbo;
  EntropySums entropies;
  std::vector<RunningSum> below;  // points with KL under each epsilon
  Tensor log_sigma2;              // the Gaussian likelihood's, (1) or (M, 1)
  Gathered(int64_t m, int64_t d, int64_t k, int64_t samples)
      : unit_kl(m, k),
        means(m, k),
        squared_means(m, k),
        variances(m, k),
        squared_moments(m, k),
        moments_by_means(m, k),
        log_likelihood(m, 1),
        error(m, 1),
        error_of_mean(m, 1),
        elbo(m),
        entropies(m, d, k, samples) {
    for (size_t e = 0; e < collapse_epsilons().size(); ++e) below.emplace_back(m, k);
  }
};

/// Tensors of the ensemble with the member axis written out, (M, rows, last), also where there is one model.
Tensor by_member(const Vae& vae, const Tensor& x) { return x.reshape({vae.models(), -1, x.size(-1)}); }

/// Sum over points, samples and dimensions of (x - prediction)^2: (M). prediction (M?, S?, n, D) as the
/// decoder gives it.
Tensor squared_error(const Vae& vae, const Tensor& x, const Tensor& output) {
  const int64_t m = vae.models(), n = x.size(-2), d = x.size(-1);
  const Tensor predictions = output.reshape({m, -1, n, d}), points = x.reshape({-1, 1, n, d});
  if (vae.likelihood() == Likelihood::bernoulli)
    return map_reduce<Sum>({m, 1, 1, 1}, SquaredErrorOfLogit{}, points, predictions);
  return map_reduce<Sum>({m, 1, 1, 1}, SquareOfDifference{}, points, predictions);
}

/// What the first of the draws decode to.
Observation first_of_draws(const Vae& vae, const Observation& all, int64_t samples) {
  const int axis = vae.has_members() ? 1 : 0;
  const bool of_draws = all.log_variance.rank() == all.mean.rank();
  return {slice(all.mean, axis, 0, samples),
          of_draws ? slice(all.log_variance, axis, 0, samples) : all.log_variance};
}

void gather(Gathered& sums, const Vae& vae, const Tensor& x, const RandomKey& key,
            const MetricsOptions& options) {
  const int64_t m = vae.models(), k = vae.latent(), n = x.size(-2), samples = options.samples;
  const Posterior q = of_each_point(vae.encode(x)), of_prior = vae.in_prior_units(q);
  const Tensor of_units = by_member(vae, of_prior.mean.value()),
               log_variances = by_member(vae, of_prior.log_variance.value());
  const Tensor unit_kl = gaussian_kl(of_units, log_variances).value();
  // In double: a unit's variance is a difference of sums, and its mean may be large beside it.
  const Tensor mean = of_units.to(DType::f64), log_variance = log_variances.to(DType::f64);
  const auto over_points = [&](auto f, const Tensor& values) {
    return map_reduce<Sum>({m, 1, k}, f, values);
  };
  sums.unit_kl.add(over_points(Identity{}, unit_kl));
  for (size_t e = 0; e < sums.below.size(); ++e)
    sums.below[e].add(over_points(IsBelow{collapse_epsilons()[e]}, unit_kl));
  sums.means.add(over_points(Identity{}, mean));
  sums.squared_means.add(over_points(SquareOf{}, mean));
  sums.variances.add(over_points(Exponential{}, log_variance));
  sums.squared_moments.add(map_reduce<Sum>({m, 1, k}, SquaredSecondMoment{}, mean, log_variance));
  sums.moments_by_means.add(map_reduce<Sum>({m, 1, k}, SecondMomentTimesMean{}, mean, log_variance));

  // One draw does not tell how far others would be, which a second one is there for alone.
  const bool gaussian = vae.likelihood() != Likelihood::bernoulli;
  const int64_t drawn = gaussian && options.second_draw ? std::max<int64_t>(samples, 2) : samples;
  const Variable z = vae.draw(q, key, drawn).z;
  const Observation all = vae.decode(z);
  const Observation p = drawn == samples ? all : first_of_draws(vae, all, samples);
  const Tensor log_likelihood = vae.log_likelihood(x, p).value().reshape({m, samples, n});
  sums.log_likelihood.add(map_reduce<Sum>({m, 1, 1}, Identity{}, log_likelihood));
  const Variable of_points = map_reduce<Sum>({m, 1, n}, Identity{}, log_likelihood).reshape({m, n});
  const Variable kl = map_reduce<Sum>({m, n, 1}, Identity{}, unit_kl).reshape({m, n});
  sums.elbo.add((of_points / static_cast<double>(samples) - kl).value());
  sums.log_sigma2 = p.log_variance.value();
  sums.error.add(squared_error(vae, x, p.mean.value()));
  sums.error_of_mean.add(squared_error(vae, x, vae.decode(q.mean).mean.value()));
  if (gaussian)
    sums.entropies.add({x, q.mean.value(), q.log_variance.value(), vae.prior_log_variance().value(),
                        all.mean.value(),
                        vae.has_scalar_sigma2() ? all.log_variance.value()
                                                : broadcast_to(all.log_variance, all.mean.shape()).value(),
                        z.value()});
}

bool is_table_epsilon(size_t e) { return std::abs(collapse_epsilons()[e] / kTableEpsilon - 1) < 1e-9; }

/// Of the mean over points of (mu - mean mu)^2 + sigma^2 = a - 2 (mean mu) mu + const, with a = E_q z^2.
double law_standard_error(const Gathered& sums, int64_t member, int64_t unit, double points) {
  const auto mean_of = [&](const RunningSum& sum) { return sum.at(member, unit) / points; };
  const double mu = mean_of(sums.means), squares = mean_of(sums.squared_means),
               moment = squares + mean_of(sums.variances);
  const double variance = mean_of(sums.squared_moments) - moment * moment -
                          4 * mu * (mean_of(sums.moments_by_means) - moment * mu) +
                          4 * mu * mu * (squares - mu * mu);
  return points > 1 ? std::sqrt(std::max(variance, 0.0) / (points - 1)) : std::nan("");
}

/// As EntropyGauge::obstacle, as far as the model itself tells.
std::string why_not_entropies(const Vae& vae, int64_t member) {
  if (vae.likelihood() == Likelihood::bernoulli) return "the likelihood is not Gaussian";
  if (!vae.learns_sigma2(member)) return kSigma2IsFixed;
  if (vae.parts().mixes_points) return "batch normalisation is evaluated otherwise than it is trained";
  return "";
}

DeepVaeMetrics metrics_of(const Vae& vae, const Gathered& sums, int64_t member, double points,
                          int64_t samples) {
  const int64_t k = vae.latent();
  const auto dimensions = static_cast<double>(vae.dimensions());
  const double draws = points * static_cast<double>(samples);
  DeepVaeMetrics metrics;
  metrics.samples = samples;
  for (int64_t i = 0; i < k; ++i) {
    metrics.kl_per_dim.push_back(sums.unit_kl.at(member, i) / points);
    const double mean = sums.means.at(member, i) / points;
    const double variance_of_mean =
        std::max(sums.squared_means.at(member, i) / points - mean * mean, 0.0);  // by rounding
    if (variance_of_mean > kActiveVariance) ++metrics.active_units;
    metrics.mean_of_mean.push_back(mean);
    metrics.variance_of_mean.push_back(variance_of_mean);
    metrics.variance_law.push_back(variance_of_mean + sums.variances.at(member, i) / points);
    metrics.variance_law_standard_error.push_back(law_standard_error(sums, member, i, points));
  }
  metrics.kl = std::accumulate(metrics.kl_per_dim.begin(), metrics.kl_per_dim.end(), 0.0);
  for (size_t e = 0; e < sums.below.size(); ++e) {
    const RunningSum& below = sums.below[e];
    if (is_table_epsilon(e))
      for (int64_t i = 0; i < k; ++i) metrics.share_below.push_back(below.at(member, i) / points);
    int64_t collapsed = 0;
    for (int64_t i = 0; i < k; ++i)
      if (below.at(member, i) >= (1 - kCollapseDelta) * points) ++collapsed;
    metrics.collapse_percent.push_back(100.0 * static_cast<double>(collapsed) / static_cast<double>(k));
  }
  metrics.expected_log_likelihood = sums.log_likelihood.at(member) / draws;
  metrics.elbo = metrics.expected_log_likelihood - metrics.kl;
  metrics.elbo_standard_error = sums.elbo.at(member).standard_error;
  metrics.entropies = vae.likelihood() == Likelihood::bernoulli ? no_entropy_gauge()
                                                                : sums.entropies.gauge(member, metrics.elbo);
  metrics.entropies.obstacle = why_not_entropies(vae, member);
  metrics.mse = sums.error_of_mean.at(member) / (points * dimensions);
  metrics.sigma2_tuned = sums.error.at(member) / (draws * dimensions);
  metrics.sigma2 = metrics.elbo_tuned = metrics.row_identity_gap = std::nan("");
  if (!vae.has_scalar_sigma2()) return metrics;
  metrics.sigma2 = std::exp(sums.log_sigma2.at(sums.log_sigma2.elements() > 1 ? member : 0));
  const auto elbo_at = [&](double sigma2) {
    return -0.5 * dimensions * (math::kLogTwoPi + std::log(sigma2) + metrics.sigma2_tuned / sigma2) -
           metrics.kl;
  };
  metrics.elbo_tuned = elbo_at(metrics.sigma2_tuned);
  metrics.row_identity_gap = metrics.elbo - elbo_at(metrics.sigma2);
  return metrics;
}

}  // namespace

const std::vector<double>& collapse_epsilons() {
  static const std::vector<double> epsilons = [] {
    std::vector<double> all;
    for (int i = -16; i <= 4; ++i) all.push_back(std::pow(10, i / 4.0));
    return all;
  }();
  return epsilons;
}

RandomKey evaluation_key(const Vae& vae, uint64_t seed, int64_t begin) {
  return for_members_of(
      vae, {.seed = seed, .stream = kEvaluation, .step = static_cast<uint64_t>(begin / kPointsOfPart)});
}

double DeepVaeMetrics::table_collapse_percent() const {
  for (size_t e = 0; e < collapse_percent.size(); ++e)
    if (is_table_epsilon(e)) return collapse_percent[e];
  return std::nan("");
}

std::vector<DeepVaeMetrics> evaluate_deep_vae(const Vae& vae, const Points& x,
                                              const MetricsOptions& options) {
  Gathered sums(vae.models(), vae.dimensions(), vae.latent(), options.samples);
  const int64_t points = x.count();
  for (int64_t begin = 0; begin < points; begin += kRows) {
    const int64_t end = std::min(begin + kRows, points);
    gather(sums, vae, rows_for(vae, x, begin, end), evaluation_key(vae, options.seed, begin), options);
    if (options.progress && !options.progress(end, points)) return {};
  }
  std::vector<DeepVaeMetrics> metrics;
  for (int64_t m = 0; m < vae.models(); ++m)
    metrics.push_back(metrics_of(vae, sums, m, static_cast<double>(points), options.samples));
  return metrics;
}

std::vector<MeanOfPoints> importance_weighted_bound(const Vae& vae, const Points& x, int64_t samples,
                                                    uint64_t seed) {
  std::vector<MeanOfPoints> bounds;
  for (const ImportanceEstimate& own :
       importance_log_likelihood(vae, x, {.samples = samples, .inflation = 1, .seed = seed}))
    bounds.push_back({own.mean, own.standard_error});
  return bounds;
}

Codes encode_all(const Vae& vae, const Points& x) {
  const int64_t k = vae.latent(), points = x.count();
  const Shape shape = vae.has_members() ? Shape{vae.models(), points, k} : Shape{points, k};
  const Codes all{Tensor::empty(shape, vae.dtype()), Tensor::empty(shape, vae.dtype())};
  const int axis = shape.rank() - 2;
  for (int64_t begin = 0; begin < points; begin += kRows) {
    const int64_t end = std::min(begin + kRows, points);
    const Posterior q = of_each_point(vae.encode(rows_for(vae, x, begin, end)));
    copy_range(all.mean, begin, q.mean.value().to(Device::cpu), 0, axis, end - begin);
    copy_range(all.log_variance, begin, q.log_variance.value().to(Device::cpu), 0, axis, end - begin);
  }
  return all;
}

namespace {

/// Sum over i of ln q(z_i|x_i) - ln sum_b q(z_i|x_b), of one member: z, mean, log_variance (B, k) in f64.
/// Pairs are looked at a block of rows i at a time.
double sum_of_information(const Tensor& z, const Variable& mean, const Variable& log_variance) {
  const int64_t points = z.size(0);
  const Variable precision = exp(-log_variance);
  // ln q(z_i|x_b), but for a constant that cancels: the square written out, so that gemm does the pairs.
  const Variable scaled_mean = mean * precision;
  const Variable of_b = -0.5 * sum(mean * scaled_mean + log_variance, {-1});  // (B)
  const int64_t rows = std::max<int64_t>(1, kPairs / std::max<int64_t>(points, 1));
  double total = 0;
  for (int64_t begin = 0; begin < points; begin += rows) {
    const Tensor own = z.slice(begin, std::min(begin + rows, points));
    const Tensor log_q = Tensor::empty({own.size(0), points}, DType::f64);  // (i, b)
    map_into(log_q, Identity{}, of_b.value());
    gemm(log_q, square(own).value(), Transpose::no, precision.value(), Transpose::yes, true, -0.5);
    gemm(log_q, own, Transpose::no, scaled_mean.value(), Transpose::yes, true);
    const Variable aggregate = logsumexp(log_q, {1});
    for (int64_t i = 0; i < own.size(0); ++i)
      total += log_q.at(i * points + begin + i) - aggregate.value().at(i);
  }
  return total;
}

}  // namespace

std::vector<double> mutual_information(const Vae& vae, const Points& x, uint64_t seed) {
  const int64_t points = x.count();
  const Codes q = encode_all(vae, x);
  const RandomKey key{.seed = seed, .stream = kEvaluation};
  const Tensor z =
      reparameterize_kl(q.mean, q.log_variance, for_members_of(vae, key), vae.models()).z.value();
  std::vector<double> information;
  for (int64_t m = 0; m < vae.models(); ++m) {
    const auto of_member = [&](const Tensor& values) {
      return by_member(vae, values).slice(m).to(DType::f64);
    };
    const double total = sum_of_information(of_member(z), of_member(q.mean), of_member(q.log_variance));
    information.push_back(total / static_cast<double>(points) + std::log(static_cast<double>(points)));
  }
  return information;
}

}  // namespace elbo
