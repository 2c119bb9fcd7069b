#include "apps/reports/aggregate_report.h"

#include <cmath>

#include "apps/support/statistics.h"

namespace elbo {
namespace {

std::string p_text(double p) { return p < 0.001 ? "p < 0.001" : fmt::format("p = {:.3f}", p); }

}  // namespace

AggregateFindings look_at_aggregate(const Vae& vae, const Points& x, const AggregateOptions& options) {
  AggregateFindings found{aggregate_posterior(vae, x, options)[0], options, {}};
  // Samples of the Bernoulli likelihood are bits, and what it is given often is not.
  if (vae.dimensions() > kModerateDimensions || vae.likelihood() == Likelihood::bernoulli) return found;
  const Tensor drawn = draw_points(vae, x.count(), options.seed);
  const RandomKey of_data{.seed = options.seed, .stream = kEvaluation, .step = uint64_t{1} << 30},
      of_model{.seed = options.seed, .stream = kEvaluation, .step = uint64_t{3} << 29};
  found.samples = repeated_smooth_knn(points_among(drawn.reshape({-1, vae.dimensions()}), of_model),
                                      points_among(x.rows(0, x.count()), of_data), options.knn);
  return found;
}

void set_metrics(Result& result, const AggregateFindings& found) {
  const AggregatePosterior& q = found.posterior;
  const auto set = [&](const char* name, double value, const std::string& unit = "") {
    result.set(name, finite_or_null(value), unit);
  };
  const RepeatedKnnOptions& knn = found.options.knn;
  const std::string how = fmt::format(
      "smooth k-NN, k = {}, alpha = {}, {} against {} points, the mean of {} times; 0 where they "
      "are alike",
      knn.knn.neighbours, knn.knn.sharpness, knn.points, knn.points, knn.repetitions);
  result.set("aggregate_points", q.points, "chosen at random; what aggregate_* and samples_* rest on");
  set("aggregate_hz", q.z.statistic,
      "Henze-Zirkler statistic of z ~ q(z|x), one of each point: how far they are from any Gaussian");
  set("aggregate_hz_p_value", q.z.p_value, "how often Gaussian points come out at least as far");
  set("aggregate_means_hz", q.means.statistic, "the same of the means of q(z|x)");
  set("aggregate_means_hz_p_value", q.means.p_value);
  set("aggregate_mean_distance", q.mean_distance, "length of the mean of q(z), in the prior's deviations");
  set("aggregate_covariance_distance", q.covariance_distance,
      "Frobenius norm of the covariance of q(z) less I, in the prior's units");
  set("aggregate_mmd2", q.mmd.squared,
      fmt::format(
          "unbiased MMD^2 of those z and as many draws from the prior, kernel e^(-|x - y|^2 / 2 s^2), s "
          "= {:.4g}",
          q.mmd.bandwidth));
  set("aggregate_mmd_p_value", q.mmd.p_value,
      fmt::format("share of {} random divisions that are at least as far apart", found.options.permutations));
  set("aggregate_knn", q.knn.mean, "those z and draws from the prior: " + how);
  set("aggregate_knn_standard_error", q.knn.standard_error, "of the drawing");
  if (!found.samples) return;
  set("samples_knn", found.samples->mean, "samples of the model and data: " + how);
  set("samples_knn_standard_error", found.samples->standard_error, "of the drawing");
}

void add_rows(Table& table, const AggregateFindings& found) {
  const auto row = [&](const std::string& what, const std::string& value) {
    std::vector<std::string> cells{what, value};
    cells.resize(table.columns().size());
    table.row(cells);
  };
  const AggregatePosterior& q = found.posterior;
  const auto test = [&](const std::string& what, const HenzeZirklerTest& hz) {
    if (std::isfinite(hz.statistic))
      row(what, fmt::format("{:.3f}, {}", hz.statistic, p_text(hz.p_value)));
    else
      row(what, "none: they lie in fewer dimensions");
  };
  test(fmt::format("q(z) of {} points: Gaussian? (Henze-Zirkler)", q.points), q.z);
  test("  and the means of q(z|x)?", q.means);
  row("  its mean, in deviations of the prior", fmt::format("{:.3f}", q.mean_distance));
  row("  its covariance less I (Frobenius)", fmt::format("{:.3f}", q.covariance_distance));
  row("  its MMD² to the prior", fmt::format("{:.2g}, {}", q.mmd.squared, p_text(q.mmd.p_value)));
  row("  its smooth k-NN to the prior (0: alike)", with_error(q.knn.mean, q.knn.standard_error));
  if (found.samples)
    row("samples against data, smooth k-NN (0: alike)",
        with_error(found.samples->mean, found.samples->standard_error));
}

}  // namespace elbo
