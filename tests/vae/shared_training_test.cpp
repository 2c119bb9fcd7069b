// Processes that share each batch of a training train what one process trains, to rounding; here they are
// threads (tests/processes.h).
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tensor/batch_rows.h"
#include "tests/error_of.h"
#include "tests/processes.h"
#include "tests/vae/deep_setting.h"
#include "vae/elbo_loss.h"
#include "vae/training.h"

namespace elbo {
namespace {

constexpr int64_t kPoints = 23, kBatch = 10, kPerEpoch = 3;  // the last batch has three points
constexpr int64_t kSteps = 7;

struct Case {
  const char* name;
  int64_t members = 0, samples = 1;
  double clip = 0;
  Likelihood likelihood = Likelihood::gaussian;
};

/// The batch of a step, or the rows that one of several processes has of it.
BatchSource source(Likelihood likelihood, int64_t rank, int64_t count) {
  const Tensor x = data_for(likelihood, kPoints, 4, 9);
  const auto rows = [=](int64_t step) {
    const int64_t begin = step % kPerEpoch * kBatch, all = std::min(kBatch, kPoints - begin);
    return BatchRows{part_begin(all, rank, count), all};
  };
  const auto batch = [=](int64_t step) {
    const int64_t begin = step % kPerEpoch * kBatch, all = rows(step).all;
    return x.slice(begin + rows(step).first, begin + part_begin(all, rank + 1, count));
  };
  BatchSource shared{kPerEpoch, batch};
  if (count > 1) shared.rows = rows;
  return shared;
}

struct Found {
  Numbers costs, probes, parameters;
};

Found train(const Case& c, int64_t rank, int64_t count, AllReduce* all_reduce) {
  const auto vae = small_deep_vae(c.likelihood, c.members);
  Training training(
      vae->parameters(),
      {{.loss = elbo_loss(*vae, {}, c.samples), .steps = kSteps, .rates = {1e-2}, .clip = c.clip}},
      source(c.likelihood, rank, count), {.seed = 6, .all_reduce = all_reduce});
  Found found;
  while (training.step()) {
    for (double cost : training.terms().cost.to_vector()) found.costs.push_back(cost);
    for (const Tensor& probe : training.terms().probes)
      for (double value : probe.to_vector()) found.probes.push_back(value);
    CHECK(training.rows() == (training.steps() % kPerEpoch == 0 ? 3 : kBatch));
  }
  found.parameters = vae->parameters().values().to_vector();
  return found;
}

void check_close(const Numbers& found, const Numbers& expected) {
  REQUIRE(found.size() == expected.size());
  double worst = 0;
  for (size_t i = 0; i < found.size(); ++i)
    worst = std::max(worst, std::abs(found[i] - expected[i]) / (1 + std::abs(expected[i])));
  CHECK(worst < 1e-12);
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("training: processes that share batches train what one trains, and all have the same bits") {
    // 5000 samples of each point are decoded in parts, whose number must not depend on the processes.
    for (const Case& c : {Case{"one model"}, Case{"members", 3}, Case{"several samples", 2, 4},
                          Case{"samples in parts", 0, 5000}, Case{"clipped", 2, 1, 0.05},
                          Case{"Bernoulli", 0, 2, 0, Likelihood::bernoulli}}) {
      CAPTURE(c.name);
      const Found alone = train(c, 0, 1, nullptr);
      for (int64_t count : {2, 3, 5}) {  // of five, two have none of the last batch
        CAPTURE(count);
        std::vector<Found> shared(static_cast<size_t>(2 * count));
        for (bool early : {false, true})
          in_processes(
              count,
              [&](ThreadAllReduce& all_reduce) {
                const int64_t rank = all_reduce.rank();
                shared[static_cast<size_t>(early ? count + rank : rank)] = train(c, rank, count, &all_reduce);
              },
              early);
        for (const Found& found : shared) {
          CHECK(found.parameters == shared[0].parameters);
          CHECK(found.costs == shared[0].costs);
        }
        check_close(shared[0].costs, alone.costs);
        check_close(shared[0].probes, alone.probes);
        check_close(shared[0].parameters, alone.parameters);
      }
    }
  }

  TEST_CASE("training: gradients that are complete go out while the backward pass is under way") {
    constexpr int64_t kNumbers = 1 << 18;
    std::vector<Numbers> values(2);
    std::vector<int> seen(2);
    in_processes(
        2,
        [&](ThreadAllReduce& all_reduce) {
          const auto r = static_cast<size_t>(all_reduce.rank());
          ParameterStore store(DType::f64);
          Parameter& first = store.add("first", {1}, {Initializer::Kind::constant, 2});
          Parameter& last = store.add("last", {kNumbers}, {Initializer::Kind::constant, 3});
          store.initialise(1);
          Loss loss;
          loss.is_mean_of_points = true;
          loss.value = [&](const LossInput& in) -> LossValue {
            const Variable point = mean(in.x, {-2, -1}), x = Variable(first) * point;
            // The last rule of the pass but one does not end before the last parameter's gradients set out.
            const Variable later = Tape::record("wait", {&x}, x.value(), [&](Backward& pass) {
              for (int i = 0; i < 30'000 && all_reduce.exchanges == 0; ++i)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
              seen[r] = all_reduce.exchanges;
              pass.add(0, pass.dy());
            });
            return {later * mean(last), {}};
          };
          Training training(store, {{.loss = loss, .steps = 1, .rates = {0.5}}},
                            {1,
                             [&](int64_t) {
                               return Tensor::full({1, 1}, static_cast<double>(1 + r), DType::f64);
                             },
                             {},
                             [&](int64_t) {
                               return BatchRows{all_reduce.rank(), 2};
                             }},
                            {.all_reduce = &all_reduce});
          CHECK(training.step());
          CHECK(first.gradient.item() == doctest::Approx(4.5));
          CHECK(last.gradient.at(kNumbers - 1) == doctest::Approx(3.0 / kNumbers));
          values[r] = store.values().to_vector();
        },
        true);
    CHECK(seen[0] > 0);
    CHECK(seen[1] > 0);
    CHECK(values[0] == values[1]);
  }

  TEST_CASE("training: a member that breaks in one process is stopped in all of them") {
    std::vector<int64_t> stopped(6);
    in_processes(2, [&](ThreadAllReduce& all_reduce) {
      const auto vae = small_deep_vae(Likelihood::gaussian, 3);
      BatchSource batches = source(Likelihood::gaussian, all_reduce.rank(), 2);
      batches.batch = [batch = batches.batch, rank = all_reduce.rank()](int64_t step) {
        const Tensor x = batch(step).clone();
        if (step == 2 && rank == 1) x.fill(1e200);
        return x;
      };
      Training training(vae->parameters(), {{.loss = elbo_loss(*vae), .steps = 5}}, batches,
                        {.all_reduce = &all_reduce});
      while (training.step()) continue;
      for (int64_t m = 0; m < 3; ++m)
        stopped[static_cast<size_t>(3 * all_reduce.rank() + m)] = training.stopped(m);
    });
    CHECK(stopped == std::vector<int64_t>(6, 2));
  }

  TEST_CASE("training: what processes cannot share is refused") {
    Board board(1);
    ThreadAllReduce all_reduce(board, 0);
    const auto vae = small_deep_vae(Likelihood::gaussian);
    const auto error = [&](Phase phase) {
      phase.steps = 1;
      return error_of([&] {
        Training(vae->parameters(), {phase}, source(Likelihood::gaussian, 0, 1), {.all_reduce = &all_reduce});
      });
    };
    CHECK(error({.loss = elbo_loss(*vae)}) == "");
    for (Objective::Penalty penalty : {Objective::Penalty::free_bits, Objective::Penalty::capacity})
      CHECK(
          error({.name = "a", .loss = elbo_loss(*vae, {.penalty = penalty})}) ==
          "[training] phase 'a' cannot be shared by processes: its loss is no mean of what each point costs");
    CHECK(error({.name = "b", .loss = elbo_loss(*vae), .before = [](Training&) {}}) ==
          "[training] phase 'b' cannot be shared by processes: its hooks look at one process");
  }
}

}  // namespace elbo
