// Yacoby et al., Table 1: the numbers as typed, the grids that its settings are chosen from, and which
// restart stands for a data set.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "apps/yacoby/findings.h"
#include "apps/yacoby/tables.h"
#include "tests/error_of.h"

using namespace elbo;
using namespace elbo::yacoby;

namespace {

int64_t settings_of(const char* kind) {
  std::set<std::string> keys;
  for (const Method method : all_methods())
    for (const Setting& setting : grid_of(data_kind(kind), method)) keys.insert(key_of(setting));
  return static_cast<int64_t>(keys.size());
}

RestartOptions small() {
  RestartOptions o;
  o.sets = 3;
  o.restarts = 2;
  o.points = 5;
  return o;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("Table 1 has every method on every data set, and the paper's bold numbers are the best") {
    CHECK(table1().size() == 20);
    for (const DataKind& kind : data_kinds())
      for (const Method method : all_methods()) CHECK(table1_entry(kind.key, name(method)).knn_deviation > 0);
    const auto best = [](const char* kind, bool of_knn) {
      const PaperEntry* first = nullptr;
      for (const PaperEntry& entry : table1()) {
        if (entry.data != kind) continue;
        const bool better =
            !first || (of_knn ? entry.knn < first->knn : entry.log_likelihood > first->log_likelihood);
        if (better) first = &entry;
      }
      return first->method;
    };
    for (const char* kind : {"linear-jtex", "cubic-jtex", "gaussian", "mobius"})
      CHECK(best(kind, true) == "libi");
    CHECK(best("linear-jtex", false) == "libi");
    CHECK(best("cubic-jtex", false) == "beta");
    CHECK(best("gaussian", false) == "libi");
    CHECK(best("mobius", false) == "beta");
    CHECK(
        mentions(error_of([] { table1_entry("linear-jtex", "gan"); }), "Table 1 has no gan on linear-jtex"));
  }

  TEST_CASE("the grids have the sizes that the paper's lists have, without repeats where HZ cannot differ") {
    CHECK(settings_of("cubic-jtex") == 44);
    CHECK(settings_of("mobius") == 36);
    CHECK(settings_of("linear-jtex") == 44 - 24);
    CHECK(settings_of("gaussian") == 44);
    CHECK(error_of([] { parse_method("gan"); }) ==
          "[--methods] there is no method gan; there are vae, beta, anneal, lagging, libi");
    CHECK(mentions(error_of([] { data_kind("moons"); }),
                   "there are linear-jtex, cubic-jtex, gaussian, mobius"));
  }

  TEST_CASE("restarts share their data set, and the best score that is a number is chosen") {
    const Restarts restarts(data_kind("linear-jtex"), small());
    CHECK(restarts.members() == 6);
    for (int64_t m = 0; m < 6; ++m) {
      CHECK(restarts.train().slice(m).to_vector() == restarts.sets().train.slice(m / 2).to_vector());
      CHECK(restarts.validation().slice(m).to_vector() ==
            restarts.sets().validation.slice(m / 2).to_vector());
    }
    CHECK(restarts.train().slice(0).to_vector() != restarts.train().slice(2).to_vector());
    const double nan = std::nan("");
    CHECK(restarts.best_of_each({1, 2, nan, -7, nan, nan}) == std::vector<int64_t>{1, 3, -1});
  }

  TEST_CASE("chosen members stand alone with their parameters, and samples have their model's moments") {
    const Restarts restarts(data_kind("gaussian"), small());
    const auto all = restarts.model(Device::cpu, restarts.members());
    const auto chosen = alone(restarts, *all, {1, -1, 4});
    CHECK(chosen->models() == 3);
    const Tensor &own = chosen->parameters().at("decoder.weight").value,
                 &from = all->parameters().at("decoder.weight").value;
    CHECK(own.slice(0).to_vector() == from.slice(1).to_vector());
    CHECK(own.slice(2).to_vector() == from.slice(4).to_vector());
    const int64_t n = 20000;
    const auto check_moments = [&] {
      const Tensor x = samples_of(*chosen, n, {.seed = 3, .stream = kEvaluation});
      REQUIRE(x.shape() == Shape{3, n, 4});
      const Tensor expected = data_covariance(linear_gaussian_of(*chosen, 2));
      for (int64_t i = 0; i < 4; ++i)
        for (int64_t j = 0; j < 4; ++j) {
          double sum = 0;
          for (int64_t p = 0; p < n; ++p) sum += x.slice(2).at(4 * p + i) * x.slice(2).at(4 * p + j);
          const double spread = std::sqrt(expected.at(5 * i) * expected.at(5 * j));
          CHECK(std::abs(sum / static_cast<double>(n) - expected.at(4 * i + j)) <
                6 * spread * std::sqrt(2.0 / n));
        }
    };
    check_moments();
    chosen->parameters().at("decoder.weight").value.fill(0);  // and nothing is left but noise
    check_moments();
  }

  TEST_CASE("the exact likelihood of a learned decoder is the toy's where the decoder is the toy's own") {
    for (const DataKind& kind : data_kinds()) {
      CAPTURE(kind.key);
      const Restarts restarts(kind, small());
      const auto vae = restarts.model(Device::cpu, 3);
      set_decoder(*vae, restarts.sets().toys[1].truth);
      vae->parameters()
          .at(kind.model == YacobyModel::mobius     ? "decoder.1.bias"
              : kind.model == YacobyModel::gaussian ? "decoder.weight"
                                                    : "decoder.factor")
          .value.slice(2)
          .fill(1);  // a member of its own
      const Tensor x = restarts.sets().test.slice(1), expected = restarts.sets().toys[1].log_density(x);
      const Tensor ours = exact_log_density(kind, *vae, 1, x), others = exact_log_density(kind, *vae, 2, x);
      // Gaussian's covariance has a condition number of 1e6 and more, and the toy's own formula another
      // order.
      for (int64_t i = 0; i < x.size(0); ++i)
        CHECK(ours.at(i) == doctest::Approx(expected.at(i)).epsilon(1e-7));
      CHECK(others.at(0) < ours.at(0) - 1);
    }
  }

  TEST_CASE("findings come back from JSON as they were") {
    const double nan = std::nan("");
    const Findings found{.scores = {1.5, nan},
                         .chosen = {{.member = 0,
                                     .log_likelihood = -3,
                                     .exact = -2.5,
                                     .effective_samples = nan,
                                     .unreliable = true,
                                     .knn = 0.5,
                                     .knn_error = 0.1}},
                         .optima = {{0.25, 0.5}, {nan, nan}}};
    const Json json = to_json(found);
    CHECK(to_json(findings_from(json)) == json);
    CHECK(findings_from(json).chosen[0].unreliable);
    CHECK(findings_from(json).chosen[0].exact == -2.5);
    CHECK(std::isnan(findings_from(json).optima[1].likelihood));
  }
}
