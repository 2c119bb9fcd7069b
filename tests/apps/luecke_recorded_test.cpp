// What is read off the recordings of Lücke et al.'s trainings, on recordings made by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/luecke/recorded.h"
#include "tests/error_of.h"

using namespace elbo;

namespace {

/// Runs whose bound climbs to 10 in steps of `climb` and whose entropies lie so many percent of 10 below it.
Recorded runs_of(const std::vector<std::vector<double>>& percent, double climb = 0) {
  Recorded runs;
  for (const std::vector<double>& errors : percent) {
    std::vector<double> bound, entropies;
    for (size_t i = 0; i < errors.size(); ++i) {
      bound.push_back(10 - climb * static_cast<double>(errors.size() - 1 - i));
      entropies.push_back(bound.back() - errors[i] / 10);
    }
    runs.bound.push_back(bound);
    runs.entropies.push_back(entropies);
  }
  return runs;
}

/// Twenty looks, ten batches apart, the data change after the tenth; exact likelihoods of -3 throughout.
Tracking tracking(const std::vector<double>& off) {
  std::vector<double> steps, said;
  for (size_t i = 0; i < off.size(); ++i) {
    steps.push_back(10.0 * static_cast<double>(i + 1));
    said.push_back(-3 + off[i]);
  }
  return tracking_of(steps, 100, said, std::vector<double>(off.size(), -3));
}

bool near(double a, double b) { return std::abs(a - b) < 1e-9; }

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("luecke recordings: runs that broke are counted, and have no part in anything") {
    Recorded runs = runs_of({{1, 1}, {2, 2}, {4, 4}});
    runs.first_run = 10;
    runs.looks.push_back({{"epoch", 1}});
    CHECK(count_text(without_broken(runs)) == "3 runs");
    CHECK(without_broken(runs).looks.size() == 1);
    runs.bound[0][1] = std::nan("");
    const Recorded whole = without_broken(runs);
    CHECK(count_text(whole) == "2 runs; 1 more broke");
    CHECK(whole.first_run == 11);
    CHECK(whole.looks.empty());  // which were of the run that broke
    CHECK(near(final_error(whole), 3));
    runs.entropies[1][1] = -INFINITY;
    CHECK(count_text(without_broken(runs)) == "1 run; 2 more broke");
    runs.bound[2][1] = std::nan("");
    CHECK(without_broken(runs).epochs() == 0);
  }

  TEST_CASE("luecke recordings: the end is over runs and epochs, with signs and without") {
    const Recorded runs = runs_of({{90, 2, -1}, {90, 1, 2}});
    const Ending two = ending_of(runs, 2), all = ending_of(runs, 100);
    CHECK(near(two.error, 1.5));
    CHECK(near(two.deviation, 1));
    CHECK(near(two.above, 75));
    CHECK(near(all.error, 31));
    CHECK(near(relative_error(runs, 0)[2], 1));
    CHECK(near(relative_error(runs, 0, true)[2], -1));
    CHECK(near(final_error(runs), 1.5));  // the last of three epochs: between 1 and 2
    CHECK(near(final_error_of(runs, 1), 2));
  }

  TEST_CASE("luecke recordings: agreement before the bound has converged") {
    std::vector<double> late(60, 3), early(60, 0.2);
    std::fill(late.begin() + 20, late.end(), 0.2);  // 18 of .2 and two of 3 average to .48
    const EarlyAgreement found = early_agreement(runs_of({late}, 0.1));
    CHECK(near(found.epoch, 38));
    CHECK(near(found.below, 2.2));
    const EarlyAgreement three = early_agreement(runs_of({early, std::vector<double>(60, 3), late}, 0.1));
    CHECK(near(three.epoch, 29));
    CHECK(near(three.below, 3.1));
    CHECK(three.runs == 2);
    const EarlyAgreement none = early_agreement(runs_of({std::vector<double>(60, 3)}));
    CHECK(std::isnan(none.epoch));
    CHECK(none.runs == 0);
  }

  TEST_CASE("luecke recordings: files lose nothing, and a damaged one is refused") {
    Recorded runs = runs_of({{1, 2, 3}, {2, 3, 4}});
    runs.bound[1][2] = std::nan("");
    runs.looks.push_back({{"epoch", 1}});
    const Recorded again = recorded_from(to_json(runs));
    CHECK(again.bound[0] == runs.bound[0]);
    CHECK(std::isnan(again.bound[1][2]));
    CHECK(again.entropies == runs.entropies);
    CHECK(again.looks.at(0).at("epoch") == 1);
    Json damaged = to_json(runs);
    damaged["bound"].erase(1);
    CHECK(mentions(error_of([&] { recorded_from(damaged); }), "lacks bounds or entropies"));
  }

  TEST_CASE("luecke recordings: how far the variances are off at the ends, and when they are near for good") {
    std::vector<double> off(20, 0.01);
    off[8] = -2;   // before the last tenth of the first half
    off[9] = 0.3;  // the last tenth of it
    off[18] = -0.04;
    off[19] = 0.02;
    CHECK(std::abs(tracking(off).before - 0.3) < 1e-12);
    CHECK(std::abs(tracking(off).after - 0.02) < 1e-12);
    CHECK(tracking(off).until_near == 0);
    off[10] = off[12] = -1;
    CHECK(tracking(off).until_near == 30);
    off[18] = 0.0501;
    CHECK(tracking(off).until_near == 90);
    off[18] = std::nan("");
    CHECK(tracking(off).until_near == 90);
    off[19] = -0.06;  // then it cannot be known
    const double never = tracking(off).until_near;
    CHECK(std::isinf(never));
    CHECK(median_of_all({never, 3, 1, 2}) == 2.5);
    CHECK(median_of_all({5, never, 1}) == 5);
    CHECK(std::isinf(median_of_all({never, 3, 1, never})));
  }
}
