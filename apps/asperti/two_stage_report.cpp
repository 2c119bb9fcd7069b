#include "apps/asperti/two_stage_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/figure_parts.h"
#include "apps/support/statistics.h"

namespace elbo::asperti {
namespace {

constexpr int64_t kSeedsForVerdicts = 3;

using Number = std::function<double(const TwoStageMember&)>;

Statistics over(const TwoStageFindings& found, const Number& number) {
  std::vector<double> values;
  for (const TwoStageMember& member : found.members) values.push_back(number(member));
  return statistics_of(values);
}

/// With half its 95 % interval over the models.
std::string shown(const Statistics& s, const char* format = "{:.3g}") { return with_interval(s, format); }

struct LatentRow {
  const char *key, *title;
  LatentMatch TwoStageMember::*match;
};
constexpr LatentRow kLatent[] = {
    {"z_and_prior", "z ~ q(z) beside the prior", &TwoStageMember::prior},
    {"second_and_z", "draws of the second stage beside z", &TwoStageMember::second},
    {"z_and_z", "z of other points beside z", &TwoStageMember::floor},
    {"u_and_prior", "u ~ q(u) of the second stage beside its prior", &TwoStageMember::u}};

struct PictureRow {
  const char *key, *title;
  PictureMatch TwoStageMember::*match;
};
constexpr PictureRow kPictures[] = {{"one_stage", "one stage: z from the prior", &TwoStageMember::one},
                                    {"two_stages", "two stages: z from the second", &TwoStageMember::two},
                                    {"decoded", "z ~ q(z|x) of held-out pictures", &TwoStageMember::codes},
                                    {"held_out", "other held-out pictures", &TwoStageMember::real}};

Number of(LatentMatch TwoStageMember::*match, double LatentMatch::*number) {
  return [=](const TwoStageMember& m) { return m.*match.*number; };
}
Number of(PictureMatch TwoStageMember::*match, double PictureMatch::*number) {
  return [=](const TwoStageMember& m) { return m.*match.*number; };
}

std::string p_text(double p) { return p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p); }

Table latent_table(const TwoStageFindings& found) {
  Table table({"points", Table::number("HZ"), Table::number("p"), Table::number("smooth k-NN"),
               Table::number("MMD² (1e-3)"), Table::number("p")});
  for (const LatentRow& row : kLatent)
    table.row({row.title, shown(over(found, of(row.match, &LatentMatch::hz)), "{:.3f}"),
               p_text(over(found, of(row.match, &LatentMatch::hz_p_value)).median),
               shown(over(found, of(row.match, &LatentMatch::knn)), "{:.2f}"),
               shown(over(found, [&](const TwoStageMember& m) { return 1000 * (m.*row.match).mmd_squared; }),
                     "{:.2f}"),
               p_text(over(found, of(row.match, &LatentMatch::mmd_p_value)).median)});
  const auto k = static_cast<int64_t>(found.members.at(0).first_units.law.size());
  table.row({"points of a Gaussian, in expectation",
             fmt::format("{:.3f}", henze_zirkler_null(found.points, k).mean), "", "0", "0", ""});
  return table;
}

Table picture_table(const TwoStageFindings& found) {
  Table table({"pictures", Table::number("smooth k-NN"), Table::number("Fréchet distance²")});
  for (const PictureRow& row : kPictures)
    table.row({row.title, shown(over(found, of(row.match, &PictureMatch::knn)), "{:.2f}"),
               shown(over(found, of(row.match, &PictureMatch::frechet)), "{:.3f}")});
  return table;
}

/// The largest error that the choice of points leaves in a statistic.
template <class Row, class Match>
double largest_error(const TwoStageFindings& found, const Row& rows, double Match::*error) {
  double largest = 0;
  for (const auto& row : rows)
    for (const TwoStageMember& member : found.members) {
      const double own = member.*row.match.*error;
      if (std::isfinite(own)) largest = std::max(largest, own);
    }
  return largest;
}

double off_law(const StageUnits& units) {
  double off = 0;
  for (const double law : units.law) off += std::abs(law - 1) / static_cast<double>(units.law.size());
  return off;
}
/// NaN of a model that broke.
double in_use(const StageUnits& units) {
  double count = 0 * units.law.at(0);
  for (size_t i = 0; i < units.law.size(); ++i) count += units.variance.at(i) > units.sigma2.at(i);
  return count;
}

/// Units by rank of their mean sigma^2.
std::vector<size_t> ranks_of(const StageUnits& units) {
  std::vector<size_t> order(units.law.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return units.sigma2[a] < units.sigma2[b]; });
  return order;
}

