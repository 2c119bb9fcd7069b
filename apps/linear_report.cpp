#include "apps/linear_report.h"

#include <algorithm>

namespace elbo {

LinearVaeFindings find_out(const LinearVaeWeights& weights, const LoadedData& data,
                           const DataMoments& moments) {
  LinearVaeFindings f;
  f.metrics = evaluate_linear_vae(weights, moments);
  const Eigen eigen = principal_components(moments);
  const int64_t latent = weights.decoder.size(1);
  f.has_maximum = latent < std::min(numerical_rank(eigen.values), eigen.values.elements());
  if (f.has_maximum) {
    f.maximum = ppca_max_log_likelihood(eigen.values, latent);
    f.best_sigma2 = ppca_mle_sigma2(eigen.values, latent);
  }
  f.paper_constant = paper_units_constant(data.dataset, data.preprocessing);
  std::vector<double> cosines = decoder_alignment(weights, eigen);
  std::nth_element(cosines.begin(), cosines.begin() + static_cast<std::ptrdiff_t>(cosines.size() / 2),
                   cosines.end());
  f.alignment = cosines[cosines.size() / 2];
  f.collapse_epsilon = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3};
  f.collapse_percent = linear_vae_collapse_percent(weights, data.all(), f.collapse_epsilon);
  return f;
}

void set_metrics(Result& result, const LinearVaeFindings& f) {
  const LinearVaeMetrics& m = f.metrics;
  result.set("elbo", m.elbo, kNatsPerPoint);
  result.set("elbo_paper_units", m.elbo + f.paper_constant, kNatsPerPoint);
  result.set("log_likelihood", m.log_likelihood, kNatsPerPoint);
  result.set("kl", m.kl, kNatsPerPoint);
  result.set("kl_per_dim", m.kl_per_dim, kNatsPerPoint);
  result.set("sigma2", m.sigma2);
  result.set("mse", m.mse, "squared data units per dimension");
  result.set("sigma2_tuned", m.sigma2_tuned);
  result.set("elbo_tuned", m.elbo_tuned, kNatsPerPoint);
  result.set("collapse_percent", f.collapse_percent[2], "percent of units, epsilon 0.01 nats, delta 0.01");
  result.set("collapse_curve", {{"epsilon", f.collapse_epsilon}, {"percent", f.collapse_percent}});
  result.set("active_units", m.active_units);
  result.set("decoder_alignment", f.alignment, "median |cosine| with the eigenvectors");
  result.set("ppca_maximum", f.has_maximum ? Json(f.maximum) : Json(nullptr), kNatsPerPoint);
  result.set("ppca_sigma2", f.has_maximum ? Json(f.best_sigma2) : Json(nullptr));
}

Table comparison(const LinearVaeFindings& f) {
  const LinearVaeMetrics& m = f.metrics;
  Table table({"quantity", Table::number("this model"), Table::number("pPCA closed form"),
               Table::number("difference")});
  const auto row = [&](const char* what, double ours, double closed_form, const char* format) {
    table.row({what, fmt::format(fmt::runtime(format), ours),
               f.has_maximum ? fmt::format(fmt::runtime(format), closed_form) : "",
               f.has_maximum ? fmt::format(fmt::runtime(format), ours - closed_form) : ""});
  };
  row("ELBO (nats per data point)", m.elbo, f.maximum, "{:.3f}");
  row("exact log-likelihood (nats per data point)", m.log_likelihood, f.maximum, "{:.3f}");
  row("σ²", m.sigma2, f.best_sigma2, "{:.6f}");
  table.row({"KL (nats per data point)", fmt::format("{:.3f}", m.kl), "", ""});
  table.row({"active units", fmt::format("{} of {}", m.active_units, m.kl_per_dim.size()), "", ""});
  table.row({"collapsed units (0.01, 0.01)", fmt::format("{:.1f} %", f.collapse_percent[2]), "", ""});
  table.row({"median |cosine| with eigenvectors", fmt::format("{:.5f}", f.alignment), "1", ""});
  if (f.paper_constant != 0)
    table.row({"ELBO in the papers' units", fmt::format("{:.3f}", m.elbo + f.paper_constant),
               f.has_maximum ? fmt::format("{:.3f}", f.maximum + f.paper_constant) : "", ""});
  return table;
}

}  // namespace elbo
