#include "apps/reports/entropy_report.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "apps/support/statistics.h"

namespace elbo {
namespace {

constexpr const char* kOfDraws = "nats per data point, by the draws of z alone; null where exact";

bool has_numbers(const EntropyGauge& gauge) { return std::isfinite(gauge.sum); }

/// Nats per data point.
std::vector<std::pair<std::string, double>> parts_of_gap(const EntropyGauge& g) {
  return {{fmt::format("of which by σ²: squared errors are {:.5g} of σ²", g.noise_ratio), g.decoder_gap},
          {fmt::format("of which by the prior: E z² is {:.5g} of its variance", g.mean_second_moment()),
           g.prior_gap}};
}

/// "0.012 ± 0.034 nats, 0.1 %"; of a gap that need not close, why: "not applicable: σ² is fixed".
std::string gap_text(const EntropyGauge& g) {
  if (!g.obstacle.empty()) return "not applicable: " + g.obstacle;
  return fmt::format("{} nats, {:.2f} %", with_error(g.gap, g.gap_standard_error), g.gap_percent);
}

constexpr const char* kSlope = "slope of the ELBO by ln of the posteriors' variances";

}  // namespace

void set_entropies(Result& result, const EntropyGauge& g) {
  const auto nats = [&](const char* name, double value) {
    result.set(name, finite_or_null(value), kNatsPerPoint);
  };
  nats("prior_entropy", g.prior);
  nats("decoder_entropy", g.decoder);
  nats("encoder_entropy", g.encoder);
  nats("entropy_sum", g.sum);
  result.set("entropy_sum_standard_error", finite_or_null(g.sum_standard_error), kOfDraws);
  nats("entropy_gap", g.gap);
  result.set("entropy_gap_standard_error", finite_or_null(g.gap_standard_error), kOfDraws);
  result.set("entropy_gap_percent", finite_or_null(g.gap_percent), "of the ELBO's size");
  nats("entropy_gap_decoder", g.decoder_gap);
  nats("entropy_gap_prior", g.prior_gap);
  result.set("noise_ratio", finite_or_null(g.noise_ratio),
             "mean of (x - mean(z))^2 / sigma^2: 1 where sigma^2 is stationary");
  result.set("latent_second_moments", g.second_moments,
             "E_x E_q z^2 of each unit over the prior's variance: 1 where that is stationary");
  result.set("encoder_slope", finite_or_null(g.encoder_slope),
             "nats per data point by ln t, of the ELBO with the posteriors' variances times t: 0 where these "
             "are stationary");
  result.set("encoder_slope_standard_error", finite_or_null(g.encoder_slope_standard_error),
             "nats per data point, over the points and the draws of z; null where exact, and for one point");
  result.set("z_log_volume", finite_or_null(g.z_log_volume),
             "mean ln of the volume of a box two deviations of q(z|x) wide, in units of the prior's");
  result.set("x_log_volume", finite_or_null(g.x_log_volume),
             "mean ln of the volume of a box two deviations of p(x|z) wide");
  result.set("entropies_obstacle", g.obstacle, "why the gap need not close; empty where it must");
}

std::vector<std::pair<std::string, std::string>> gap_rows(const EntropyGauge& g) {
  std::vector<std::pair<std::string, std::string>> rows{{"ELBO minus that sum", gap_text(g)}};
  if (!g.obstacle.empty()) return rows;
  for (const auto& [what, value] : parts_of_gap(g)) rows.push_back({what, fmt::format("{:.3f}", value)});
  rows.push_back({kSlope, with_error(g.encoder_slope, g.encoder_slope_standard_error) + " nats"});
  return rows;
}

std::string notes_on_gaps(const std::vector<std::pair<int64_t, std::string>>& obstacles) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> reasons;
  for (const auto& [member, obstacle] : obstacles) {
    if (obstacle.empty()) continue;
    const auto said = std::find_if(reasons.begin(), reasons.end(),
                                   [&, why = obstacle](const auto& reason) { return reason.first == why; });
    if (said == reasons.end())
      reasons.push_back({obstacle, {member}});
    else
      said->second.push_back(member);
  }
  std::string notes;
  for (const auto& [obstacle, members] : reasons)
    notes += fmt::format("ELBO - entropies is not applicable to member{} {}: {}.\n",
                         members.size() == 1 ? "" : "s", fmt::join(members, ", "), obstacle);
  return notes;
}

