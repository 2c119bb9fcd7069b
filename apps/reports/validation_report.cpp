#include "apps/reports/validation_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/support/best.h"
#include "apps/support/statistics.h"

namespace elbo {
namespace {

Table table_of(const ValidationFindings& findings) {
  Table table({"member", "setting", Table::number("best at epoch"), Table::number("validation ELBO"),
               Table::number("±"), Table::number("at the end"), "ended early"});
  for (size_t m = 0; m < findings.members.size(); ++m) {
    const MemberValidation& v = findings.members[m];
    if (v.best_epoch == 0) {
      table.row({std::to_string(m), findings.settings[m], "never", "", "", "", ""});
      continue;
    }
    table.row({std::to_string(m), findings.settings[m], std::to_string(v.best_epoch),
               fmt::format("{:.3f}", v.best_elbo), fmt::format("{:.3f}", v.best_standard_error),
               fmt::format("{:.3f}", v.elbo.back()), v.ended > 0 ? fmt::format("epoch {}", v.ended) : ""});
  }
  return table;
}

}  // namespace

size_t ValidationFindings::best() const {
  size_t best = 0;
  for (size_t m = 0; m < members.size(); ++m)
    if (beats(members[m].best_elbo, members[best].best_elbo)) best = m;
  return best;
}

Json to_json(const MemberValidation& v) {
  return {{"elbo", finite_or_null(v.best_elbo)},
          {"elbo_standard_error", finite_or_null(v.best_standard_error)},
          {"epoch", v.best_epoch},
          {"last_elbo", v.elbo.empty() ? Json(nullptr) : finite_or_null(v.elbo.back())},
          {"evaluations", v.elbo.size()},
          {"ended_at_epoch", v.ended > 0 ? Json(v.ended) : Json(nullptr)}};
}

void set_validation(Result& result, const ValidationFindings& findings) {
  Json json = to_json(findings.members[findings.best()]);
  if (findings.members.size() > 1) json["member"] = findings.best();
  json["points"] = findings.points;
  result.set("validation", json, "nats per data point of the validation split, at the model's best epoch");
}

std::string best_line(const ValidationFindings& findings) {
  const size_t best = findings.best();
  const MemberValidation& v = findings.members[best];
  if (v.best_epoch == 0) return "no validation ELBO was a number";
  return fmt::format("{}best at epoch {} of {}: ELBO {} on the {} points of the validation split",
                     findings.members.size() > 1 ? fmt::format("member {} is ", best) : "", v.best_epoch,
                     v.ended > 0 ? v.ended : findings.epochs, with_error(v.best_elbo, v.best_standard_error),
                     findings.points);
}

void add_validation_curves(Figure& figure, const ValidationFindings& findings) {
  const bool alone = findings.members.size() == 1;
  if (alone && !figure.series.empty() && figure.series[0].name.empty()) figure.series[0].name = "training";
  for (size_t m = 0; m < findings.members.size(); ++m) {
    const MemberValidation& v = findings.members[m];
    if (v.epoch.empty()) continue;
    figure.series.push_back({.name = alone ? "validation" : "",
                             .x = v.epoch,
                             .y = v.elbo,
                             .style = Style::line_points,
                             .colour = alone ? -1 : static_cast<int>(m)});
    // What it comes to is to be seen, below the training's curve or above.
    if (figure.y.low > v.best_elbo) figure.y.low = v.best_elbo;
    if (figure.y.high < v.best_elbo) figure.y.high = v.best_elbo;
  }
  if (alone && findings.members[0].best_epoch > 0)
    figure.lines.push_back(
        {.at = static_cast<double>(findings.members[0].best_epoch), .label = "best epoch", .vertical = true});
}

void add_validation_section(Report& report, const ValidationFindings& findings, const std::string& run) {
  report.section("Validation");
  report.table(
      table_of(findings),
      fmt::format("ELBO on the {} points of the validation split, which no model was trained on: nats per "
                  "data point, with the standard error over the points. Highest: {}.",
                  findings.points, best_line(findings)));
  report.paragraph(
      fmt::format("The models as they were at their best epochs are kept in {}/best, which opens like a run. "
                  "The best of several evaluations is a little too good to be true; what it is worth says "
                  "the test split: elbo evaluate {}/best --split test.",
                  run, run));
}

}  // namespace elbo
