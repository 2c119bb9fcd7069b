#include "apps/training/calibration.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/support/arguments.h"
#include "apps/support/log.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr const char* kFolder = "calibration/";
constexpr int kValues = 8;

/// The members of one short training, as points: one for each sigma^2, over the trials.
std::vector<CalibrationPoint> points_from(const DeepRun& run, int64_t latent, int64_t dimensions) {
  std::vector<CalibrationPoint> points;
  for (size_t m = 0; m < run.members.size(); ++m) {
    const double sigma2 = run.members[m].sigma2;
    auto at = std::find_if(points.begin(), points.end(),
                           [&](const CalibrationPoint& point) { return point.sigma2 == sigma2; });
    if (at == points.end()) at = points.insert(at, {.sigma2 = sigma2, .latent = latent});
    if (!run.stop_of(static_cast<int64_t>(m)))
      at->models.push_back(calibrated_model(run.metrics[m], dimensions));
  }
  std::sort(points.begin(), points.end(),
            [](const CalibrationPoint& a, const CalibrationPoint& b) { return a.sigma2 < b.sigma2; });
  return points;
}

/// The points of a short training; those that an earlier process kept, where it was over. Nothing where the
/// run was interrupted.
std::optional<std::vector<CalibrationPoint>> points_of_training(const TrainingOptions& training,
                                                                const LoadedData& data,
                                                                const RunDirectory& run, DeepRunOptions how,
                                                                const std::string& folder) {
  how.folder += folder;
  const std::string file = how.folder + "points.json";
  std::vector<CalibrationPoint> points;
  if (how.resume && std::filesystem::exists(run.file(file))) {
    for (const Json& point : read_json(run.file(file))) points.push_back(calibration_point_from(point));
    return points;
  }
  const DeepRun found = run_deep(training, members_of(training), data, run, how);
  if (!found.finished()) return std::nullopt;
  points = points_from(found, training.latent, data.dataset.dimensions());
  Json list = Json::array();
  for (const CalibrationPoint& point : points) list.push_back(to_json(point));
  run.write_json(file, list);
  // As read again, so that a resumed run decides by the same numbers.
  points.clear();
  for (const Json& point : list) points.push_back(calibration_point_from(Json::parse(point.dump())));
  std::error_code ignored;  // it is of no more use
  std::filesystem::remove_all(run.path() + "/" + how.folder + "checkpoint", ignored);
  return points;
}

/// A short training with these options.
TrainingOptions short_training(const CalibrationOptions& options, TrainingOptions training) {
  training.epochs = options.scan_epochs;
  training.validation = {};
  training.evaluate_at.clear();
  return training;
}

}  // namespace

void add_calibration_options(Arguments& arguments, CalibrationOptions& o) {
  arguments.begin_group("Calibration");
  arguments
      .add_text("--choose-sigma2", o.choose_sigma2,
                "law: first train an ensemble briefly over --sigma2 (or eight values that suit the data), "
                "and take the smallest from which on the units in use have Var mu + mean sigma^2 within "
                "--law-tolerance of 1 on average (Asperti), or the nearest to that; it is then held fixed")
      .one_of({"none", "law"})
      .show_default();
  arguments.add_flag("--grow-latent", o.grow_latent,
                     "First train briefly at --latent, then at twice as many and so on, until every model "
                     "leaves units unused (Var mu < mean sigma^2), and take that many");
  arguments
      .add_number("--scan-epochs", o.scan_epochs, "Passes over the data of each of these trainings", kCount)
      .show_default();
  arguments
      .add_number("--law-tolerance", o.law_tolerance,
                  "How far from 1 the sums may be, on average over units in use", kPositive)
      .show_default();
}

void set_calibrated(TrainingOptions& t, const CalibrationOptions& o, const Arguments& arguments) {
  if (!o.asked() && arguments.given("--scan-epochs"))
    fail("[--scan-epochs] is for --choose-sigma2 law and --grow-latent");
  if (!o.by_law() && arguments.given("--law-tolerance")) fail("[--law-tolerance] is for --choose-sigma2 law");
  if (!o.asked()) return;
  const char* option = o.by_law() ? "--choose-sigma2" : "--grow-latent";
  if (t.method != "vae") fail("[{}] is for --method vae, not {}", option, t.method);
  if (t.annealings != std::vector<std::string>{"none"} ||
      parse_penalty(t.penalty) == Objective::Penalty::capacity)
    fail("[{}] compares short trainings, whose objective must stay: no --annealing, no --penalty capacity",
         option);
  if (t.rates.size() != 1 || t.betas.size() != 1)
    fail("[{}] chooses for one --lr and one --beta; give one value of each", option);
  if (t.only_member >= 0) fail("[{}] needs every member of its ensembles; leave --only-member away", option);
  if (!o.by_law()) {
    if (t.sigma2.size() != 1) fail("[--grow-latent] grows k at one --sigma2; give one value");
    return;
  }
  if (parse_likelihood(t.likelihood) != Likelihood::gaussian)
    fail("[--choose-sigma2] only the gaussian likelihood has a sigma^2 to choose, {} has none", t.likelihood);
  if (arguments.given("--learn-sigma2") && t.learn_sigma2)
    fail("[--choose-sigma2] holds sigma^2 at what it chooses; leave --learn-sigma2 away");
  if (arguments.given("--sigma2") && t.sigma2.size() < 2)
    fail("[--sigma2] is what --choose-sigma2 chooses from; give several values, or none");
  t.learn_sigma2 = false;
  if (!arguments.given("--sigma2")) t.sigma2.clear();
}

