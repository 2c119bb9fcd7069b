#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "apps/lucas/published.h"

namespace elbo::lucas {
namespace {

using ledger::Better;
using ledger::Line;
using ledger::Measured;
using ledger::metric;
using ledger::Reading;

const std::vector<double> kSigma2{30, 10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001};

using Read = std::function<std::optional<Reading>(const Json&)>;

Line claim(const char* item, const std::string& what, const char* words, Read read) {
  return {.item = item, .what = what, .words = words, .read = std::move(read)};
}

Reading judged(bool holds, std::string here) { return {.holds = holds, .here = std::move(here)}; }

/// A number of the row of `collapse` for a start; NaN where there is no such row, or it has none.
struct Column {
  const char* name;
  bool learned, annealed;
  double at(const Json& result, double sigma2) const {
    const Json row = collapse_row(result, sigma2, learned, annealed);
    return row.is_null() ? std::nan("") : number_or_nan(row.at(name));
  }
};

/// What two columns have for the starts that both have, from large sigma^2 to small.
struct Pairs {
  std::vector<double> a, b;
};
Pairs pairs_of(const Json& result, const Column& a, const Column& b) {
  Pairs pairs;
  for (const double sigma2 : kSigma2) {
    const double own = a.at(result, sigma2), other = b.at(result, sigma2);
    if (std::isnan(own) || std::isnan(other)) continue;
    pairs.a.push_back(own);
    pairs.b.push_back(other);
  }
  return pairs;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}
double spread_of(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *most - *least;
}

void add_landscape(std::vector<Line>& lines) {
  struct Panel {
    std::string where, position;  // the position as ppca-landscape names it
    const char* words;
    bool first, second;  // stable along u5, along u7
  };
  for (const Panel& panel : {Panel{"left", "above λ5", "captures neither component", true, true},
                             Panel{"middle", "between λ7 and λ5", "captures one of them", false, true},
                             Panel{"right", "below λ7", "captures both", false, false}})
    lines.push_back(claim("lucas/fig1", panel.where + ", σ² " + panel.position, panel.words,
                          [panel](const Json& result) -> std::optional<Reading> {
                            for (const Json& own : ledger::value_at(result, "metrics.panels")) {
                              if (own.at("position") != panel.position) continue;
                              const bool first = own.at("stable_first"), second = own.at("stable_second"),
                                         agrees = own.at("surface_agrees");
                              return judged(
                                  first == panel.first && second == panel.second && agrees,
                                  fmt::format("u5 {}, u7 {}, on the surface as by the eigenvalues",
                                              first ? "stable" : "grows", second ? "stable" : "grows"));
                            }
                            return std::nullopt;
                          }));
}

void add_linear(std::vector<Line>& lines) {
  lines.push_back(
      claim("lucas/fig2", "trained linear VAEs end at the pPCA maximum", "essentially indistinguishable",
            [](const Json& result) -> std::optional<Reading> {
              const double worst = metric(result, "worst_gap"), least = metric(result, "least_gap");
              if (std::isnan(worst)) return std::nullopt;
              return judged(worst < 0.5 && least > -1e-6,
                            fmt::format("{:.4f} to {:.4f} nats below it", std::abs(least), worst));
            }));
  lines.push_back(
      claim("lucas/fig2", "σ² frozen at its value for k = 50: the likelihood falls from some k on",
            "after 200", [](const Json& result) -> std::optional<Reading> {
              const double peak = metric(result, "frozen_peak");
              const Json latent = ledger::value_at(result, "config.latent");
              if (std::isnan(peak)) return std::nullopt;
              int64_t largest = 0;
              for (const Json& k : latent) largest = std::max(largest, k.get<int64_t>());
              if (largest <= 225)
                return Reading{.here = fmt::format("k = {:g}", peak), .note = "k ends too early here"};
              return judged(std::abs(peak - 200) <= 25, fmt::format("from k = {:g} on", peak));
            }));
  const auto end = [&](const char* what, const char* name, double value) {
    lines.push_back({.item = "lucas/fig3",
                     .what = what,
                     .unit = "nats",
                     .number = ledger::PublishedNumber{.value = value, .digits = 1},
                     .words = "another random subset of 1000 images moves it by some 10 nats",
                     .better = Better::higher,
                     .margin = 10,
                     .read = [name](const Json& result) -> std::optional<Reading> {
                       const double here = metric(result, name);
                       if (std::isnan(here)) return std::nullopt;
                       return Reading{.number = Measured{.mean = here}};
                     }});
  };
  end("analytic gradient, final ELBO", "analytic", 950.7);
  end("stochastic gradient, final ELBO", "stochastic", 939.3);
  lines.push_back(claim("lucas/fig3", "the stochastic gradient ends lower", "by 11.4 nats",
                        [](const Json& result) -> std::optional<Reading> {
                          const double less = metric(result, "difference");
                          if (std::isnan(less)) return std::nullopt;
                          return judged(less > 0, fmt::format("by {:.1f} nats", less));
                        }));
}

void add_encoders(std::vector<Line>& lines) {
  lines.push_back({.item = "lucas/fig4",
                   .what = "linear encoder, final ELBO",
                   .unit = "nats",
                   .number = ledger::PublishedNumber{.value = -1098.2, .digits = 1},
                   .better = Better::higher,
                   .margin = 5,
                   .read = [](const Json& result) -> std::optional<Reading> {
                     if (result.at("command") == "train")
                       return Reading{.number = Measured{.mean = metric(result, "elbo_paper_units")}};
                     for (const Json& row : ledger::value_at(result, "metrics.encoders"))
                       if (row.at("encoder") == "linear")
                         return Reading{.number =
                                            Measured{.mean = number_or_nan(row.at("elbo_paper_units"))}};
                     return std::nullopt;
                   }});
  for (const double value : {-1108.7, -1112.1, -1119.6})
    lines.push_back({.item = "lucas/fig4",
                     .what = "another encoder, final ELBO",
                     .unit = "nats",
                     .number = ledger::PublishedNumber{.value = value, .digits = 1},
                     .unlike = "the text does not say which encoder it is of"});
  lines.push_back(claim("lucas/fig4", "no encoder outperforms the linear one", "supported",
                        [](const Json& result) -> std::optional<Reading> {
                          double linear = std::nan(""), other = -INFINITY;
                          for (const Json& row : ledger::value_at(result, "metrics.encoders")) {
                            const double own = number_or_nan(row.at("elbo_paper_units"));
                            if (row.at("encoder") == "linear")
                              linear = own;
                            else
                              other = std::max(other, own);
                          }
                          if (std::isnan(linear) || std::isinf(other)) return std::nullopt;
                          return judged(linear > other,
                                        fmt::format("{:.1f}, the best other {:.1f} nats", linear, other));
                        }));
}

void add_collapse(std::vector<Line>& lines, const char* fixed_id, const char* learned_id) {
  lines.push_back(claim(fixed_id, "the larger a fixed σ², the more units collapse (30, 10, 3, 1)",
                        "by the curves", [](const Json& result) -> std::optional<Reading> {
                          std::vector<double> percent;
                          for (const double sigma2 : {30., 10., 3., 1.}) {
                            percent.push_back(Column{"collapse_percent", false, false}.at(result, sigma2));
                            if (std::isnan(percent.back())) return std::nullopt;
                          }
                          return judged(std::is_sorted(percent.rbegin(), percent.rend()),
                                        fmt::format("{:.4g} %", fmt::join(percent, ", ")));
                        }));
  lines.push_back(
      claim(learned_id, "learned from a large σ² (30, 10) more units collapse than from a small one",
            "true even when σ² is learned", [](const Json& result) -> std::optional<Reading> {
              std::vector<double> from_large, from_small;
              for (const double sigma2 : kSigma2) {
                const double percent = Column{"collapse_percent", true, false}.at(result, sigma2);
                if (std::isnan(percent)) return std::nullopt;
                (sigma2 >= 10 ? from_large : from_small).push_back(percent);
              }
              const double large = mean_of(from_large), small = mean_of(from_small);
              return judged(large > small, fmt::format("{:.3g} % against {:.3g} %", large, small));
            }));
}

void add_learning(std::vector<Line>& lines) {
  lines.push_back(claim(
      "lucas/table1", "ELBOs differ less over starts of a learned σ² than over fixed ones",
      "the gap is smaller", [](const Json& result) -> std::optional<Reading> {
        const auto [fixed, learned] = pairs_of(result, {"elbo_tuned", false, false}, {"elbo", true, false});
        if (fixed.size() < 2) return std::nullopt;
        return judged(
            spread_of(learned) < spread_of(fixed),
            fmt::format("{:.1f} nats, tuned fixed ones {:.1f}", spread_of(learned), spread_of(fixed)));
      }));
  lines.push_back(claim(
      "lucas/table1", "the best fixed σ², tuned afterwards, stays below the best learned one",
      "converged representations are less good", [](const Json& result) -> std::optional<Reading> {
        const auto [fixed, learned] = pairs_of(result, {"elbo_tuned", false, false}, {"elbo", true, false});
        if (fixed.empty()) return std::nullopt;
        const double ahead =
            *std::max_element(learned.begin(), learned.end()) - *std::max_element(fixed.begin(), fixed.end());
        return judged(ahead > 0, fmt::format("by {:.1f} nats", ahead));
      }));
}

void add_annealing(std::vector<Line>& lines) {
  lines.push_back(claim(
      "lucas/fig7", "σ² fixed at 30 and 10: annealing ends as collapsed as no annealing",
      "falls back to the collapsed solution", [](const Json& result) -> std::optional<Reading> {
        const Column without{"collapse_percent", false, false}, annealed{"collapse_percent", false, true};
        const double without30 = without.at(result, 30), without10 = without.at(result, 10),
                     annealed30 = annealed.at(result, 30), annealed10 = annealed.at(result, 10);
        const double off = std::abs(without30 - annealed30) + std::abs(without10 - annealed10);
        if (std::isnan(off)) return std::nullopt;
        return judged(std::abs(without30 - annealed30) <= 10 && std::abs(without10 - annealed10) <= 10,
                      fmt::format("{:.3g} and {:.3g} %, without {:.3g} and {:.3g} %", annealed30, annealed10,
                                  without30, without10));
      }));
  lines.push_back(ledger::picture_line("lucas/fig7",
                                       "collapse is less at epoch 80 of the annealing than at the end",
                                       "dashed lines below solid ones"));
  for (const char* id : {"lucas/fig8", "lucas/fig9"}) {
    const auto less = [&](const char* what, const char* words, const char* name) {
      lines.push_back(claim(id, what, words, [name](const Json& result) -> std::optional<Reading> {
        const auto [without, annealed] = pairs_of(result, {name, true, false}, {name, true, true});
        if (without.empty()) return std::nullopt;
        return judged(mean_of(annealed) < mean_of(without),
                      fmt::format("{:.4g} on average, without {:.4g}", mean_of(annealed), mean_of(without)));
      }));
    };
    less("annealing lets σ² be learned smaller", "a much smaller σ²", "sigma2_final");
    less("and reduces collapse", "ultimately reduces it", "collapse_percent");
  }
}

}  // namespace

std::vector<Line> figure_lines() {
  std::vector<Line> lines;
  add_landscape(lines);
  add_linear(lines);
  add_encoders(lines);
  add_learning(lines);
  add_collapse(lines, "lucas/fig5", "lucas/fig6");
  add_collapse(lines, "lucas/fig10", "lucas/fig11");
  add_annealing(lines);
  lines.push_back(ledger::picture_line("lucas/fig12", "reconstructions", "pictures"));
  lines.push_back(ledger::picture_line("lucas/fig13", "interpolations on a plane", "pictures"));
  return lines;
}

}  // namespace elbo::lucas