Table law_table(const TwoStageFindings& found) {
  Table table({Table::number("rank"), Table::number("z: Var μ"), Table::number("mean σ²"),
               Table::number("sum"), Table::number("KL"), Table::number("u: Var μ"), Table::number("mean σ²"),
               Table::number("sum"), Table::number("KL")});
  for (size_t rank = 0; rank < found.members.at(0).first_units.law.size(); ++rank) {
    std::vector<std::string> row{std::to_string(rank + 1)};
    for (const auto stage : {&TwoStageMember::first_units, &TwoStageMember::second_units})
      for (const auto& [values, format] :
           {std::pair{&StageUnits::variance, "{:.3f}"}, std::pair{&StageUnits::sigma2, "{:.3f}"},
            std::pair{&StageUnits::law, "{:.3f}"}, std::pair{&StageUnits::kl, "{:.2f}"}}) {
        const Statistics s = over(found, [&, own = values](const TwoStageMember& m) {
          return (m.*stage.*own)[ranks_of(m.*stage)[rank]];
        });
        row.push_back(values == &StageUnits::law ? shown(s, format)
                                                 : fmt::format(fmt::runtime(format), s.mean));
      }
    table.row(row);
  }
  return table;
}

/// A claim that a number is smaller with two stages, judged by the differences within each model. `against`
/// says why it cannot be judged; empty: it can.
void add_claim(const TwoStageFindings& found, Presentation& p, const std::string& claim, const char* paper,
               const Number& before, const Number& after, const std::string& against = "") {
  const Statistics from = over(found, before), to = over(found, after),
                   less = over(found, [&](const TwoStageMember&m) { return before(m) - after(m); });
  const std::string why =
      less.count < kSeedsForVerdicts ? fmt::format("fewer than {} models", kSeedsForVerdicts) : against;
  Claim& own =
      p.claims.emplace_back(Claim{.claim = claim,
                                  .paper = paper,
                                  .here = fmt::format("from {:.4g} to {:.4g}, {} less over {} models",
                                                      from.mean, to.mean, shown(less), less.count),
                                  .note = why.empty() ? found.setting : why});
  if (why.empty()) judge_above_zero(own, less.interval());
}

void add_claims(const TwoStageFindings& found, Presentation& p) {
  using M = TwoStageMember;
  const char* learns = "an accurate approximation of Q(z) (section 6)";
  add_claim(found, p, "draws of the second stage are nearer to z than the prior's: smooth k-NN", learns,
            of(&M::prior, &LatentMatch::knn), of(&M::second, &LatentMatch::knn));
  add_claim(found, p, "and by MMD²", learns, of(&M::prior, &LatentMatch::mmd_squared),
            of(&M::second, &LatentMatch::mmd_squared));
  // A collapsed second stage has q(u) = p(u), and has learned nothing.
  const bool collapsed = std::any_of(found.members.begin(), found.members.end(),
                                     [](const M& m) { return in_use(m.second_units) == 0; });
  const char* mends = "the mismatch of Q(z) and P(z) no longer matters (section 6)";
  const std::string against = collapsed ? "a second stage without a unit in use has q(u) = p(u) anyway" : "";
  add_claim(found, p, "q(u) is nearer to its prior than q(z): smooth k-NN", mends,
            of(&M::prior, &LatentMatch::knn), of(&M::u, &LatentMatch::knn), against);
  add_claim(found, p, "and by MMD²", mends, of(&M::prior, &LatentMatch::mmd_squared),
            of(&M::u, &LatentMatch::mmd_squared), against);
  add_claim(found, p, "q(u) is nearer to Gaussian than q(z): Henze-Zirkler", mends,
            of(&M::prior, &LatentMatch::hz), of(&M::u, &LatentMatch::hz), against);
  const char* solves = "might suffice to solve bad generation (section 7)";
  add_claim(found, p, "two stages draw pictures nearer to held-out ones: smooth k-NN in pixels", solves,
            of(&M::one, &PictureMatch::knn), of(&M::two, &PictureMatch::knn));
  add_claim(found, p, "and by the Fréchet distance²", solves, of(&M::one, &PictureMatch::frechet),
            of(&M::two, &PictureMatch::frechet));
}

