#include "apps/asperti/units_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/asperti/tables.h"
#include "apps/reports/unit_report.h"
#include "apps/support/statistics.h"

namespace elbo::asperti {
namespace {

/// The units of a member, the most informative first.
std::vector<UnitDiagnostics> ranked(std::vector<UnitDiagnostics> units) {
  std::stable_sort(units.begin(), units.end(), [](const UnitDiagnostics& a, const UnitDiagnostics& b) {
    return a.mean_variance < b.mean_variance;
  });
  return units;
}

std::vector<PaperUnit> ranked_paper() {
  std::vector<PaperUnit> units(paper_units().begin(), paper_units().end());
  std::sort(units.begin(), units.end(),
            [](const PaperUnit& a, const PaperUnit& b) { return a.mean_variance < b.mean_variance; });
  return units;
}

/// A number of the units of one rank, of every member.
template <class Value>
Statistics of_rank(const Ensemble& ensemble, size_t rank, Value value) {
  std::vector<double> values;
  for (const auto& units : ensemble.units) values.push_back(value(ranked(units).at(rank)));
  return statistics_of(values);
}

/// A number of every member.
template <class Value>
Statistics of_members(const Ensemble& ensemble, Value value) {
  std::vector<double> values;
  for (size_t m = 0; m < ensemble.members(); ++m) values.push_back(value(m));
  return statistics_of(values);
}

Statistics used(const Ensemble& ensemble) {
  return of_members(ensemble, [&](size_t m) { return static_cast<double>(count_in_use(ensemble.units[m])); });
}
Statistics total_kl(const Ensemble& ensemble) {
  return of_members(ensemble, [&](size_t m) {
    double total = 0;
    for (const UnitDiagnostics& unit : ensemble.units[m]) total += unit.kl;
    return total;
  });
}

/// Nats of KL that all units' distance from the law costs.
Statistics total_law_cost(const Ensemble& ensemble) {
  return of_members(ensemble, [&](size_t m) {
    double total = 0;
    for (const UnitDiagnostics& unit : ensemble.units[m]) total += unit.law_cost();
    return total;
  });
}

struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// The sums of all units of all members.
Extent law_extent(const Ensemble& ensemble) {
  Extent extent;
  for (const auto& units : ensemble.units)
    for (const UnitDiagnostics& unit : units) extent.add(unit.law);
  return extent;
}
Extent paper_law_extent() {
  Extent extent;
  for (const PaperUnit& unit : paper_units()) extent.add(unit.variance + unit.mean_variance);
  return extent;
}

/// Sixteen rows of the paper beside ours of the same rank.
Table rank_table(const Ensemble& dense, bool beside_paper) {
  std::vector<Table::Column> columns{Table::number("rank")};
  if (beside_paper)
    for (const char* name : {"paper: Var", "mean σ²", "sum"}) columns.push_back(Table::number(name));
  for (const char* name : {"here: Var μ", "mean σ²", "sum", "least", "most", "KL", "gain"})
    columns.push_back(Table::number(name));
  columns.push_back("in use");
  Table table(columns);
  const std::vector<PaperUnit> paper = ranked_paper();
  for (size_t rank = 0; rank < dense.units.at(0).size(); ++rank) {
    std::vector<std::string> row{std::to_string(rank + 1)};
    if (beside_paper) {
      const PaperUnit& own = paper[rank];
      row.insert(row.end(), {fmt::format("{:.4g}", own.variance), fmt::format("{:.4f}", own.mean_variance),
                             fmt::format("{:.3f}", own.variance + own.mean_variance)});
    }
    const auto median = [&](const char* format, auto value) {
      row.push_back(fmt::format(fmt::runtime(format), of_rank(dense, rank, value).median));
    };
    median("{:.4g}", [](const UnitDiagnostics& u) { return u.variance_of_mean; });
    median("{:.4f}", [](const UnitDiagnostics& u) { return u.mean_variance; });
    median("{:.3f}", [](const UnitDiagnostics& u) { return u.law; });
    Extent law;
    size_t active = 0;
    for (const auto& units : dense.units) {
      const UnitDiagnostics unit = ranked(units).at(rank);
      law.add(unit.law);
      active += in_use(unit) ? 1 : 0;
    }
    row.push_back(fmt::format("{:.3f}", law.low));
    row.push_back(fmt::format("{:.3f}", law.high));
    median("{:.3f}", [](const UnitDiagnostics& u) { return u.kl; });
    median("{:.2f}", [](const UnitDiagnostics& u) { return u.gain.mean; });
    row.push_back(fmt::format("{} of {}", active, dense.members()));
    table.row(row);
  }
  return table;
}

Table summary_table(const UnitsFindings& found) {
  Table table({"training", Table::number("models"), Table::number("units in use"), Table::number("least"),
               Table::number("most"), Table::number("KL"), Table::number("squared error"),
               Table::number("sums from"), Table::number("to"), Table::number("their cost")});
  for (size_t i = 0; i < found.variants.size(); ++i) {
    const Ensemble& own = found.ensembles[i];
    Extent count;
    for (const auto& units : own.units) count.add(static_cast<double>(count_in_use(units)));
    const bool lawful = found.variants[i].training.part == KlPart::whole;
    const Extent law = law_extent(own);
    table.row({found.variants[i].title, std::to_string(own.members()), with_interval(used(own), "{:.1f}"),
               fmt::format("{:.0f}", count.low), fmt::format("{:.0f}", count.high),
               with_interval(total_kl(own), "{:.2f}"),
               with_interval(statistics_of(own.squared_error), "{:.2f}"),
               lawful ? fmt::format("{:.3f}", law.low) : "", lawful ? fmt::format("{:.3f}", law.high) : "",
               lawful ? fmt::format("{:.4f}", total_law_cost(own).mean) : ""});
  }
  return table;
}

/// Fig 2: both of what "the variance of latent variables" may be, unit by unit.
FigureGrid along_training(const Variant& variant, const Ensemble& ensemble) {
  FigureGrid grid{.name = "variances_" + variant.key, .title = "Units along the training", .columns = 2};
  const auto panel = [&](const char* title, Axis y, auto values) {
    y.label = "over the minibatch";
    Figure figure{.title = title, .x = {"minibatch"}, .y = y};
    bool named[2] = {false, false};
    const std::vector<UnitDiagnostics>& units = ensemble.units.at(0);
    for (size_t i = 0; i < units.size(); ++i) {
      const bool active = in_use(units[i]);
      Series series{.name = named[active] ? ""
                            : active      ? "in use at the end"
                                          : "not in use",
                    .colour = active ? 0 : 1};
      named[active] = true;
      for (const Ensemble::Look& look : ensemble.looks) {
        series.x.push_back(static_cast<double>(look.step));
        series.y.push_back(values(look).at(i));
      }
      figure.series.push_back(std::move(series));
    }
    return figure;
  };
  grid.cells = {panel("variance of μ(x)", {.low = 0}, [](const auto& look) { return look.variance; }),
                panel("mean of σ²(x)", {.log = true}, [](const auto& look) { return look.sigma2; })};
  return grid;
}

void add_drawn(Report& report, const UnitsFindings& found, const Variant& variant, const Ensemble& ensemble,
               const std::string& folder) {
  if (found.image.pixels() == 0) return;
  std::vector<double> rows = ensemble.drawn;
  const auto pictures = static_cast<int64_t>(rows.size()) / found.image.pixels();
  rows.insert(rows.end(), ensemble.drawn_without.begin(), ensemble.drawn_without.end());
  ImageGrid grid{.name = "drawn_" + variant.key,
                 .height = found.image.height,
                 .width = found.image.width,
                 .channels = found.image.channels,
                 .columns = pictures,
                 .images = Tensor::from<double>({2 * pictures, found.image.pixels()}, rows).to(DType::f32)};
  double largest = 0;
  for (const Silenced& silenced : ensemble.silenced) largest = std::max(largest, silenced.largest);
  report.image(
      draw(grid, folder),
      fmt::format(
          "Above: what {} draws from the prior. Below: the same with the units that are not in use set "
          "to 0. Over {} pictures of each of {} models the largest difference of a pixel is {:.2g} of "
          "the range, the mean difference {:.2g}.",
          variant.title, variant.training.pictures, ensemble.members(), largest,
          of_members(ensemble, [&](size_t m) { return ensemble.silenced[m].mean; }).mean));
}

std::string over_seeds(const Statistics& s, int64_t of, size_t members) {
  return fmt::format("{} of {} over {} seed{}", with_interval(s, "{:.1f}"), of, members,
                     members == 1 ? "" : "s");
}

void add_dense_claims(const UnitsFindings& found, const Ensemble& dense, int64_t epochs, Presentation& p) {
  const auto units = static_cast<int64_t>(dense.units.at(0).size());
  const auto judged = [&](bool holds, int64_t least) {
    return found.unlike.empty() && epochs >= least ? std::optional(holds) : std::nullopt;
  };
  const auto note = [&](int64_t least) {
    return !found.unlike.empty() ? found.unlike
           : epochs < least
               ? fmt::format("fewer than {} epochs", least)
               : fmt::format("lambda {:g}, Glorot, Adam 0.001, sigmoid: our choice", found.lambda);
  };
  Statistics inactive = used(dense);
  inactive.mean = static_cast<double>(units) - inactive.mean;
  p.claims.push_back({.claim = "dense: units that are not in use",
                      .paper = fmt::format("{} of 16 (Table 1)", kPaperInactive),
                      .here = over_seeds(inactive, units, dense.members()),
                      .holds = judged(std::abs(inactive.mean - kPaperInactive) <= 1, 10),
                      .note = note(10)});
  const Extent law = law_extent(dense), paper = paper_law_extent();
  p.claims.push_back({.claim = "dense: Var μ + mean σ² of every unit is 1",
                      .paper = fmt::format("{:.3f} to {:.3f} (Table 1)", paper.low, paper.high),
                      .here = fmt::format("{:.3f} to {:.3f}, which costs {:.4f} nats of KL", law.low,
                                          law.high, total_law_cost(dense).mean),
                      .holds = judged(law.low >= paper.low - 0.02 && law.high <= paper.high + 0.02, 30),
                      .note = note(30)});
  double least = 0;
  for (const PaperUnit& unit : paper_units()) least += least_kl(unit);
  const Statistics kl = total_kl(dense);
  p.claims.push_back(
      {.claim = "dense: KL of all units, with 8 of them in use",
       .paper = fmt::format("at least {:.1f} nats, by Table 1's variances", least),
       .here = with_interval(kl, "{:.2f}"),
       .holds = judged(kl.mean >= least - 0.5, 10),
       .note = found.unlike.empty() ? "no lambda gave both: the paper's loss is not stated" : found.unlike});
  double largest = 0, mean = 0;
  for (const Silenced& silenced : dense.silenced) {
    largest = std::max(largest, silenced.largest);
    mean += silenced.mean / static_cast<double>(dense.members());
  }
  // By the mean: one pixel of thousands of pictures is nothing that is seen.
  p.claims.push_back({.claim = "dense: pictures without the inactive units",
                      .paper = "indistinguishable (Fig 3)",
                      .here = fmt::format("pixels differ by {:.2g} of their range at most, {:.2g} on average",
                                          largest, mean),
                      .holds = judged(mean < 1.0 / 255, 10),
                      .note = note(10)});
}

void add_loss_claims(const UnitsFindings& found, Presentation& p) {
  const Ensemble* dense = found.find("dense");
  const std::pair<const char*, const char*> losses[] = {{"no-kl", "no KL: every unit is in use"},
                                                        {"mean-only", "KL's μ² alone: every unit is in use"}};
  for (const auto& [key, claim] : losses) {
    const Ensemble* own = found.find(key);
    if (!own) continue;
    const Statistics count = used(*own);
    const auto units = static_cast<int64_t>(own->units.at(0).size());
    p.claims.push_back(
        {.claim = claim,
         .paper = "the sparsity phenomenon disappears (section 5)",
         .here = over_seeds(count, units, own->members()),
         .holds = found.unlike.empty() ? std::optional(count.mean > static_cast<double>(units) - 0.5)
                                       : std::nullopt,
         .note = found.unlike.empty() ? "in use: Var μ > mean σ², whatever the scale of z" : found.unlike});
  }
  const Ensemble* conv = found.find("conv");
  if (!conv) return;
  const auto units = static_cast<int64_t>(conv->units.at(0).size());
  Statistics inactive = used(*conv);
  inactive.mean = static_cast<double>(units) - inactive.mean;
  const bool judged = found.unlike_conv.empty();
  p.claims.push_back(
      {.claim = "convolutional: units that are not in use",
       .paper = fmt::format("{} of 16 (section 3.1)", kPaperInactiveConv),
       .here = over_seeds(inactive, units, conv->members()),
       .holds = judged ? std::optional(std::abs(inactive.mean - kPaperInactiveConv) <= 1) : std::nullopt,
       .note = found.unlike_conv});
  if (!dense) return;
  Claim& less = p.claims.emplace_back(
      Claim{.claim = "convolutional networks have less sparsity than dense ones",
            .paper = "yes",
            .here = fmt::format("{} units in use, dense {}", with_interval(used(*conv), "{:.1f}"),
                                with_interval(used(*dense), "{:.1f}")),
            .note = found.unlike_conv});
  if (judged) judge_above_zero(less, difference_of(used(*conv), used(*dense)));
}

Json summary_of(const Ensemble& ensemble) {
  const Statistics count = used(ensemble), kl = total_kl(ensemble);
  const Extent law = law_extent(ensemble);
  double largest = 0;
  for (const Silenced& silenced : ensemble.silenced) largest = std::max(largest, silenced.largest);
  Json counts = Json::array();
  for (const auto& units : ensemble.units) counts.push_back(count_in_use(units));
  Json ranks = Json::array();
  for (size_t rank = 0; rank < ensemble.units.at(0).size(); ++rank) {
    const Statistics variance = of_rank(ensemble, rank, [](const auto&u) { return u.variance_of_mean; }),
                     sigma2 = of_rank(ensemble, rank, [](const auto&u) { return u.mean_variance; });
    ranks.push_back({{"variance_of_mean", finite_or_null(variance.mean)},
                     {"variance_of_mean_deviation", finite_or_null(variance.deviation)},
                     {"mean_variance", finite_or_null(sigma2.mean)},
                     {"mean_variance_deviation", finite_or_null(sigma2.deviation)}});
  }
  return {{"models", ensemble.members()},
          {"units_in_use", counts},
          {"units_in_use_mean", count.mean},
          {"units_in_use_standard_error", finite_or_null(count.standard_error)},
          {"kl", finite_or_null(kl.mean)},
          {"kl_standard_error", finite_or_null(kl.standard_error)},
          {"squared_error", finite_or_null(statistics_of(ensemble.squared_error).mean)},
          {"law_from", finite_or_null(law.low)},
          {"law_to", finite_or_null(law.high)},
          {"law_cost", finite_or_null(total_law_cost(ensemble).mean)},
          {"silenced_largest", finite_or_null(largest)},
          {"by_rank", ranks}};
}

}  // namespace

const Ensemble* UnitsFindings::find(const std::string& key) const {
  for (size_t i = 0; i < variants.size(); ++i)
    if (variants[i].key == key) return &ensembles[i];
  return nullptr;
}

void present_units(const UnitsFindings& found, Presentation& p) {
  const std::string folder = p.directory.figures();
  Report& report = p.report.emplace(
      "Units that collapse",
      "Asperti 2019, Table 1 and Figs 2 to 5: which units a VAE uses, what each is worth, and whether the "
      "variance of its mean and its mean variance add up to 1.");
  const Table summary = summary_table(found);
  p.text = summary.text();
  report.section("Trainings");
  report.table(
      summary,
      "Over the models of each training, which differ in their seeds; ± is half a 95 % interval. A unit "
      "is in use where the variance of its mean exceeds its mean variance. KL in nats, squared error "
      "summed over pixels, sums Var μ + mean σ² of single units; their cost: nats of KL that "
      "would be saved if every unit had mean 0 and a sum of 1 and the decoder undid that.");
  for (size_t i = 0; i < found.variants.size(); ++i) {
    const Variant& variant = found.variants[i];
    const Ensemble& ensemble = found.ensembles[i];
    p.result.set(variant.key, summary_of(ensemble), "KL in nats per data point");
    if (variant.other_data) continue;
    report.section(variant.title);
    const bool beside = variant.key == "dense" && ensemble.units.at(0).size() == paper_units().size();
    if (variant.key == "dense") p.text += "\n" + rank_table(ensemble, beside).text();
    report.table(
        rank_table(ensemble, beside),
        fmt::format("Units by rank of their mean σ²{}: medians over the models; least and most of the "
                    "sums; KL in nats; gain: nats that the likelihood loses where the unit is 0.",
                    beside ? ", the paper's Table 1 beside ours" : ""));
    report.figure(
        draw(along_training(variant, ensemble), folder),
        "The first model's units along the training, over minibatches. The paper does not say which "
        "variance its Fig 2 shows.");
    UnitFindings first{ensemble.units.at(0), ensemble.gain_points};
    Figure gains = gain_figure(first);
    gains.name = "gains_" + variant.key;
    report.figure(draw(gains, folder), "What the first model's units are worth over what they cost.");
    add_drawn(report, found, variant, ensemble, folder);
    if (variant.key == "dense") add_dense_claims(found, ensemble, variant.training.epochs, p);
  }
  add_loss_claims(found, p);
}

}  // namespace elbo::asperti
