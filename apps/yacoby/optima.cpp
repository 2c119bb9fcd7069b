// elbo yacoby-optima: Yacoby et al., Fig 1 and Case 2. What the loss of a VAE prefers where its posteriors
// cannot be those of the model: in closed form, and as trained VAEs find it.
#include <algorithm>
#include <cmath>

#include "apps/command.h"
#include "apps/support/figure_parts.h"
#include "apps/yacoby/optima_figures.h"
#include "apps/yacoby/optima_units.h"
#include "apps/yacoby/restarts.h"
#include "apps/yacoby/tables.h"
#include "datasets/yacoby_toys.h"
#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "tensor/math.h"

namespace elbo {
namespace {

using namespace yacoby;
using Options = OptimaOptions;

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--steps", o.steps, 10000);
  quicken(arguments, o.quick, "--members", o.members, 4);
  quicken(arguments, o.quick, "--grid", o.grid, 34);
}

Tensor matrix_of(const Json& numbers) { return Tensor::from<double>({2, 2}, numbers_or_nan(numbers)); }

double correlation(const Tensor& c) { return c.at(1) / std::sqrt(c.at(0) * c.at(3)); }

/// Four digits, and 0 for what is no more than rounding.
std::string digits(double value) { return fmt::format("{:.4f}", std::abs(value) < 5e-5 ? 0.0 : value); }

void add_row(Table& table, const std::string& name, const Known& known) {
  table.row({name, digits(known.loss.likelihood), digits(known.loss.posterior), digits(known.loss.total()),
             digits(known.log_likelihood), digits(known.information),
             fmt::format("{:.3f}", correlation(known.aggregated))});
}

/// Elements of two symmetric matrices.
void add_covariances(Table& table, const std::string& name, const Known& known) {
  std::vector<std::string> row{name};
  for (const Tensor& c : {known.covariance, known.aggregated})
    for (const int64_t i : {0, 1, 3}) row.push_back(digits(c.at(i)));
  table.row(row);
}

Json to_json(const Known& known) {
  return {{"weight", known.model.weight.to_vector()},
          {"likelihood_term", known.loss.likelihood},
          {"posterior_term", known.loss.posterior},
          {"loss", known.loss.total()},
          {"log_likelihood", known.log_likelihood},
          {"mutual_information", known.information},
          {"covariance_of_data", known.covariance.to_vector()},
          {"covariance_of_aggregated_posterior", known.aggregated.to_vector()}};
}

/// Fig 1 A and B.
void present_plane(const Json& found, Presentation& p, Report& report) {
  const std::vector<double> grid = numbers_or_nan(found.at("grid")),
                            posterior = numbers_or_nan(found.at("posterior")),
                            information = numbers_or_nan(found.at("information")),
                            likelihood = numbers_or_nan(found.at("likelihood"));
  if (grid.empty() || posterior.size() != grid.size() * grid.size() || information.size() != posterior.size())
    fail("[experiment] the plane of B is not as large as its grid; was its unit.json edited by hand?");
  const auto marked =
      static_cast<size_t>(std::min_element(posterior.begin(), posterior.end()) - posterior.begin());
  const double b11 = grid[marked / grid.size()], b22 = grid[marked % grid.size()];
  const auto [lowest, highest] = std::minmax_element(information.begin(), information.end());
  p.result.set("plane",
               {{"b11", b11},
                {"b22", b22},
                {"posterior_term", posterior[marked]},
                {"mutual_information", information[marked]},
                {"lowest_information", *lowest},
                {"highest_information", *highest}},
               "nats");
  p.claims.push_back(
      {.claim = "A fixed: the posterior term is least where B11 is high and B22 low",
       .paper = "the top-left corner (Fig 1 A)",
       .here = fmt::format("{:.5f} nats at B11 = {:g}, B22 = {:g}", posterior[marked], b11, b22),
       .holds = b11 == grid.back() && b22 == grid.front(),
       .note = fmt::format("B from 0 to {:g}, as I is infinite at 0.01", kLargestFloor)});
  p.claims.push_back(
      {.claim = "there I(X; Z) is neither highest nor lowest",
       .paper = "not optimal (Fig 1 B)",
       .here = fmt::format("{:.2f}, of {:.2f} to {:.2f} nats", information[marked], *lowest, *highest),
       .holds = information[marked] > *lowest && information[marked] < *highest});
  double furthest = 0;
  for (const double value : likelihood) furthest = std::max(furthest, std::abs(value));
  p.claims.push_back({.claim = "the data are the same for every B",
                      .paper = "MLE objective 0",
                      .here = fmt::format("at most {:.1e} nats", furthest),
                      .holds = furthest < 1e-9});
  report.section("A given, B learned (Fig 1 A, B)");
  report.figure(
      draw(planes_of_b(grid, posterior, information, marked), p.directory.figures()),
      "Closed forms. Left: KL of the best mean-field posterior to the exact one. Right: what z tells "
      "of x.");
}

/// So many points of E_data[q(z|x)], q the closest mean-field posterior.
Tensor draws_of_posterior(const Known& known, const Tensor& x, uint64_t seed) {
  const Tensor mean = matmul(x, Transpose::no, known.posterior.projection, Transpose::yes);
  const Tensor variances = mean_field_variances(known.posterior),
               all = Tensor::empty(mean.shape(), DType::f64);
  for (int64_t i = 0; i < all.elements(); ++i) all.data<double>()[i] = variances.at(i % variances.elements());
  return draws_of(mean, all, seed);
}

using AddPanels = std::function<void(const std::string& name, const Known& known, const Tensor& z)>;

/// The restarts, and the one that its own objective prefers.
void present_restarts(const Options& o, const Json& found, Presentation& p, Table& table,
                      const AddPanels& panels) {
  const Json& members = found.at("members");
  const auto chosen = found.at("chosen").get<size_t>();
  const double optimum = jtex_optimum(data_covariance(true_model()), {kFloor, kFloor}, kSigma2).loss.total();
  int64_t near = 0;
  Json restarts = Json::array();
  for (size_t m = 0; m < members.size(); ++m) {
    if (members[m].is_null()) {
      restarts.push_back(nullptr);
      continue;
    }
    const Known known = known_of(matrix_of(members[m].at("weight")));
    const double encoder_gap = number_or_nan(members[m].at("encoder_gap"));
    near += known.loss.total() < optimum + kNear ? 1 : 0;
    Json json = to_json(known);
    json["posterior_term_of_encoder"] = encoder_gap;
    json["validation_loss"] = members[m].at("validation_loss");
    restarts.push_back(std::move(json));
    add_row(table, fmt::format("restart {}{}", m, m == chosen ? ", chosen" : ""), known);
    if (m != chosen) continue;
    panels("trained", known, Tensor::from<double>({o.points, 2}, numbers_or_nan(found.at("latents"))));
    p.claims.push_back(claim_of({.what = "L(θ, φ*) of the restart that validation data prefer",
                                 .unit = "nats",
                                 .paper = kLossAtOptimum,
                                 .here = known.loss.total(),
                                 .tolerance = kNear,
                                 .note = fmt::format("{} steps; its own encoder's: {:.3f}", o.steps,
                                                     known.loss.likelihood + encoder_gap),
                                 .comparable = o.steps >= 10000,
                                 .digits = 3}));
  }
  p.result.set("restarts", restarts, kNatsPerPoint);
  p.result.set("chosen", chosen);
  p.claims.push_back({.claim = "training finds the biased optimum",
                      .paper = "the VAE's rows of Table 1",
                      .here = fmt::format("{} of {} restarts within {:g} nats", near, members.size(), kNear),
                      .holds = o.steps < 10000
                                   ? std::nullopt
                                   : std::optional(10 * near >= 7 * static_cast<int64_t>(members.size())),
                      .note = o.steps < 10000 ? "fewer than 10000 steps" : "holds from 7 of 10 on"});
}

/// Fig 1 C to F.
void present_densities(const Options& o, const Outcomes& outcomes, Presentation& p, Report& report) {
  const Toy toy = linear_jtex_toy(o.run.seed, 0, {.sigma2 = kSigma2, .floor = kFloor});
  const Tensor x = toy.draw(o.points, Split::train);
  const Known truth = known_of(true_model().weight);
  Table table({"model", Table::number("KL of the data"), Table::number("posterior term"), Table::number("L"),
               Table::number("E ln p(x)"), Table::number("I(X; Z)"), Table::number("correlation of q(z)")});
  Table covariances({"model", Table::number("var x₁"), Table::number("cov x₁, x₂"), Table::number("var x₂"),
                     Table::number("var z₁"), Table::number("cov z₁, z₂"), Table::number("var z₂")});
  add_row(table, "truth", truth);
  add_covariances(covariances, "truth", truth);
  p.result.set("truth", to_json(truth), kNatsPerPoint);
  std::vector<Cloud> data{{"C: truth", "", truth.covariance, x}},
      latents{{"E: truth", "", truth.aggregated, toy.latents(o.points, Split::train)}};
  const auto panels = [&](const std::string& name, const Known& known, const Tensor& z) {
    const std::string note = fmt::format("L = {:.3f}", known.loss.total());
    add_covariances(covariances, "learned, " + name, known);
    data.push_back({"D: learned, " + name, note, known.covariance, x});
    latents.push_back({"F: learned, " + name, note, known.aggregated, z});
  };
  if (outcomes.has(kClosedForm)) {
    const Json& found = outcomes.at(kClosedForm);
    const Known optimum = known_of(matrix_of(found.at("optimum")));
    add_row(table, "optimum, closed form", optimum);
    Json json = to_json(optimum);
    json["losses_of_starts"] = found.at("losses");
    p.result.set("optimum", json, kNatsPerPoint);
    panels("closed form", optimum, draws_of_posterior(optimum, x, o.run.seed));
    p.claims.push_back(claim_of({.what = "L(θ_GT, φ_GT)",
                                 .unit = "nats",
                                 .paper = kLossAtTruth,
                                 .here = truth.loss.total(),
                                 .tolerance = 5e-4,
                                 .note = "closed form",
                                 .digits = 4}));
    p.claims.push_back(claim_of({.what = "L(θ*, φ*)",
                                 .unit = "nats",
                                 .paper = kLossAtOptimum,
                                 .here = optimum.loss.total(),
                                 .tolerance = 5e-4,
                                 .note = fmt::format("closed form, the best of {} starts", o.starts),
                                 .digits = 4}));
    p.claims.push_back(
        {.claim = "the optimum's aggregated posterior is not the prior",
         .paper = "it does not match (Fig 1 E, F)",
         .here = fmt::format("correlation {:.2f}, the truth's {:.2f}", correlation(optimum.aggregated),
                             correlation(truth.aggregated)),
         .holds = std::abs(correlation(optimum.aggregated)) > 10 * std::abs(correlation(truth.aggregated))});
  }
  if (outcomes.has(kTrained)) present_restarts(o, outcomes.at(kTrained), p, table, panels);
  report.section("B given, A learned (Fig 1 C to F)");
  report.table(
      table,
      "Closed forms of each model, where the data are the truth's. L = KL of the data + posterior "
      "term, with the best mean-field q, whose E_data[q(z|x)] is q(z). The prior's correlation is 0.");
  report.figure(draw(clouds("fig1cd", "Data: what made them, and what was learned of them", {"x₁", "x₂"},
                            data, truth.covariance, "truth, at 2 deviations", "training data", false),
                     p.directory.figures()),
                "The density of each model by its contours, which are ellipses, and the training data.");
  report.figure(
      draw(clouds("fig1ef", "Aggregated posteriors", {"z₁", "z₂"}, latents, identity_matrix(2, DType::f64),
                  "prior, at 2 deviations", "draws of z for the training data", true),
           p.directory.figures()),
      "q(z) = E_data[q(z|x)] with the best mean-field q of each model, and draws: the z that made the data, "
      "of the best q for them, and of the trained encoder's.");
  report.table(covariances, "Covariances of p(x) and of q(z): what the panels show.");
  p.text = table.text();
}

/// Case 2: Eq. 5, and Eq. 15 without its "-4".
void present_case2(Presentation& p, Report& report) {
  std::vector<double> ratios, information, losses;
  const Tensor covariance = Tensor::full({1, 1}, kSigma2, DType::f64);
  for (const double turn : evenly(0, 0.49 * math::kPi, 200)) {
    const double ratio = std::sin(turn);  // close together where I is steep
    const LinearGaussian model{.weight = Tensor::full({1, 1}, ratio * std::sqrt(kSigma2), DType::f64),
                               .noise = Tensor::full({1}, kSigma2 * (1 - ratio * ratio), DType::f64)};
    ratios.push_back(ratio);
    information.push_back(mutual_information(model));
    losses.push_back(optimal_loss(model, covariance).total());
  }
  double largest = 0;
  for (const double loss : losses) largest = std::max(largest, std::abs(loss));
  p.claims.push_back({.claim = "Case 2: every θ is a global optimum, whatever z tells of x",
                      .paper = "L = 0 for all θ (Eq. 5)",
                      .here = fmt::format("L at most {:.0e}, I from {:.2f} to {:.2f} nats", largest,
                                          information.front(), information.back()),
                      .holds = largest < 1e-9 && information.front() == 0 && information.back() > 3,
                      .note = "θ² up to σ², where I is infinite"});
  p.claims.push_back({.claim = "I(X; Z) = 1/2 [ln(σ² / (σ² - θ²)) - 4] (Eq. 15)",
                      .paper = "as printed",
                      .here = "-2 nats at θ = 0, where x and z are independent and I = 0",
                      .holds = false,
                      .note = "a slip: it holds without the -4"});
  report.section("Models that fit equally well (Case 2)");
  report.figure(
      draw(curve_of_information(ratios, information, losses), p.directory.figures()),
      "x = θ z + noise of variance σ_ε² - θ²: the data are N(0, σ_ε²) for every θ, and the posterior "
      "is Gaussian.");
}

void present(const Options& o, const Outcomes& outcomes, Presentation& p) {
  Report& report = p.report.emplace(
      "What the loss of a VAE prefers",
      fmt::format(
          "Yacoby et al., Fig 1 and Case 2: LinearJTEx in closed form, and {} restarts of a VAE on {} "
          "points of it, {} steps.",
          o.members, o.points, o.steps));
  if (outcomes.has(kClosedForm)) present_plane(outcomes.at(kClosedForm), p, report);
  present_densities(o, outcomes, p, report);
  present_case2(p, report);
}

ExperimentPlan plan(Options& o) {
  ExperimentPlan plan{
      .what = fmt::format("Closed forms over {0} x {0} B, and {1} restarts of a VAE.", o.grid, o.members)};
  plan.units = {closed_form_unit(o), trained_unit(o)};
  plan.present = [o](const Outcomes& outcomes, Presentation& p) { present(o, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Fewer restarts, steps and values of B");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--grid", o->grid, {2, 1000}, "Values of B11 and of B22");
  number("--starts", o->starts, {1, 1000}, "Starts of the search for the optimum of the closed form");
  number("--points", o->points, {2, kCount.most}, "Points for training, and for validation");
  arguments.begin_group("Optimisation");
  number("--members", o->members, kCount, "Restarts of the VAE");
  number("--steps", o->steps, kCount, "Steps of Adam, each on all points");
  number("--lr", o->rate, kPositive, "Adam's learning rate");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"yacoby-optima", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command yacoby_optima_command{"yacoby-optima",
                                    "What the loss of a VAE prefers, in closed form and trained",
                                    "Fig 1, Case 2", "1 min (--quick: 10 s)", add_options};

}  // namespace elbo