/// Three kinds of pictures side by side, six in a row of each.
void add_samples(Report& report, const TwoStageFindings& found, const std::string& folder) {
  const int64_t pixels = found.image.pixels(), across = 6;
  if (pixels == 0) return;
  const int64_t rows = static_cast<int64_t>(found.one.size()) / pixels / across;
  if (rows == 0) return;
  std::vector<double> all;
  for (int64_t row = 0; row < rows; ++row)
    for (const std::vector<double>* kind : {&found.one, &found.two, &found.decoded})
      for (int64_t i = row * across * pixels; i < (row + 1) * across * pixels; ++i)
        all.push_back((*kind)[static_cast<size_t>(i)] / 255);
  const ImageGrid grid{.name = "samples",
                       .height = found.image.height,
                       .width = found.image.width,
                       .channels = found.image.channels,
                       .columns = 3 * across,
                       .group = across,
                       .images = Tensor::from<double>({3 * across * rows, pixels}, all).to(DType::f32)};
  report.image(
      draw(grid, folder),
      "What the first model draws, without choosing. Left: the prior's z decoded. Middle: the second "
      "stage's. Right: z ~ q(z|x) of held-out pictures, which is the best that a second stage can give.",
      {"one stage", "two stages", "z of data"});
}

Figure panel(const TwoStageFindings& found, const char* title, const std::vector<double>* z, int colour) {
  return {.title = title,
          .x = {fmt::format("unit {}", found.across + 1)},
          .y = {fmt::format("unit {}", found.up + 1)},
          .series = {{.x = z[0], .y = z[1], .style = Style::points, .colour = colour, .opacity = 0.6}},
          .equal = true};
}

void add_plane(Report& report, const TwoStageFindings& found, const std::string& folder) {
  FigureGrid grid{.name = "plane", .columns = 3, .share_x = true, .share_y = true};
  Figure own = panel(found, "z ~ q(z)", found.z, 0);
  int64_t classes = 0;
  for (const int64_t each : found.classes) classes = std::max(classes, each + 1);
  if (classes > 0 && classes <= 10) {
    std::vector<std::string> names;
    for (int64_t i = 0; i < classes; ++i) names.push_back(std::to_string(i));
    own.series = by_class(found.z[0], found.z[1], found.classes, names);
    for (Series& series : own.series) series.opacity = 0.6;
  }
  grid.cells = {own, panel(found, "drawn by the second stage", found.drawn, kBlack),
                panel(found, "drawn from the prior", found.prior, kBlack)};
  report.figure(
      draw(grid, folder),
      fmt::format("{} points in the plane of two units in use of the first model, the two whose z is "
                  "furthest from Gaussian by Henze and Zirkler's statistic. {}Held-out points.",
                  found.points, classes > 0 ? "Colours are classes, numbered in the legend. " : ""));
}

void add_gamma(Report& report, const TwoStageFindings& found, const std::string& folder) {
  Figure figure{.name = "gamma",
                .title = "γ of the second stage",
                .x = {.label = "step", .log = true},
                .y = {.label = "γ", .log = true}};
  std::vector<double> steps;
  std::vector<std::vector<double>> members(found.members.size());
  for (const TwoStageFindings::Look& look : found.looks) {
    if (look.step == 0) continue;
    steps.push_back(static_cast<double>(look.step));
    for (size_t m = 0; m < members.size(); ++m) members[m].push_back(look.gamma.at(m));
  }
  figure.series = {quartile_band("median and quartiles over the models", steps, members)};
  report.figure(draw(figure, folder),
                "The deviation that the second stage leaves to noise, along its training.");
}

