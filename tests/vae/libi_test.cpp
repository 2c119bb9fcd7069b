// LiBI: its first loss against loops and differences, what each phase moves, which repetition is kept,
// members alone and together, and a training broken off anywhere.
#include "vae/libi.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/vae/deep_setting.h"
#include "tests/vae/linear_jtex.h"
#include "vae/henze_zirkler.h"

namespace elbo {
namespace {

/// exp, above 5 its tangent.
double bounded(double t) { return t <= 5 ? std::exp(t) : std::exp(5) * (t - 4); }

/// Eq. 44 of a member in loops, but for HZ, whose oracles are its own; and the four probes.
struct LossTwin {
  double cost = 0, log_likelihood = 0, hz = 0, covariance = 0, mean = 0;
};
LossTwin loss_twin(DeepVae& vae, int64_t member, const Tensor& x, double eps_hz, double eps_sigma,
                   double eps_mu) {
  const VaeTwin twin(vae, member);
  const int64_t n = x.size(0), k = vae.latent();
  LossTwin found;
  std::vector<Numbers> codes;
  for (int64_t i = 0; i < n; ++i) {
    codes.push_back(twin.encode(row(x, i)).mean);
    found.log_likelihood += twin.log_likelihood(row(x, i), codes.back()) / static_cast<double>(n);
  }
  Numbers flat, centre(static_cast<size_t>(k));
  for (const Numbers& code : codes) flat.insert(flat.end(), code.begin(), code.end());
  const auto average = [&](const auto& of) {
    double sum = 0;
    for (const Numbers& code : codes) sum += of(code);
    return sum / static_cast<double>(n);
  };
  for (size_t a = 0; a < centre.size(); ++a) {
    centre[a] = average([&](const Numbers& code) { return code[a]; });
    found.mean += centre[a] * centre[a];
  }
  for (size_t a = 0; a < centre.size(); ++a)
    for (size_t b = 0; b < centre.size(); ++b) {
      const double entry =
          average([&](const Numbers& code) { return (code[a] - centre[a]) * (code[b] - centre[b]); });
      found.covariance += std::pow(entry - (a == b), 2);
    }
  found.hz = henze_zirkler(Tensor::from<double>({n, k}, flat)).value().item();
  found.cost = -found.log_likelihood + eps_hz * bounded(found.hz) + bounded(found.covariance / eps_sigma) +
               bounded(found.mean / eps_mu);
  return found;
}

constexpr int64_t kEach = 12;  // steps of a phase

std::vector<Phase> phases(Vae& vae, int64_t repetitions, const Tensor& chosen_on, Numbers eps_hz,
                          Numbers rates = {0.05}) {
  return libi_phases(vae, {.repetitions = repetitions, .eps_hz = std::move(eps_hz), .chosen_on = chosen_on},
                     {.loss = elbo_loss(vae), .steps = 2 * repetitions * kEach, .rates = std::move(rates)});
}

Numbers grid() { return {0.001, 0.1, 1, 10, 20}; }

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("LiBI's first loss is Eq. 44, with tangents where exponents are large") {
    for (Likelihood likelihood : kAllLikelihoods)
      for (int64_t members : {0, 3}) {
        CAPTURE(name(likelihood));
        CAPTURE(members);
        auto vae = small_deep_vae(likelihood, members);
        const Tensor x = data_for(likelihood, 20, 4, 8);
        // The mean's exponent is far above 5 for the last member's epsilon.
        const LibiOptions options{
            .eps_hz = {0.3}, .eps_sigma = {2}, .eps_mu = members ? Numbers{0.5, 2, 1e-3} : Numbers{1e-3}};
        const Loss loss = libi_loss(*vae, options);
        const LossTerms terms = differentiate(loss, {x, {}, {}});
        for (int64_t m = 0; m < std::max<int64_t>(members, 1); ++m) {
          const LossTwin twin = loss_twin(*vae, m, x, 0.3, 2, options.eps_mu[static_cast<size_t>(m)]);
          CHECK(close(terms.probes.at(0).at(m), twin.log_likelihood, 1e-10));
          CHECK(close(terms.probes.at(1).at(m), twin.hz, 1e-8));
          CHECK(close(terms.probes.at(2).at(m), twin.covariance, 1e-10));
          CHECK(close(terms.probes.at(3).at(m), twin.mean, 1e-10));
          CHECK(close(terms.cost.at(m), twin.cost, 1e-9));
          if (m + 1 == std::max<int64_t>(members, 1)) CHECK(twin.mean / 1e-3 > 5);
        }
        for (const char* name : {"encoder.mean.weight", "encoder.0.bias", "decoder.0.weight"}) {
          CAPTURE(name);
          Parameter& parameter = vae->parameters().at(name);
          const double gradient = parameter.gradient.at(1), value = parameter.value.at(1), h = 1e-5;
          const auto cost_at = [&](double at) {
            parameter.value.data<double>()[1] = at;
            return loss.value({x, {}, {}}).cost.value().at(0);  // element 1 is the first member's
          };
          CHECK(close((cost_at(value + h) - cost_at(value - h)) / (2 * h), gradient, 1e-5));
          parameter.value.data<double>()[1] = value;
        }
      }
  }

