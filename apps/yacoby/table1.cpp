// elbo yacoby-table1: Yacoby et al., Table 1. Five ways to train VAEs on data whose model is known, each with
// the best of its settings: how likely test data are, and whether samples look like the data.
#include <algorithm>
#include <cmath>
#include <set>

#include "apps/command.h"
#include "apps/experiment/training_unit.h"
#include "apps/support/figure.h"
#include "apps/support/statistics.h"
#include "apps/training/model_card.h"
#include "apps/training/model_folder.h"
#include "apps/yacoby/findings.h"
#include "apps/yacoby/tables.h"
#include "tensor/cuda/device.h"
#include "vae/yacoby_file.h"

namespace elbo {
namespace {

using namespace yacoby;

constexpr double kNear = 0.02;  // nats: a restart is at an optimum

struct Options : RestartOptions {
  std::vector<std::string> kinds, methods, settings;
  int64_t importance_samples = 5000, knn_repetitions = 2000;
  template <class F>
  void each(F f) {
    each_common(f);
    f("data_sets", kinds);
    f("methods", methods);
    f("settings", settings);
    f("importance_samples", importance_samples);
    f("knn_repetitions", knn_repetitions);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  const auto list = [&](const char* option, std::vector<std::string>& values,
                        std::vector<std::string> quick) {
    if (o.quick && !arguments.given(option)) values = std::move(quick);
  };
  list("--data-sets", o.kinds, {"linear-jtex"});
  list("--methods", o.methods, {"vae", "libi"});
  list("--settings", o.settings, {"vae", "libi-1-0.5-0.5-1"});
  quicken(arguments, o.quick, "--sets", o.sets, 1);
  quicken(arguments, o.quick, "--epochs", o.epochs, 10000);
}

/// What is trained on one kind of data.
struct Cell {
  const DataKind* kind;
  Setting setting;
  std::string key() const { return fmt::format("{}-{}", kind->key, key_of(setting)); }
};

std::vector<const DataKind*> kinds_of(const Options& o) {
  std::vector<const DataKind*> kinds;
  for (const std::string& key : o.kinds) kinds.push_back(&data_kind(key));
  if (kinds.empty())
    for (const DataKind& kind : data_kinds()) kinds.push_back(&kind);
  return kinds;
}

std::vector<Method> methods_of(const Options& o) {
  std::vector<Method> methods;
  for (const std::string& text : o.methods) methods.push_back(parse_method(text));
  return methods.empty() ? all_methods() : methods;
}

std::vector<Cell> cells_of(const Options& o) {
  std::vector<Cell> cells;
  std::set<std::string> unknown(o.settings.begin(), o.settings.end());
  for (const DataKind* kind : kinds_of(o))
    for (const Method method : methods_of(o))
      for (const Setting& setting : grid_of(*kind, method)) {
        unknown.erase(key_of(setting));
        const bool wanted = o.settings.empty() || std::find(o.settings.begin(), o.settings.end(),
                                                            key_of(setting)) != o.settings.end();
        if (wanted) cells.push_back({kind, setting});
      }
  if (!unknown.empty())
    fail("[--settings] there is no {} among these data and methods; --dry-run lists the units",
         *unknown.begin());
  return cells;
}

/// Of each data set the chosen restart, as a model that knows its data.
void save_chosen(const Options& o, const Cell& cell, const Restarts& restarts, const Vae& vae,
                 const Findings& found, const UnitPlace& place) {
  std::vector<SavedMember> list;
  for (size_t s = 0; s < found.chosen.size(); ++s) {
    const int64_t member = found.chosen[s].member, set = static_cast<int64_t>(s);
    if (member < 0) continue;
    ModelCard card = card_of_toy(cell.kind->key, set, o.points, o.run.seed);
    card.member = member;
    save_yacoby_vae(place.directory.file(place.folder + model_name(false, member)), cell.kind->model,
                    restarts.sets().toys[s].truth, vae, member, metadata_of(card));
    list.push_back({member, fmt::format("data set {}, restart {}", set, member % o.restarts),
                    found.scores[static_cast<size_t>(member)]});
  }
  write_member_list(place.directory, place.folder, list);
}

Json trained(const Options& o, const Cell& cell, const UnitPlace& place) {
  const Device device = device_of(o.run);
  const Restarts restarts(*cell.kind, o);
  const auto vae = restarts.model(device, restarts.members());
  Training training(vae->parameters(),
                    phases_of(cell.setting, *vae, o.epochs, o.rate, restarts.validation().to(device)),
                    whole_set(restarts.train().to(device)), {.seed = o.run.seed});
  const auto text = [&] { return fmt::format("{}, step {}", training.phase().name, training.steps()); };
  if (!run_training(training, o.epochs, place, text)) return {};
  const Findings found = find_out(
      *cell.kind, scores_of(cell.setting, *vae, training, restarts.validation().to(device), o.run.seed),
      restarts, *vae, o, o.importance_samples, o.knn_repetitions);
  save_chosen(o, cell, restarts, *vae, found, place);
  return to_json(found);
}

double seconds_for(const Options& o, const Cell& cell) {
  const Device device = device_of(o.run);
  const Restarts restarts(*cell.kind, o);
  const auto vae = restarts.model(device, restarts.members());
  Training training(vae->parameters(),
                    phases_of(cell.setting, *vae, o.epochs, o.rate, restarts.validation().to(device)),
                    whole_set(restarts.train().to(device)), {.seed = o.run.seed});
  return seconds_for_steps(o.epochs - 1, [&](int64_t n) {
    for (int64_t i = 0; i < n; ++i) training.step();
    cuda::synchronize();
  });
}

/// A measure that units have in common, which tells those apart that take other steps.
double cost_of(const Options& o, const Cell& cell) {
  const double of_kind[] = {1, 4, 1.5, 4};
  return static_cast<double>(o.epochs * o.sets * o.restarts * o.points) *
         of_kind[static_cast<size_t>(cell.kind->model)] * (cell.setting.method == Method::libi ? 1.5 : 1);
}

/// A method's setting with the highest test log-likelihood, over the data sets (appendix E).
struct Entry {
  Setting setting;
  Statistics log_likelihood, knn;
  bool unreliable = false;
  std::vector<Optimum> optima{};
  std::vector<int64_t> chosen{};
};

Entry entry_of(const Setting& setting, const Findings& found) {
  Entry entry{.setting = setting, .log_likelihood = {}, .knn = {}, .optima = found.optima};
  std::vector<double> likelihoods, knn;
  for (const Chosen& own : found.chosen) {
    likelihoods.push_back(own.log_likelihood);
    knn.push_back(own.knn);
    entry.unreliable = entry.unreliable || own.unreliable;
    entry.chosen.push_back(own.member);
  }
  entry.log_likelihood = statistics_of(likelihoods);
  entry.knn = statistics_of(knn);
  return entry;
}

std::string with_deviation(const Statistics& s, int digits) {
  if (std::isnan(s.deviation)) return fmt::format("{:.{}f}", s.mean, digits);
  return fmt::format("{:.{}f} ± {:.{}f}", s.mean, digits, s.deviation, digits);
}

/// Published rows that a faithful repetition should not be expected to meet, and why.
std::string not_to_expect(const DataKind& kind, Method method) {
  if (kind.model == YacobyModel::cubic_jtex) return "likelihoods there are unreliable, as the paper says";
  if (kind.model == YacobyModel::gaussian && method != Method::libi)
    return "the decoder is free and the ELBO's own optimum is the truth: the paper's number is Adam's at "
           "noise 1e-6";
  return "";
}

bool as_published(const Options& o) {
  const Options paper;
  return o.sets >= paper.sets && o.restarts >= paper.restarts && o.epochs >= paper.epochs &&
         o.points == paper.points && o.rate == paper.rate && o.settings.empty();
}

void add_claims(const Options& o, const DataKind& kind, const std::vector<Entry>& entries, Presentation& p) {
  const char* const unlike =
      as_published(o) ? "" : "fewer data sets, restarts, steps or settings than the paper's";
  for (const Entry& entry : entries) {
    const PaperEntry& paper = table1_entry(kind.key, name(entry.setting.method));
    const std::string reason = not_to_expect(kind, entry.setting.method);
    const auto add = [&](const char* what, const char* unit, double number, double deviation,
                         const Statistics& here, const std::string& note) {
      p.claims.push_back(
          claim_of({.what = fmt::format("{}, {}: {}", kind.title, title(entry.setting.method), what),
                    .unit = unit,
                    .paper = number,
                    .paper_error = deviation / std::sqrt(5.0),
                    .here = here.mean,
                    .here_error = here.standard_error,
                    .note = note.empty() ? unlike : note,
                    .comparable = *unlike == 0 && note.empty()}));
    };
    add("test log-likelihood", "nats", paper.log_likelihood, paper.log_likelihood_deviation,
        entry.log_likelihood, entry.unreliable ? "too few effective samples" : reason);
    add("smooth k-NN", "", paper.knn, paper.knn_deviation, entry.knn, "");
  }
}

/// Whether LiBI comes first among the methods, as the paper's own numbers have it or not.
void add_order(const Options& o, const DataKind& kind, const std::vector<Entry>& entries, Presentation& p) {
  const auto libi = std::find_if(entries.begin(), entries.end(),
                                 [](const Entry& e) { return e.setting.method == Method::libi; });
  if (libi == entries.end() || entries.size() < 2) return;
  const auto first = [&](const auto& better) {
    return std::all_of(entries.begin(), entries.end(), [&](const Entry& e) {
      return e.setting.method == Method::libi ||
             better(name(libi->setting.method), *libi, name(e.setting.method), e);
    });
  };
  const auto add = [&](const char* what, const auto& better_here, const auto& better_there) {
    const bool here =
        first([&](const char*, const Entry& a, const char*, const Entry& b) { return better_here(a, b); });
    const bool there = first([&](const char* a, const Entry&, const char* b, const Entry&) {
      return better_there(table1_entry(kind.key, a), table1_entry(kind.key, b));
    });
    p.claims.push_back({.claim = fmt::format("{}: LiBI has the {} of these methods", kind.title, what),
                        .paper = there ? "yes" : "no",
                        .here = here ? "yes" : "no",
                        .holds = here == there,
                        .note = as_published(o) ? "" : "of fewer data sets, restarts, steps or settings"});
  };
  add(
      "highest test log-likelihood",
      [](const Entry& a, const Entry& b) { return a.log_likelihood.mean > b.log_likelihood.mean; },
      [](const PaperEntry& a, const PaperEntry& b) { return a.log_likelihood > b.log_likelihood; });
  add(
      "lowest smooth k-NN statistic", [](const Entry& a, const Entry& b) { return a.knn.mean < b.knn.mean; },
      [](const PaperEntry& a, const PaperEntry& b) { return a.knn < b.knn; });
}

/// Where the restarts of LinearJTEx ended.
void add_optima(const Options& o, const std::vector<Entry>& entries, Presentation& p) {
  for (const Entry& entry : entries) {
    if (entry.setting.method != Method::vae && entry.setting.method != Method::libi) continue;
    const bool libi = entry.setting.method == Method::libi;
    int64_t near = 0;
    double best = std::nan("");
    for (const Optimum& own : entry.optima)
      near +=
          libi ? own.likelihood < kNear : std::abs(own.likelihood + own.posterior - kLossAtOptimum) < kNear;
    for (const int64_t member : entry.chosen)
      if (member >= 0 && !(entry.optima[static_cast<size_t>(member)].likelihood >= best))
        best = entry.optima[static_cast<size_t>(member)].likelihood;
    const auto count = static_cast<int64_t>(entry.optima.size());
    if (!libi)
      p.claims.push_back(
          {.claim = fmt::format("LinearJTEx, VAE: restarts within {} nats of the biased optimum", kNear),
           .paper = "where the VAE's optimum is (Fig 1 D)",
           .here = fmt::format("{} of {}", near, count),
           .holds = 10 * near >= 7 * count,
           .note = "it holds from 7 of 10"});
    else
      p.claims.push_back(
          {.claim = fmt::format(
               "LinearJTEx, LiBI: KL of the data to the chosen model, restarts below {} nats", kNear),
           .paper = "captures the data",
           .here = fmt::format("{:.4f} nats, {} of {}", best, near, count),
           .holds = best<kNear, .note = o.sets> 1 ? "the best of the data sets" : ""});
  }
}

Figure optima_figure(const std::vector<Entry>& entries) {
  Figure figure{.name = "optima",
                .title = "Where the restarts ended: LinearJTEx",
                .x = {.label = "KL of the data to the model (nats)", .low = -0.01},
                .y = {.label = "KL of the best q to the posterior (nats)", .low = -0.01}};
  for (const Entry& entry : entries) {
    Series points{.name = title(entry.setting.method), .style = Style::points, .opacity = 0.6};
    for (const Optimum& own : entry.optima) {
      points.x.push_back(own.likelihood);
      points.y.push_back(own.posterior);
    }
    figure.series.push_back(std::move(points));
  }
  figure.lines = {{.at = kLossAtTruth, .label = "the true model's"}};
  return figure;
}

void present_kind(const Options& o, const DataKind& kind, const Outcomes& outcomes, Table& all, Json& rows,
                  Presentation& p, Report& report) {
  std::vector<Entry> entries;
  for (const Cell& cell : cells_of(o)) {
    if (cell.kind->model != kind.model || !outcomes.has(cell.key())) continue;
    const Entry own = entry_of(cell.setting, findings_from(outcomes.at(cell.key())));
    all.row({kind.title, title_of(cell.setting), with_deviation(own.log_likelihood, 3),
             with_deviation(own.knn, 3)});
    rows.push_back({{"data", kind.key},
                    {"setting", key_of(cell.setting)},
                    {"log_likelihood", finite_or_null(own.log_likelihood.mean)},
                    {"log_likelihood_deviation", finite_or_null(own.log_likelihood.deviation)},
                    {"knn", finite_or_null(own.knn.mean)},
                    {"knn_deviation", finite_or_null(own.knn.deviation)},
                    {"sets", own.log_likelihood.count}});
    if (entries.empty() || entries.back().setting.method != own.setting.method)
      entries.push_back(own);
    else if (own.log_likelihood.mean > entries.back().log_likelihood.mean)
      entries.back() = own;
  }
  if (entries.empty()) return;
  Table table({"method", "best setting", Table::number("test log-likelihood"), Table::number("paper"),
               Table::number("smooth k-NN"), Table::number("paper")});
  const Statistics truth = statistics_of(Restarts(kind, o).sets().test_log_likelihood);
  table.row({"the truth", "", with_deviation(truth, 2), "", "0", ""});
  for (const Entry& e : entries) {
    const PaperEntry& paper = table1_entry(kind.key, name(e.setting.method));
    table.row({title(e.setting.method), e.setting.method == Method::vae ? "" : key_of(e.setting),
               with_deviation(e.log_likelihood, 2) + (e.unreliable ? " *" : ""),
               fmt::format("{:.2f} ± {:.2f}", paper.log_likelihood, paper.log_likelihood_deviation),
               with_deviation(e.knn, 2), fmt::format("{:.2f} ± {:.2f}", paper.knn, paper.knn_deviation)});
  }
  report.section(kind.title);
  report.table(
      table,
      "Nats per data point on test points, mean and deviation over the data sets; * where importance "
      "sampling is unreliable. Of each method the setting with the highest test log-likelihood, as the "
      "paper chooses; of each data set the restart with the best objective on validation points.");
  p.text += fmt::format("{}\n{}\n", kind.title, table.text());
  add_claims(o, kind, entries, p);
  add_order(o, kind, entries, p);
  if (kind.model != YacobyModel::linear_jtex) return;
  add_optima(o, entries, p);
  report.figure(
      draw(optima_figure(entries), p.directory.figures()),
      "Closed forms of every restart's model. A VAE gives up likelihood for a posterior that q can have; "
      "LiBI keeps the likelihood.");
}

void present(const Options& o, const Outcomes& outcomes, Presentation& p) {
  Report& report = p.report.emplace(
      "Five ways to train, where the truth is known",
      fmt::format(
          "Yacoby et al., Table 1. {} data sets of {} points, {} restarts on each, {} steps on all points.",
          o.sets, o.points, o.restarts, o.epochs));
  Table all({"data", "setting", Table::number("test log-likelihood"), Table::number("smooth k-NN")});
  Json rows = Json::array();
  for (const DataKind* kind : kinds_of(o)) present_kind(o, *kind, outcomes, all, rows, p, report);
  report.section("All settings");
  report.table(all, "Mean and deviation over the data sets.");
  p.result.set("rows", rows, "log-likelihoods in nats per data point");
}

ExperimentPlan plan(Options& o) {
  const std::vector<Cell> cells = cells_of(o);
  ExperimentPlan plan{.what = fmt::format("Trains {} settings on {} data sets x {} restarts, {} steps each.",
                                          cells.size(), o.sets, o.restarts, o.epochs)};
  for (const Cell& cell : cells)
    plan.units.push_back({.key = cell.key(),
                          .title = fmt::format("{}, {}", cell.kind->title, title_of(cell.setting)),
                          .cost = cost_of(o, cell),
                          .measure = [o, cell] { return seconds_for(o, cell); },
                          .run = [o, cell](const UnitPlace& place) { return trained(o, cell, place); }});
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o,
                         "LinearJTEx, VAE and one setting of LiBI, one data set, 10 000 steps");
  arguments.add_texts("--data-sets", o->kinds, "linear-jtex, cubic-jtex, gaussian, mobius; by default all");
  arguments.add_texts("--methods", o->methods, "vae, beta, anneal, lagging, libi; by default all");
  arguments.add_texts("--settings", o->settings,
                      "Of their settings, by key, these only: beta-0.5,lagging-40");
  arguments.begin_group("Training");
  add_restart_options(arguments, *o);
  arguments.begin_group("Evaluation");
  arguments
      .add_number("--importance-samples", o->importance_samples,
                  "z for each test point where ln p(x) is not exact", kCount)
      .show_default();
  arguments
      .add_number("--knn-repetitions", o->knn_repetitions,
                  "Draws of 100 + 100 points that smooth k-NN is averaged over", kCount)
      .show_default();
  arguments.run([o, &arguments] {
    run_experiment<Options>({"yacoby-table1", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command yacoby_table1_command{"yacoby-table1",
                                    "VAE, β-VAE, annealing, lagging and LiBI where the truth is known",
                                    "Table 1", "a night (--quick: 10 min)", add_options};

}  // namespace elbo