void set_metrics(const TwoStageFindings& found, Presentation& p) {
  const auto numbers = [&](const Number& number) {
    std::vector<double> values;
    for (const TwoStageMember& member : found.members) values.push_back(number(member));
    const Statistics s = statistics_of(values);
    return Json{{"mean", finite_or_null(s.mean)},
                {"standard_error", finite_or_null(s.standard_error)},
                {"of_each", finite_or_null(values)}};
  };
  Json latent = Json::object(), pictures = Json::object();
  for (const LatentRow& row : kLatent) {
    const auto of_row = [&](double LatentMatch::*number) { return numbers(of(row.match, number)); };
    latent[row.key] = {{"hz", of_row(&LatentMatch::hz)},
                       {"hz_p_value", of_row(&LatentMatch::hz_p_value)},
                       {"knn", of_row(&LatentMatch::knn)},
                       {"knn_drawing_error", of_row(&LatentMatch::knn_error)},
                       {"mmd2", of_row(&LatentMatch::mmd_squared)},
                       {"mmd_p_value", of_row(&LatentMatch::mmd_p_value)}};
  }
  for (const PictureRow& row : kPictures) {
    const auto of_row = [&](double PictureMatch::*number) { return numbers(of(row.match, number)); };
    pictures[row.key] = {{"knn", of_row(&PictureMatch::knn)},
                         {"knn_drawing_error", of_row(&PictureMatch::knn_error)},
                         {"frechet", of_row(&PictureMatch::frechet)}};
  }
  using M = TwoStageMember;
  p.result.set("latent", latent, "0 where alike, but for hz; standard errors over the models");
  p.result.set("pictures", pictures,
               "frechet: squared, in the features of an encoder trained here, which is not FID");
  p.result.set("points", found.points);
  p.result.set("picture_count", found.pictures);
  p.result.set("law",
               {{"z", numbers([](const M& m) { return off_law(m.first_units); })},
                {"u", numbers([](const M& m) { return off_law(m.second_units); })}},
               "mean over units of |Var mu + mean sigma^2 - 1|");
  p.result.set("units_in_use", {{"z", numbers([](const M& m) { return in_use(m.first_units); })},
                                {"u", numbers([](const M& m) { return in_use(m.second_units); })}});
  p.result.set("squared_error", numbers([](const M& m) { return m.squared_error; }), "per picture");
  p.result.set("gamma", numbers([](const M& m) { return m.gamma; }));
  p.result.set("second_elbo", numbers([](const M& m) { return m.second_elbo; }), "nats per z");
}

}  // namespace

void present_two_stages(const TwoStageFindings& found, Presentation& p) {
  using M = TwoStageMember;
  const std::string folder = p.directory.figures();
  Report& report = p.report.emplace(
      "Two stages",
      "Asperti 2019, sections 6 and 7, after Dai and Wipf 2019: the z that a VAE makes of data do not follow "
      "its prior. A second VAE with a learned γ is trained on them, and pictures are drawn u → z → x: z is "
      "the "
      "second decoder's mean and γ times noise, x the first decoder's mean.");
  const Table latent = latent_table(found), pictures = picture_table(found);
  p.text = latent.text() + "\n" + pictures.text();
  report.section("Latent spaces");
  report.table(
      latent,
      fmt::format(
          "{} points of each side, all of held-out pictures, over {} models, which differ in their "
          "seeds; ± is half a 95 % interval over them, p their median. HZ: Henze and Zirkler's statistic "
          "of the points themselves. Smooth k-NN and MMD²: 0 in expectation where both sides are alike; "
          "the choice of points leaves at most {:.2g} in a k-NN.",
          found.points, found.members.size(), largest_error(found, kLatent, &LatentMatch::knn_error)));
  add_plane(report, found, folder);
  report.section("Pictures");
  report.table(
      pictures,
      fmt::format(
          "{} pictures of each kind beside as many held-out ones. Smooth k-NN in pixels, of which the "
          "choice of points leaves at most {:.2g}. Fréchet distance, squared, in the features of an "
          "encoder trained here, not FID: the posterior means of a VAE with seeds of its own for each "
          "model. The last row is what real pictures get, and the one before it what a perfect second "
          "stage would.",
          found.pictures, largest_error(found, kPictures, &PictureMatch::knn_error)));
  add_samples(report, found, folder);
  report.section("Units");
  report.table(
      law_table(found),
      fmt::format(
          "Units of both stages by rank of their mean σ², over the training points; means over the "
          "models. In use, with Var μ > mean σ²: {} of z, {} of u. |Var μ + mean σ² - 1| of a unit is "
          "{} for z and {} for u. KL in nats.",
          shown(over(found, [](const M& m) { return in_use(m.first_units); })),
          shown(over(found, [](const M& m) { return in_use(m.second_units); })),
          shown(over(found, [](const M& m) { return off_law(m.first_units); })),
          shown(over(found, [](const M& m) { return off_law(m.second_units); }))));
  add_gamma(report, found, folder);
  add_claims(found, p);
  set_metrics(found, p);
}

}  // namespace elbo::asperti
