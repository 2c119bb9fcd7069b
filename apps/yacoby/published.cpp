// Yacoby et al. for the ledger: figures and Table 1 by name, the commands that make them, and each number.
#include <fmt/format.h>

#include "apps/command.h"
#include "apps/ledger/publication.h"
#include "apps/yacoby/methods.h"
#include "apps/yacoby/tables.h"

namespace elbo {
namespace {

using namespace yacoby;
using ledger::Better;
using ledger::claim_line;
using ledger::Item;
using ledger::Line;
using ledger::Reading;
using ledger::Run;

std::vector<Run> runs() {
  return {{.key = "yacoby-optima",
           .command = "yacoby-optima",
           .unstated = "starts, restarts and steps of Fig 1 are not stated"},
          {.key = "yacoby-table1",
           .command = "yacoby-table1",
           .settings = {{"config.sets", "data sets", 5, true},
                        {"config.restarts", "restarts", 10, true},
                        {"config.points", "points", 500},
                        {"config.epochs", "steps", 30000, true},
                        {"config.lr", "rate", 0.01},
                        {"config.settings", "settings of the methods", Json::array()},
                        {"config.importance_samples", "importance samples", 5000, true}},
           .unstated = "where annealing ends and the size of Mobius' network are not stated"},
          {.key = "yacoby-posteriors",
           .command = "yacoby-posteriors",
           .settings = {{"config.restarts", "restarts", 10, true},
                        {"config.points", "points", 500},
                        {"config.epochs", "steps", 30000, true}},
           .unstated = "the setting of LiBI in Figs 3 and 5 is not stated"}};
}

std::vector<std::string> posterior_units(const std::string& data) {
  return {data + "-truth", data + "-vae", data + "-libi"};
}

std::vector<Item> items() {
  const std::vector<std::string> linear = posterior_units("linear-jtex"),
                                 cubic = posterior_units("cubic-jtex");
  const auto posteriors = [](const char* id, const char* title, const std::vector<std::string>& units) {
    return Item{.id = id, .title = title, .run = "yacoby-posteriors", .only = units, .quick_only = units};
  };
  return {{.id = "yacoby/fig1ab", .title = "What the loss prefers over B", .run = "yacoby-optima"},
          {.id = "yacoby/fig1cf",
           .title = "Data and aggregated posteriors, true and learned",
           .run = "yacoby-optima"},
          {.id = "yacoby/caseC1", .title = "Models that fit equally well", .run = "yacoby-optima"},
          posteriors("yacoby/fig2", "Posterior means of a VAE, LinearJTEx", linear),
          posteriors("yacoby/fig3", "Posterior means of LiBI, LinearJTEx", linear),
          posteriors("yacoby/fig4", "Posterior means of a VAE, CubicJTEx", cubic),
          posteriors("yacoby/fig5", "Posterior means of LiBI, CubicJTEx", cubic),
          {.id = "yacoby/table1",
           .title = "Five ways to train, where the truth is known",
           .run = "yacoby-table1"}};
}

/// Of a method's settings on such data, the one with the highest test log-likelihood, as the paper chooses.
Json best_row(const Json& result, const PaperEntry& entry) {
  Json best = nullptr;
  for (const Json& row : ledger::value_at(result, "metrics.rows")) {
    const std::string setting = row.at("setting");
    const bool own = setting == entry.method || setting.starts_with(std::string(entry.method) + "-");
    if (row.at("data") != std::string(entry.data) || !own || !row.at("log_likelihood").is_number()) continue;
    if (best.is_null() || row.at("log_likelihood") > best.at("log_likelihood")) best = row;
  }
  return best;
}

void add_table(std::vector<Line>& lines) {
  const auto title_of = [](std::string_view data) {
    return data == "linear-jtex"  ? "LinearJTEx"
           : data == "cubic-jtex" ? "CubicJTEx"
           : data == "gaussian"   ? "Gaussian"
                                  : "Mobius";
  };
  for (const PaperEntry& entry : table1()) {
    const bool gaussian = entry.data == "gaussian" && entry.method != "libi";
    const std::string adam =
        gaussian ? "the ELBO's own optimum is the truth: the paper's number is Adam's at noise 1e-6" : "";
    const auto add = [&](const char* what, const char* unit, double value, double deviation, Better better,
                         double margin, const char* name, const std::string& unlike) {
      lines.push_back(
          {.item = "yacoby/table1",
           .what = fmt::format("{}, {}: {}", title_of(entry.data), title(parse_method(entry.method)), what),
           .unit = unit,
           .number = ledger::PublishedNumber{.value = value, .deviation = deviation, .runs = 5, .digits = 2},
           .better = better,
           .margin = margin,
           .unlike = unlike,
           .read = [&entry, name](const Json& result) -> std::optional<Reading> {
             // Fewer repetitions know the statistic less well than data sets differ in it.
             constexpr int64_t kFewest = 2000;
             const Json repetitions = ledger::value_at(result, "config.knn_repetitions");
             if (std::string_view(name) == "knn" && repetitions.is_number() && repetitions < kFewest)
               return std::nullopt;
             const Json row = best_row(result, entry);
             if (row.is_null() || !row.at(name).is_number()) return std::nullopt;
             return Reading{.number = ledger::Measured{
                                .mean = row.at(name).get<double>(),
                                .deviation = number_or_nan(row.at(std::string(name) + "_deviation")),
                                .runs = row.at("sets").get<int64_t>()}};
           }});
    };
    add("test log-likelihood", "nats", entry.log_likelihood, entry.log_likelihood_deviation, Better::higher,
        0.05, "log_likelihood",
        entry.data == "cubic-jtex" ? "likelihoods there are unreliable, as the paper says" : adam);
    add("smooth k-NN", "", entry.knn, entry.knn_deviation, Better::lower, 0.2, "knn", adam);
  }
  for (const char* data : {"LinearJTEx", "CubicJTEx", "Gaussian", "Mobius"}) {
    lines.push_back(claim_line(
        "yacoby/table1", fmt::format("{}: LiBI has the highest test log-likelihood of these methods", data),
        std::string(data) == "LinearJTEx" || std::string(data) == "Gaussian"
            ? "yes"
            : "no, by its numbers; the caption says yes"));
    lines.push_back(claim_line(
        "yacoby/table1", fmt::format("{}: LiBI has the lowest smooth k-NN statistic of these methods", data),
        "yes"));
  }
  lines.push_back(
      claim_line("yacoby/table1", "LinearJTEx, VAE: restarts within", "where the VAE's optimum is"));
  lines.push_back(claim_line("yacoby/table1", "LinearJTEx, LiBI: KL of the data to the chosen models",
                             "captures the data"));
}

/// A loss of Fig 1's text, printed with three digits, in closed form here.
Line closed_form(const char* what, double value, const char* path) {
  return {.item = "yacoby/fig1cf",
          .what = what,
          .unit = "nats",
          .number = ledger::PublishedNumber{.value = value, .digits = 3},
          .read = [path](const Json& result) -> std::optional<Reading> {
            const double here = ledger::metric(result, path);
            if (std::isnan(here)) return std::nullopt;
            return Reading{.number = ledger::Measured{.mean = here, .exact = true}};
          }};
}

void add_posteriors(std::vector<Line>& lines, const char* data, const char* of_vae, const char* of_libi) {
  const auto add = [&](const char* figure, const char* what, const std::string& paper) {
    lines.push_back(
        claim_line(fmt::format("yacoby/fig{}", figure), fmt::format("{}: {}", data, what), paper));
  };
  add(of_vae, "an encoder has the posterior means of the true model", "top and bottom left");
  add(of_vae, "the VAE's encoder has the posterior means of its own model", "top and bottom right");
  add(of_vae, "the VAE's model has other posterior means than the true one", "bottom left and right");
  add(of_libi, "LiBI's encoder has the posterior means of the true model", "bottom left and top middle");
  add(of_libi, "LiBI's posteriors are nearer to the true model's than the VAE's",
      fmt::format("yes (Figs {}, {})", of_vae, of_libi));
}

std::vector<Line> lines() {
  std::vector<Line> all{
      claim_line("yacoby/fig1ab", "A fixed: the posterior term is least where B11 is high and B22 low",
                 "the top-left corner"),
      claim_line("yacoby/fig1ab", "there I(X; Z) is neither highest nor lowest", "not optimal"),
      claim_line("yacoby/fig1ab", "the data are the same for every B", "MLE objective 0"),
      closed_form("L(θ_GT, φ_GT)", kLossAtTruth, "truth.loss"),
      closed_form("L(θ*, φ*)", kLossAtOptimum, "optimum.loss"),
      claim_line("yacoby/fig1cf", "the optimum's aggregated posterior is not the prior", "it does not match"),
      claim_line("yacoby/fig1cf", "L(θ, φ*) of the restart that validation data prefer", "0.196 nats"),
      claim_line("yacoby/fig1cf", "training finds the biased optimum", "the VAE's rows of Table 1"),
      claim_line("yacoby/caseC1", "Case 2: every θ is a global optimum, whatever z tells of x",
                 "L = 0 for all θ (Eq. 5)"),
      claim_line("yacoby/caseC1", "I(X; Z) = 1/2 [ln(σ² / (σ² - θ²)) - 4] (Eq. 15)", "as printed")};
  add_posteriors(all, "LinearJTEx", "2", "3");
  add_posteriors(all, "CubicJTEx", "4", "5");
  add_table(all);
  return all;
}

}  // namespace

ledger::Publication yacoby_publication() {
  return {.key = "yacoby",
          .title = "Yacoby et al., Characterizing and avoiding problematic global optima of VAEs",
          .runs = runs(),
          .items = items(),
          .lines = lines()};
}

}  // namespace elbo
