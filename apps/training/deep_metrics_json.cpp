#include "apps/training/deep_metrics_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace elbo {
namespace {

/// Calls f(name, value) for every metric: writing and reading are two such f.
template <class Metrics, class F>
void each_metric(Metrics& m, F f) {
  f("z_samples", m.samples);
  f("elbo", m.elbo);
  f("elbo_standard_error", m.elbo_standard_error);
  f("expected_log_likelihood", m.expected_log_likelihood);
  f("kl", m.kl);
  f("kl_per_dim", m.kl_per_dim);
  f("sigma2", m.sigma2);
  f("mse", m.mse);
  f("sigma2_tuned", m.sigma2_tuned);
  f("elbo_tuned", m.elbo_tuned);
  f("row_identity_gap", m.row_identity_gap);
  f("active_units", m.active_units);
  f("collapse_curve", m.collapse_percent);
  f("variance_law", m.variance_law);
  f("variance_law_standard_error", m.variance_law_standard_error);
  f("mean_of_mean", m.mean_of_mean);
  f("variance_of_mean", m.variance_of_mean);
  f("share_below", m.share_below);
  f("prior_entropy", m.entropies.prior);
  f("decoder_entropy", m.entropies.decoder);
  f("encoder_entropy", m.entropies.encoder);
  f("entropy_sum", m.entropies.sum);
  f("entropy_sum_standard_error", m.entropies.sum_standard_error);
  f("entropy_gap", m.entropies.gap);
  f("entropy_gap_standard_error", m.entropies.gap_standard_error);
  f("entropy_gap_percent", m.entropies.gap_percent);
  f("entropy_gap_decoder", m.entropies.decoder_gap);
  f("entropy_gap_prior", m.entropies.prior_gap);
  f("noise_ratio", m.entropies.noise_ratio);
  f("latent_second_moments", m.entropies.second_moments);
  f("encoder_slope", m.entropies.encoder_slope);
  f("encoder_slope_standard_error", m.entropies.encoder_slope_standard_error);
  f("z_log_volume", m.entropies.z_log_volume);
  f("x_log_volume", m.entropies.x_log_volume);
  f("entropies_obstacle", m.entropies.obstacle);
}

}  // namespace

Json to_json(const DeepVaeMetrics& metrics) {
  Json json;
  each_metric(metrics, [&](const char* name, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, double>)
      json[name] = finite_or_null(value);
    else if constexpr (std::is_same_v<Value, std::vector<double>>)
      json[name] = finite_or_null(value);
    else
      json[name] = value;
  });
  return json;
}

DeepVaeMetrics deep_metrics_from(const Json& json) {
  DeepVaeMetrics metrics;
  const bool stopped = json.contains("stopped");
  each_metric(metrics, [&](const char* name, auto& value) {
    if (!stopped && !json.contains(name))
      fail("[metrics] '{}' is missing: another version of elbo wrote these; resume with that one", name);
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, double>)
      value = stopped ? std::nan("") : number_or_nan(json.at(name));
    else if constexpr (std::is_same_v<Value, std::vector<double>>)
      value = stopped ? std::vector<double>{} : numbers_or_nan(json.at(name));
    else if (!stopped)
      json.at(name).get_to(value);
  });
  return metrics;
}

}  // namespace elbo