  TEST_CASE("LiBI's first step leaves the posterior's variance alone, its second the generative model") {
    const Tensor x = jtex_data(3, 60, 21);
    auto vae = linear_jtex(3);
    Training training(vae->parameters(), phases(*vae, 1, {}, {1}), whole_set(x), {.seed = 4});
    const Numbers variance = numbers_of(*vae, -1, "encoder.log_variance"),
                  mean = numbers_of(*vae, -1, "encoder.mean"), decoder = numbers_of(*vae, -1, "decoder");
    while (training.steps() < kEach) training.step();
    CHECK(training.phase().name == "generative 1");
    CHECK(numbers_of(*vae, -1, "encoder.log_variance") == variance);
    CHECK(numbers_of(*vae, -1, "encoder.mean") != mean);
    const Numbers learned = numbers_of(*vae, -1, "decoder");
    CHECK(learned != decoder);
    while (training.step()) {
    }
    CHECK(training.phase().name == "inference 1");
    CHECK(training.steps() == 2 * kEach);
    CHECK(numbers_of(*vae, -1, "decoder") == learned);
    CHECK(numbers_of(*vae, -1, "encoder.log_variance") != variance);
    CHECK(libi_outcome(training).kept.empty());
  }

  TEST_CASE("LiBI keeps for each member the repetition with the lowest loss on the data it is chosen on") {
    const Tensor x = jtex_data(5, 40, 22), validation = jtex_data(5, 50, 32);
    auto vae = linear_jtex(5);
    constexpr int64_t kRepetitions = 4;
    // A rate at which the loss does not only fall.
    Training training(vae->parameters(), phases(*vae, kRepetitions, validation, grid(), {0.3}), whole_set(x),
                      {.seed = 4});
    const Loss loss = libi_loss(*vae, {.eps_hz = grid()});
    std::vector<Numbers> costs;
    std::vector<std::vector<Numbers>> after;
    while (training.step()) {
      if (training.steps() % (2 * kEach) == kEach)
        costs.push_back(loss.value({validation, {}, {}}).cost.value().to_vector());
      if (training.steps() % (2 * kEach) == 0) {
        after.emplace_back();
        for (int64_t m = 0; m < 5; ++m) after.back().push_back(numbers_of(*vae, m));
      }
    }
    const LibiOutcome outcome = libi_outcome(training);
    CHECK(outcome.costs == costs);
    std::set<int64_t> kept;
    for (int64_t m = 0; m < 5; ++m) {
      const auto member = static_cast<size_t>(m);
      size_t lowest = 0;
      for (size_t r = 1; r < kRepetitions; ++r)
        if (costs[r][member] < costs[lowest][member]) lowest = r;
      CHECK(outcome.kept.at(member) == static_cast<int64_t>(lowest) + 1);
      kept.insert(outcome.kept[member]);
      CHECK(numbers_of(*vae, m) == after[lowest][member]);
    }
    CHECK(kept.size() > 1);
    CHECK(*kept.begin() < kRepetitions);
  }