Figure entropy_figure(const std::vector<double>& epoch, const std::vector<double>& elbo,
                      const std::vector<double>& sum) {
  Figure figure{.name = "entropies",
                .title = "ELBO and entropies during training",
                .x = {"epoch"},
                .y = {"nats per data point"}};
  figure.series.push_back({.name = "ELBO", .x = epoch, .y = elbo});
  figure.series.push_back({.name = "sum of three entropies", .x = epoch, .y = sum});
  // The first epochs are far off, and would hide how the two meet.
  double low = INFINITY, high = -INFINITY;
  for (size_t e = epoch.size() / 10; e < epoch.size(); ++e)
    for (const double value : {elbo[e], sum[e]})
      if (std::isfinite(value)) low = std::min(low, value), high = std::max(high, value);
  if (low < high) {
    figure.y.low = low - 0.05 * (high - low);
    figure.y.high = high + 0.05 * (high - low);
  }
  return figure;
}

void add_entropies(Report& report, const EntropyGauge& g, double elbo,
                   const std::optional<Drawing>& over_epochs) {
  report.section("Entropies");
  report.paragraph(
      "Where the variances are stationary, the ELBO of a Gaussian VAE is the sum of three entropies: that of "
      "the posteriors, minus those of the prior and of the decoder. The gap between the two says how far the "
      "variances are from there, the decoder's σ² and the prior's (or, where that is fixed, the scale of the "
      "latent space) apart. The posteriors' entropy is a term of both, so they have no part of their own; "
      "where their variances are wrong, both parts are. The slope of the ELBO by the logarithm of a factor "
      "on these variances tells: it is 0 where they are stationary, and negative where they are too large. "
      "The gap says nothing of how good the optimum is.");
  if (!g.obstacle.empty())
    report.paragraph(fmt::format("Here that is not applicable: {}.{}", g.obstacle,
                                 has_numbers(g) ? " The gap need not close." : ""));
  if (!has_numbers(g)) return;
  Table table({"term", Table::number("nats per data point")});
  const auto row = [&](const std::string& what, double value) {
    table.row({what, fmt::format("{:.3f}", value)});
  };
  row("mean entropy of the posteriors q(z|x)", g.encoder);
  row("minus entropy of the prior", -g.prior);
  row("minus mean entropy of the decoder p(x|z)", -g.decoder);
  row("their sum", g.sum);
  row("ELBO", elbo);
  row(fmt::format("gap: ELBO minus sum ({:.3g} % of the ELBO)", g.gap_percent), g.gap);
  for (const auto& [what, value] : parts_of_gap(g)) row(what, value);
  row(kSlope, g.encoder_slope);
  row("ln of z's volume: of a box two deviations of q(z|x) wide, in units of the prior's", g.z_log_volume);
  row("minus ln of x's: of a box two deviations of p(x|z) wide", -g.x_log_volume);
  row("a constant, which makes their sum that of the entropies", g.sum - g.z_log_volume + g.x_log_volume);
  const auto by_draws = [](const char* what, double error) {
    return std::isfinite(error)
               ? fmt::format(" The {} moves by {:.3f} nats (one standard error) with the draws.", what, error)
               : "";
  };
  report.table(table,
               std::isfinite(g.gap_standard_error)
                   ? "The ELBO beside the three entropies, on the same points and the same draws of z." +
                         by_draws("gap", g.gap_standard_error) + by_draws("sum", g.sum_standard_error) +
                         (std::isfinite(g.encoder_slope_standard_error)
                              ? fmt::format(" The slope's standard error, over points and draws, is {:.3f}.",
                                            g.encoder_slope_standard_error)
                              : "")
                   : std::string("The ELBO beside the three entropies, both exact."));
  if (over_epochs)
    report.figure(*over_epochs, "The ELBO, and the sum that it becomes where the variances are stationary.");
}

}  // namespace elbo