void fill_in_values(TrainingOptions& t, const CalibrationOptions& o, const LoadedData& data) {
  if (!o.by_law() || !t.sigma2.empty()) return;
  double value = variance_per_dimension(data) / 4;
  if (!(value > 0)) fail("[--choose-sigma2] the points are all the same: there is no sigma^2 to choose");
  for (int i = 0; i < kValues; ++i, value *= 2) {
    const std::string text = fmt::format("{:.3g}", value);  // so that the value chosen can be typed in
    double rounded = value;
    std::from_chars(text.data(), text.data() + text.size(), rounded);
    t.sigma2.push_back(rounded);
  }
}

void add_to_config(Json& config, const CalibrationOptions& o) {
  if (o == CalibrationOptions{}) return;
  config["choose_sigma2"] = o.choose_sigma2;
  config["grow_latent"] = o.grow_latent;
  config["scan_epochs"] = o.scan_epochs;
  config["law_tolerance"] = o.law_tolerance;
}

void restore(CalibrationOptions& o, const Json& config) {
  const CalibrationOptions usual;
  o.choose_sigma2 = config.value("choose_sigma2", usual.choose_sigma2);
  o.grow_latent = config.value("grow_latent", usual.grow_latent);
  o.scan_epochs = config.value("scan_epochs", usual.scan_epochs);
  o.law_tolerance = config.value("law_tolerance", usual.law_tolerance);
}

std::optional<Calibration> calibrate(const CalibrationOptions& o, const TrainingOptions& training,
                                     const LoadedData& data, const RunDirectory& run,
                                     const DeepRunOptions& how) {
  Calibration found;
  TrainingOptions t = short_training(o, training);
  DeepRunOptions own = how;
  own.validation = nullptr;
  own.folder += kFolder;
  if (o.by_law()) {
    own.name = "choosing sigma^2";
    const auto points = points_of_training(t, data, run, own, "sigma2/");
    if (!points) return std::nullopt;
    found.over_sigma2 = *points;
    const std::optional<LawChoice> choice = choose_by_law(*points, o.law_tolerance);
    if (!choice)
      fail(
          "[--choose-sigma2] at none of these sigma^2, {:g} to {:g}, is a unit in use after {} epochs; give "
          "smaller ones by --sigma2, or more --scan-epochs",
          points->front().sigma2, points->back().sigma2, o.scan_epochs);
    found.by_law = *choice;
    found.sigma2 = (*points)[choice->index].sigma2;
    if (!choice->lawful)
      log_line(fmt::format("elbo: the law holds at no sigma^2 of the scan within {:g}; {:g} is nearest to it",
                           o.law_tolerance, found.sigma2));
    t = calibrated(t, found);
  }
  if (!o.grow_latent) return found;
  const int64_t most = std::max(data.dataset.dimensions(), t.latent);
  while (true) {
    own.name = fmt::format("growing k, {}", t.latent);
    const auto points = points_of_training(t, data, run, own, fmt::format("k-{}/", t.latent));
    if (!points) return std::nullopt;
    found.over_latent.push_back(points->at(0));
    found.latent = t.latent;
    found.sparse = is_sparse(points->at(0));
    if (found.sparse || t.latent >= most) break;
    t.latent = std::min(2 * t.latent, most);
  }
  if (!found.sparse)
    log_line(fmt::format("elbo: every unit is in use up to k = {}, where growing ends", most));
  return found;
}

TrainingOptions calibrated(TrainingOptions training, const Calibration& calibration) {
  if (calibration.sigma2 > 0) training.sigma2 = {calibration.sigma2};
  if (calibration.latent > 0) training.latent = calibration.latent;
  return training;
}

Json to_json(const Calibration& found) {
  const auto list = [](const std::vector<CalibrationPoint>& points) {
    Json all = Json::array();
    for (const CalibrationPoint& point : points) all.push_back(to_json(point));
    return all;
  };
  Json json;
  if (found.sigma2 > 0) {
    json["sigma2"] = found.sigma2;
    json["lawful"] = found.by_law.lawful;
    json["over_sigma2"] = list(found.over_sigma2);
  }
  if (found.latent > 0) {
    json["latent"] = found.latent;
    json["sparse"] = found.sparse;
    json["over_latent"] = list(found.over_latent);
  }
  return json;
}

}  // namespace elbo