  TEST_CASE("LiBI: a member of a grid with its own data trains as it would alone") {
    const Tensor x = jtex_data(5, 40, 22);
    auto all = linear_jtex(5);
    Training training(all->parameters(), phases(*all, 2, x, grid(), {0.01, 0.02, 0.03, 0.04, 0.05}),
                      whole_set(x), {.seed = 4});
    while (training.step()) {
    }
    for (int64_t m : {0, 3, 4}) {
      const double number = 0.01 * static_cast<double>(m + 1);
      auto alone = linear_jtex(0, m);
      Training own(alone->parameters(),
                   phases(*alone, 2, x.slice(m), {grid()[static_cast<size_t>(m)]}, {number}),
                   whole_set(x.slice(m)), {.seed = 4});
      while (own.step()) {
      }
      CHECK(close(numbers_of(*all, m), numbers_of(*alone), 1e-10));
      CHECK(libi_outcome(own).kept[0] == libi_outcome(training).kept[static_cast<size_t>(m)]);
    }
  }

  TEST_CASE("LiBI: saved within any phase and loaded, it goes on bit for bit") {
    const TemporaryDirectory folder;
    const std::string path = (folder.path() / "state.safetensors").string();
    const Tensor x = jtex_data(5, 40, 22), validation = jtex_data(5, 50, 32);
    const auto begin = [&](Vae& vae) {
      return Training(vae.parameters(), phases(vae, 3, validation, grid(), {0.3}), whole_set(x), {.seed = 4});
    };
    auto whole = linear_jtex(5);
    Training unbroken = begin(*whole);
    while (unbroken.step()) {
    }
    for (int64_t stop : {int64_t{0}, int64_t{5}, kEach, kEach + 7, 2 * kEach, 2 * kEach + 1, 4 * kEach - 1,
                         5 * kEach + 3, 6 * kEach}) {
      CAPTURE(stop);
      auto first = linear_jtex(5), second = linear_jtex(5, 0, 99);
      Training begun = begin(*first), resumed = begin(*second);
      while (begun.steps() < stop) begun.step();
      begun.save(path);
      resumed.load(path);
      while (resumed.step()) {
      }
      CHECK(numbers_of(*second) == numbers_of(*whole));
      CHECK(libi_outcome(resumed).kept == libi_outcome(unbroken).kept);
      CHECK(libi_outcome(resumed).costs == libi_outcome(unbroken).costs);
    }
  }

  TEST_CASE("LiBI: a member that broke keeps nothing, and the others do not notice") {
    const Tensor x = jtex_data(3, 40, 22);
    auto sound = linear_jtex(3), ill = linear_jtex(3);
    Training one(sound->parameters(), phases(*sound, 2, x, {1}), whole_set(x), {.seed = 4});
    Training other(ill->parameters(), phases(*ill, 2, x, {1}), whole_set(x), {.seed = 4});
    while (one.step()) {
    }
    while (other.steps() < 5) other.step();
    ill->parameters().at("decoder.factor").value.slice(1).fill(std::nan(""));
    while (other.step()) {
    }
    CHECK(other.stopped(1) == 5);
    CHECK(libi_outcome(other).kept[1] == 0);
    for (int64_t m : {0, 2}) CHECK(numbers_of(*ill, m) == numbers_of(*sound, m));
  }

  TEST_CASE("LiBI refuses what makes no sense in one line") {
    auto vae = linear_jtex(3);
    const auto error = [&](const LibiOptions& options, int64_t steps = 100, int64_t unit = 1) {
      return error_of([&] { libi_phases(*vae, options, {.loss = elbo_loss(*vae), .steps = steps}, unit); });
    };
    CHECK(error({.repetitions = 0}) == "[libi] there must be at least one repetition, got 0");
    CHECK(error({.eps_hz = {1, 2}}) == "[libi] 2 eps_hz for 3 members; give one for all or one for each");
    CHECK(error({.eps_hz = {-1}}) == "[libi] eps_hz must be at least 0, got -1");
    CHECK(error({.eps_sigma = {0}}) == "[libi] eps_sigma must be above 0, got 0");
    CHECK(error({.eps_mu = {std::nan("")}}) == "[libi] eps_mu must be above 0, got nan");
    CHECK(error({.repetitions = 2}) == "[libi] 2 repetitions need points to be compared on");
    CHECK(error({}, 1) ==
          "[training] 2 phases of whole epochs need at least 2 steps of 1 to an epoch, and not 1");
    CHECK(error({.eps_hz = {0}}).empty());
    CHECK(error_of([&] {
            libi_loss(*vae, {}).value({jtex_data(3, 2, 1), {}, {}});
          }) == "[libi] 2 points have no covariance in 2 latent dimensions; a batch needs more points");
  }
}

}  // namespace elbo
