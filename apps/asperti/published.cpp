// Asperti 2019 for the ledger: figures, Table 1 and sections by name, the commands that make them, and each
// number and claim.
#include <fmt/format.h>

#include <algorithm>

#include "apps/asperti/tables.h"
#include "apps/command.h"
#include "apps/ledger/publication.h"
#include "apps/support/statistics.h"

namespace elbo {
namespace {

using namespace asperti;
using ledger::claim_line;
using ledger::Item;
using ledger::Line;
using ledger::picture_line;
using ledger::Reading;
using ledger::Run;

std::vector<ledger::Setting> settings(const char* hidden, int latent) {
  return {{"provenance.data.name", "data", "mnist"},
          {"provenance.data.N", "images", 60000},
          {"config.hidden", "hidden layers", hidden},
          {"config.latent", "k", latent},
          {"config.batch", "batch", 128}};
}

std::vector<Run> runs() {
  constexpr const char* kUnstated =
      "loss, λ, optimiser, rate, epochs, output unit and initialisation are not stated";
  const std::vector<ledger::Setting> table1 = settings("256,64,32", 16);
  return {
      {.key = "asperti-trajectories",
       .command = "asperti-trajectories",
       .settings = settings("256,64,16", 2),
       .unstated = kUnstated},
      {.key = "asperti-units", .command = "asperti-units", .settings = table1, .unstated = kUnstated},
      {.key = "asperti-noise", .command = "asperti-noise", .settings = table1, .unstated = kUnstated},
      {.key = "asperti-two-stage", .command = "asperti-two-stage", .settings = table1, .unstated = kUnstated},
      {.key = "asperti-calibrate",
       .command = "asperti-calibrate",
       .settings = table1,
       .unstated = kUnstated}};
}

std::vector<Item> items() {
  const std::vector<std::string> dense{"dense"}, conv{"dense", "conv"}, parts{"dense", "no-kl", "mean-only"};
  const auto units = [](const char* id, const char* title, const std::vector<std::string>& full,
                        const std::vector<std::string>& quick, const char* note = "") {
    return Item{
        .id = id, .title = title, .run = "asperti-units", .only = full, .quick_only = quick, .note = note};
  };
  constexpr const char* kNoConv = "The quick form has no convolutional network.";
  return {
      {.id = "asperti/fig1", .title = "Ten digits in a plane", .run = "asperti-trajectories"},
      units("asperti/fig2", "Variances along the training", dense, dense),
      units("asperti/table1", "Which units are in use", dense, dense),
      units("asperti/fig3", "Pictures without the inactive units", dense, dense),
      units("asperti/fig4", "The convolutional encoder", conv, dense, kNoConv),
      units("asperti/fig5", "What the convolutional network draws", conv, dense, kNoConv),
      units("asperti/sec5", "What of the loss makes units collapse", parts, parts),
      {.id = "asperti/fig7", .title = "Noise on a unit", .run = "asperti-noise"},
      {.id = "asperti/sec6", .title = "Two stages", .run = "asperti-two-stage"},
      {.id = "asperti/sec7", .title = "λ by the variance law, k until sparse", .run = "asperti-calibrate"}};
}

/// Ours of the same rank by mean sigma^2, over the models.
void add_units(std::vector<Line>& lines) {
  std::vector<PaperUnit> ranked(paper_units().begin(), paper_units().end());
  std::sort(ranked.begin(), ranked.end(),
            [](const PaperUnit& a, const PaperUnit& b) { return a.mean_variance < b.mean_variance; });
  for (size_t rank = 0; rank < ranked.size(); ++rank) {
    const PaperUnit& unit = ranked[rank];
    const auto add = [&](const char* what, double value, double margin, const char* name) {
      lines.push_back({.item = "asperti/table1",
                       .what = fmt::format("unit {}, rank {} by σ²: {}", unit.unit, rank + 1, what),
                       .number = ledger::PublishedNumber{.value = value, .digits = 7},
                       .margin = margin,
                       .read = [rank, name](const Json& result) -> std::optional<Reading> {
                         const Json all = ledger::value_at(result, "metrics.dense.by_rank");
                         if (!all.is_array() || all.size() <= rank || !all[rank].at(name).is_number())
                           return std::nullopt;
                         return Reading{
                             .number = ledger::Measured{
                                 .mean = all[rank].at(name).get<double>(),
                                 .deviation = number_or_nan(all[rank].at(std::string(name) + "_deviation")),
                                 .runs = ledger::value_at(result, "metrics.dense.models").get<int64_t>()}};
                       }});
    };
    add("Var μ", unit.variance, unit.variance > 0.5 ? 0.05 : 0.01, "variance_of_mean");
    add("mean σ²", unit.mean_variance, 0.02, "mean_variance");
  }
}

Line unused(const char* item, const char* what, int published, const char* variant) {
  return {.item = item,
          .what = what,
          .unit = "of 16",
          .number = ledger::PublishedNumber{.value = static_cast<double>(published)},
          .margin = 1,
          .read = [variant](const Json& result) -> std::optional<Reading> {
            const Json counts = ledger::value_at(result, fmt::format("metrics.{}.units_in_use", variant));
            if (!counts.is_array()) return std::nullopt;
            std::vector<double> left;
            for (const Json& count : counts) left.push_back(16 - count.get<double>());
            const Statistics s = statistics_of(left);
            return Reading{.number = ledger::Measured{s.mean, s.deviation, s.count}};
          }};
}

/// Pictures of the convolutional network, where it was trained.
Line drawn_digits() {
  return {.item = "asperti/fig5",
          .what = "drawn digits",
          .words = "excellent generative results",
          .read = [](const Json& result) -> std::optional<Reading> {
            if (ledger::value_at(result, "metrics.conv").is_null()) return std::nullopt;
            return Reading{.note = "by eye, in the run's report"};
          }};
}

std::vector<Line> lines() {
  std::vector<Line> all{
      claim_line("asperti/fig1", "the variance is close to 1 at the start", "close to 1"),
      claim_line("asperti/fig1", "and gets much smaller within the epoch", "much smaller"),
      claim_line("asperti/fig1", "codes lie around the origin in a Gaussian-like shape", "yes"),
      picture_line("asperti/fig2", "variances of 16 units, of which 8 collapse", "a picture"),
      unused("asperti/table1", "units not in use, dense network", kPaperInactive, "dense")};
  add_units(all);
  const std::vector<Line> more{
      claim_line("asperti/table1", "dense: Var μ + mean σ² of every unit is 1", "0.961 to 1.033"),
      claim_line("asperti/table1", "dense: KL of all units, with 8 of them in use",
                 "at least 15.8 nats, by its variances"),
      claim_line("asperti/fig3", "dense: pictures without the inactive units", "indistinguishable"),
      picture_line("asperti/fig4", "layers of the convolutional encoder, 46 432 parameters",
                   "a table, which the tests compare with our network"),
      unused("asperti/fig5", "units not in use, convolutional network", kPaperInactiveConv, "conv"),
      claim_line("asperti/fig5", "convolutional networks have less sparsity than dense ones", "yes"),
      drawn_digits(),
      claim_line("asperti/sec5", "no KL: every unit is in use", "the sparsity phenomenon disappears"),
      claim_line("asperti/sec5", "KL's μ² alone: every unit is in use", "the sparsity phenomenon disappears"),
      claim_line("asperti/fig7", "under noise the means spread", "by enlarging the mean values"),
      claim_line("asperti/fig7", "the gain falls below the KL", "at some point"),
      claim_line("asperti/fig7", "then the unit collapses", "suddenly"),
      claim_line("asperti/fig7", "without the noise it comes back", "it may take several epochs"),
      claim_line("asperti/fig7", "and not with its whole gain", "we should not expect to recover it"),
      claim_line("asperti/sec6", "draws of the second stage are nearer to z than the prior's: smooth k-NN",
                 "an accurate approximation of Q(z)"),
      claim_line("asperti/sec6", "and by MMD²", "an accurate approximation of Q(z)"),
      claim_line("asperti/sec6", "q(u) is nearer to its prior than q(z): smooth k-NN",
                 "the mismatch no longer matters"),
      claim_line("asperti/sec6", "and by MMD²", "the mismatch no longer matters", 1),
      claim_line("asperti/sec6", "q(u) is nearer to Gaussian than q(z): Henze-Zirkler",
                 "the mismatch no longer matters"),
      claim_line("asperti/sec6", "two stages draw pictures nearer to held-out ones: smooth k-NN in pixels",
                 "might suffice to solve bad generation"),
      claim_line("asperti/sec6", "and by the Fréchet distance²", "might suffice to solve bad generation"),
      claim_line("asperti/sec7", "a smaller λ leaves fewer units unused", "yes (section 6.1)"),
      claim_line("asperti/sec7", "a smaller λ makes z less regular: sums farther from 1",
                 "yes (section 6.1)"),
      claim_line("asperti/sec7", "the method's λ: the smallest from which on the sums are 1",
                 "no number (section 6.1)"),
      claim_line("asperti/sec7", "growing k ends in sparsity", "yes (section 7)")};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

ledger::Publication asperti_publication() {
  return {.key = "asperti",
          .title = "Asperti 2019, VAEs and the variable collapse phenomenon",
          .runs = runs(),
          .items = items(),
          .lines = lines()};
}

}  // namespace elbo
