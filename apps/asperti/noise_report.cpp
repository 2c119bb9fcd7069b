#include "apps/asperti/noise_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/figure.h"

namespace elbo::asperti {
namespace {

constexpr size_t kDrawn = 9;  // runs in the figure of all

std::string name_of(const NoiseRun& run) { return fmt::format("model {}, unit {}", run.seed + 1, run.unit); }

void add_moments(Figure& figure, const NoiseRun& run) {
  const auto at = [&](int64_t epoch, const char* label) {
    if (epoch >= 0)
      figure.lines.push_back({.at = static_cast<double>(epoch), .label = label, .vertical = true});
  };
  at(run.course.crossed(), "gain < KL");
  at(run.course.removed(), "noise removed");
}

Figure worth_of(const NoiseRun& run) {
  Figure figure{.title = name_of(run), .x = {"epoch"}, .y = {.label = "nats", .low = 0}};
  figure.series = {{.name = "reconstruction gain", .x = run.epoch, .y = run.gain, .colour = 0},
                   {.name = "KL", .x = run.epoch, .y = run.kl, .colour = 1}};
  add_moments(figure, run);
  return figure;
}

Figure variances_of(const NoiseRun& run) {
  Figure figure{.x = {"epoch"}, .y = {.label = "variance", .low = 0}};
  figure.series = {{.name = "Var μ", .x = run.epoch, .y = run.variance, .colour = 2},
                   {.name = "mean σ²", .x = run.epoch, .y = run.sigma2, .colour = 3},
                   {.name = "noise's deviation",
                    .x = run.epoch,
                    .y = run.deviation,
                    .style = Style::dashed,
                    .colour = kBlack}};
  add_moments(figure, run);
  return figure;
}

Figure loss_of(const NoiseRun& run) {
  Figure figure{.x = {"epoch"}, .y = {.label = "nats", .low = 0}};
  figure.series = {{.name = "squared error / (2 σ²)", .x = run.epoch, .y = run.loss, .colour = 4},
                   {.name = "KL of all units", .x = run.epoch, .y = run.loss_kl, .colour = 5}};
  add_moments(figure, run);
  return figure;
}

std::string epoch_text(int64_t epoch) { return epoch < 0 ? "-" : std::to_string(epoch); }

/// The share of its first gain that a unit has in the end, percent.
double gain_back(const NoiseRun& run) { return 100 * run.course.latest().gain / run.course.first().gain; }

Table runs_table(const NoiseFindings& found) {
  Table table({"unit", Table::number("gain"), Table::number("KL"), Table::number("Var μ, widest"),
               Table::number("noise"), Table::number("gain < KL"), Table::number("collapsed"),
               Table::number("removed"), Table::number("revived"), Table::number("gain back (%)")});
  for (const NoiseRun& run : found.runs) {
    const NoiseCourse& c = run.course;
    table.row({name_of(run), fmt::format("{:.2f}", c.first().gain), fmt::format("{:.2f}", c.first().kl),
               fmt::format("{:.2f}", c.widest()), fmt::format("{:.2f}", c.largest_deviation()),
               epoch_text(c.crossed()), epoch_text(c.collapsed()), epoch_text(c.removed()),
               epoch_text(c.revived()), c.revived() < 0 ? "-" : fmt::format("{:.0f}", gain_back(run))});
  }
  return table;
}

template <class Holds>
size_t count_of(const NoiseFindings& found, Holds holds) {
  return static_cast<size_t>(std::count_if(found.runs.begin(), found.runs.end(), holds));
}

/// A claim about units: how many of those that could do it did. It holds where most do.
void add_claim(const NoiseFindings& found, Presentation& p, const char* claim, const char* paper, size_t did,
               size_t could) {
  p.claims.push_back(
      {.claim = claim,
       .paper = paper,
       .here = fmt::format("{} of {} units", did, could),
       .holds = could > 0 && found.unlike.empty() ? std::optional(2 * did > could) : std::nullopt,
       .note = could == 0 ? "no unit came so far" : found.unlike});
}

void add_claims(const NoiseFindings& found, Presentation& p) {
  const auto crossed = [](const NoiseRun& run) { return run.course.crossed() >= 0; };
  const auto collapsed = [](const NoiseRun& run) { return run.course.collapsed() >= 0; };
  const auto removed = [&](const NoiseRun& run) { return collapsed(run) && run.course.removed() >= 0; };
  const auto revived = [](const NoiseRun& run) { return run.course.revived() >= 0; };
  const size_t all = found.runs.size();
  add_claim(found, p, "under noise the means spread: Var μ grows by a fifth or more",
            "by enlarging the mean values",
            count_of(found,
                     [](const NoiseRun& run) {
                       return run.course.widest() > 1.2 * run.course.first().variance_of_mean;
                     }),
            all);
  add_claim(found, p, "the gain falls below the KL", "at some point", count_of(found, crossed), all);
  add_claim(found, p, "then the unit collapses, with no more noise than it has", "suddenly",
            count_of(found, collapsed), count_of(found, crossed));
  add_claim(found, p, "without the noise it comes back", "it may take several epochs",
            count_of(found, revived), count_of(found, removed));
  add_claim(found, p, "and not with its whole gain", "we should not expect to recover it",
            count_of(found, [&](const NoiseRun& run) { return revived(run) && gain_back(run) < 90; }),
            count_of(found, revived));
}

}  // namespace

NoisyUnit noisy_unit_from(const Json& look, size_t member) {
  const auto at = [&](const char* name) { return number_or_nan(look.at(name).at(member)); };
  return {.gain = at("gain"),
          .kl = at("kl"),
          .variance_of_mean = at("variance"),
          .mean_variance = at("sigma2"),
          .loss = at("loss"),
          .loss_kl = at("loss_kl")};
}

void add_runs(NoiseFindings& found, int64_t seed, const Json& json, const NoiseRule& rule) {
  const std::vector<int64_t> units = json.at("units");
  for (size_t m = 0; m < units.size(); ++m) {
    NoiseRun run;
    run.seed = seed;
    run.unit = units[m];
    run.course = NoiseCourse(rule);
    for (const Json& look : json.at("looks")) {
      const NoisyUnit own = noisy_unit_from(look, m);
      const int64_t epoch = look.at("epoch");
      run.course.take(epoch, own);
      run.epoch.push_back(static_cast<double>(epoch));
      run.gain.push_back(own.gain);
      run.kl.push_back(own.kl);
      run.variance.push_back(own.variance_of_mean);
      run.sigma2.push_back(own.mean_variance);
      run.loss.push_back(own.loss);
      run.loss_kl.push_back(own.loss_kl);
      run.deviation.push_back(number_or_nan(look.at("deviation").at(m)));
    }
    found.runs.push_back(std::move(run));
  }
}

void present_noise(const NoiseFindings& found, Presentation& p) {
  const std::string folder = p.directory.figures();
  Report& report = p.report.emplace(
      "A unit under noise",
      fmt::format(
          "Asperti 2019, section 5 and Fig 7. Noise on the sampled z of an active unit grows until the "
          "unit is worth less than its KL, stays until it has collapsed, and is removed. {} units.",
          found.runs.size()));
  const Table table = runs_table(found);
  p.text = table.text();
  report.section("Result");
  report.table(
      table,
      "Gain and KL at the beginning, nats per data point; the widest Var μ and the noise's deviation when "
      "the gain fell below the KL; the epochs in which that happened, Var μ fell below 0.1, the noise was "
      "removed, and Var μ was above a half again; the share of the first gain at the end.");
  add_claims(found, p);
  Json rows = Json::array();
  for (const NoiseRun& run : found.runs)
    rows.push_back({{"model", run.seed},
                    {"unit", run.unit},
                    {"gain", finite_or_null(run.course.first().gain)},
                    {"kl", finite_or_null(run.course.first().kl)},
                    {"widest_variance", finite_or_null(run.course.widest())},
                    {"deviation", finite_or_null(run.course.largest_deviation())},
                    {"crossed", run.course.crossed()},
                    {"collapsed", run.course.collapsed()},
                    {"removed", run.course.removed()},
                    {"revived", run.course.revived()},
                    {"last_gain", finite_or_null(run.course.latest().gain)}});
  p.result.set("units", rows, "epochs are -1 where it did not happen; gain and KL in nats per data point");
  if (found.runs.empty()) return;
  report.section("Along the training");
  FigureGrid one{.name = "one_unit", .title = "A unit under noise", .cells = {}, .columns = 1};
  one.cells = {worth_of(found.runs[0]), variances_of(found.runs[0]), loss_of(found.runs[0])};
  report.figure(
      draw(one, folder),
      "What a unit is worth and costs while noise on its z grows, stays, and is gone; below, the variance "
      "of its mean, the mean of its variance, and the noise; then the two parts of the whole model's loss. "
      "Measured after each epoch on 1000 points, with the noise of that epoch.");
  FigureGrid all{.name = "all_units", .title = "Gain and KL of each", .columns = 3, .share_x = true};
  for (const NoiseRun& run : found.runs)
    if (all.cells.size() < kDrawn) all.cells.push_back(worth_of(run));
  report.figure(draw(all, folder), fmt::format("The same of {} units.", all.cells.size()));
}

}  // namespace elbo::asperti
