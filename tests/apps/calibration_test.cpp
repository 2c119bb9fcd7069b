// What a calibration decides by: sums over the units in use alone, the smallest sigma^2 from which on they
// are 1, and the first k that leaves units unused in every model.
#include "apps/training/calibration_point.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/support/figure_parts.h"

using namespace elbo;

namespace {

/// A point with one model whose units in use have this sum.
CalibrationPoint with_sum(double sigma2, double sum, int64_t in_use = 3) {
  std::vector<double> variance(4, 1e-4), law(4, 0.99);
  for (size_t i = 0; i < static_cast<size_t>(in_use); ++i) {
    variance[i] = sum - 0.05;
    law[i] = sum;
  }
  return {.sigma2 = sigma2, .latent = 4, .models = {calibrated_model(variance, law)}};
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("the law is looked at in units in use alone, whatever the scale of z") {
    // Var mu over mean sigma^2: 0.9 over 0.2, 3 over 0.1, 0.001 over 0.9, 0.4 over 0.5.
    const CalibratedModel model = calibrated_model({0.9, 3, 0.001, 0.4}, {1.1, 3.1, 0.901, 0.9});
    CHECK(model.in_use == 2);
    CHECK(model.law_deviation == doctest::Approx((0.1 + 2.1) / 2).epsilon(1e-12));
    CHECK(model.law_least == 1.1);
    CHECK(model.law_most == 3.1);
    const CalibratedModel collapsed = calibrated_model({0.001, 0.002}, {1.3, 1});
    CHECK(collapsed.in_use == 0);
    CHECK(std::isnan(collapsed.law_deviation));
    const CalibratedModel broken = calibrated_model(std::vector{std::nan("")}, std::vector{std::nan("")});
    CHECK(broken.in_use == 0);
  }

  TEST_CASE("sigma^2 is the smallest from which on the law holds") {
    const auto choose = [](const std::vector<CalibrationPoint>& points) {
      const auto choice = choose_by_law(points, 0.1);
      REQUIRE(choice);
      return *choice;
    };
    LawChoice choice =
        choose({with_sum(0.1, 1.5), with_sum(0.2, 1.2), with_sum(0.4, 1.09), with_sum(0.8, 1.01)});
    CHECK(choice.lawful);
    CHECK(choice.index == 2);
    // One that holds below one that does not was luck.
    choice = choose({with_sum(0.1, 1.0), with_sum(0.2, 1.2), with_sum(0.4, 0.95), with_sum(0.8, 1.01)});
    CHECK(choice.lawful);
    CHECK(choice.index == 2);
    choice = choose({with_sum(0.1, 0.93), with_sum(0.2, 1.05)});
    CHECK(choice.lawful);
    CHECK(choice.index == 0);
    // Where nothing is in use there is nothing to hold.
    choice = choose({with_sum(0.1, 1.5), with_sum(0.2, 1.05), with_sum(0.4, 1, 0)});
    CHECK(choice.lawful);
    CHECK(choice.index == 1);
    CHECK_FALSE(choose_by_law({with_sum(0.1, 1, 0), with_sum(0.2, 1, 0)}, 0.1));
    // Nowhere: where it is nearest to holding, and said so.
    choice = choose({with_sum(0.1, 1.5), with_sum(0.2, 1.2), with_sum(0.4, 1.3)});
    CHECK_FALSE(choice.lawful);
    CHECK(choice.index == 1);
    choice = choose({with_sum(0.1, 1.05), with_sum(0.2, 1.2)});
    CHECK_FALSE(choice.lawful);
    CHECK(choice.index == 0);
  }

  TEST_CASE("a point decides by the mean over its models, and is sparse where each leaves a unit unused") {
    CalibrationPoint low = with_sum(0.1, 1.02), high = with_sum(0.2, 1.02);
    low.models.push_back(with_sum(0.1, 1.3).models[0]);
    CHECK(low.over(&CalibratedModel::law_deviation).mean == doctest::Approx(0.16).epsilon(1e-9));
    CHECK(choose_by_law({low, high}, 0.1)->index == 1);
    CHECK(choose_by_law({low, high}, 0.17)->index == 0);
    CHECK(is_sparse(low));
    low.models.push_back(with_sum(0.1, 1, 4).models[0]);
    CHECK(low.most_in_use() == 4);
    CHECK_FALSE(is_sparse(low));
  }

  TEST_CASE("a point is in JSON what it was, to the last bit") {
    CalibrationPoint point = with_sum(1.0 / 3, 1.1);
    point.models.push_back(with_sum(0.1, 1, 0).models[0]);
    point.models[0].kl = 1.0 / 7;
    point.models[0].elbo = -1.0 / 9;
    const CalibrationPoint again = calibration_point_from(Json::parse(to_json(point).dump()));
    CHECK(again.sigma2 == point.sigma2);
    CHECK(again.latent == 4);
    CHECK(again.models[0].kl == point.models[0].kl);
    CHECK(again.models[0].elbo == point.models[0].elbo);
    CHECK(again.models[0].law_deviation == point.models[0].law_deviation);
    CHECK(again.models[0].in_use == 3);
    CHECK(std::isnan(again.models[1].law_deviation));
  }

  TEST_CASE("a band is the means' 95 % intervals, or none where there are none") {
    const Series band = interval_band("x", {1, 2}, {statistics_of({1, 2, 3, 4}), statistics_of({5})});
    CHECK(band.y == std::vector<double>{2.5, 5});
    const double around = statistics_of({1, 2, 3, 4}).interval().half;
    CHECK(band.band_low[0] == doctest::Approx(2.5 - around).epsilon(1e-12));
    CHECK(band.band_high[0] == doctest::Approx(2.5 + around).epsilon(1e-12));
    CHECK(band.band_low[1] == 5);
    CHECK(interval_band("x", {1}, {statistics_of({5})}).band_low.empty());
  }
}
