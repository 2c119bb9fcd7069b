#include "apps/training/calibration_point.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace elbo {
namespace {

/// Calls f(name, value) for each number of a model: writing and reading are two such f.
template <class Model, class F>
void each_number(Model& model, F f) {
  f("law_deviation", model.law_deviation);
  f("law_least", model.law_least);
  f("law_most", model.law_most);
  f("kl", model.kl);
  f("squared_error", model.squared_error);
  f("elbo", model.elbo);
}

}  // namespace

CalibratedModel calibrated_model(const std::vector<double>& variance_of_mean,
                                 const std::vector<double>& law) {
  CalibratedModel model{.law_deviation = std::nan(""), .law_least = std::nan(""), .law_most = std::nan("")};
  double off = 0;
  for (size_t i = 0; i < law.size(); ++i) {
    if (!is_in_use(variance_of_mean[i], law[i] - variance_of_mean[i])) continue;
    off += std::abs(law[i] - 1);
    model.law_least = model.in_use == 0 ? law[i] : std::min(model.law_least, law[i]);
    model.law_most = model.in_use == 0 ? law[i] : std::max(model.law_most, law[i]);
    ++model.in_use;
  }
  if (model.in_use > 0) model.law_deviation = off / static_cast<double>(model.in_use);
  return model;
}

CalibratedModel calibrated_model(const DeepVaeMetrics& metrics, int64_t dimensions) {
  CalibratedModel model = calibrated_model(metrics.variance_of_mean, metrics.variance_law);
  model.kl = metrics.kl;
  model.squared_error = metrics.sigma2_tuned * static_cast<double>(dimensions);
  model.elbo = metrics.elbo;
  return model;
}

int64_t CalibrationPoint::most_in_use() const {
  int64_t most = 0;
  for (const CalibratedModel& model : models) most = std::max(most, model.in_use);
  return most;
}

std::optional<LawChoice> choose_by_law(const std::vector<CalibrationPoint>& points, double tolerance) {
  std::optional<LawChoice> choice;
  double nearest = 0;
  bool lawful_from_here = true;
  for (size_t i = points.size(); i-- > 0;) {
    const double deviation = points[i].over(&CalibratedModel::law_deviation).mean;
    if (std::isnan(deviation)) continue;  // nothing in use says nothing
    lawful_from_here = lawful_from_here && deviation <= tolerance;
    if (lawful_from_here)
      choice = {i, true};
    else if (!choice || (!choice->lawful && deviation < nearest))
      choice = {i, false};
    else
      continue;
    nearest = deviation;
  }
  return choice;
}

bool is_sparse(const CalibrationPoint& point) { return point.most_in_use() < point.latent; }

Json to_json(const CalibrationPoint& point) {
  Json models = Json::array();
  for (const CalibratedModel& model : point.models) {
    Json own = {{"in_use", model.in_use}};
    each_number(model, [&](const char* name, double value) { own[name] = finite_or_null(value); });
    models.push_back(own);
  }
  return {{"sigma2", point.sigma2}, {"latent", point.latent}, {"models", models}};
}

CalibrationPoint calibration_point_from(const Json& json) {
  CalibrationPoint point{.sigma2 = json.at("sigma2"), .latent = json.at("latent")};
  for (const Json& own : json.at("models")) {
    CalibratedModel& model = point.models.emplace_back();
    model.in_use = own.at("in_use");
    each_number(model, [&](const char* name, double& value) { value = number_or_nan(own.at(name)); });
  }
  return point;
}

}  // namespace elbo
