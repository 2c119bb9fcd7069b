// The four rungs of docs/ladder agree with each other, and with what is known of a linear VAE.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "autograd/trace.h"
#include "docs/ladder/problem.h"
#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tensor/random.h"
#include "tests/source_file.h"
#include "vae/linear_vae.h"

using namespace elbo;

namespace {

struct Rung {
  const char* name;
  ladder::Answer (*answer)(const ladder::Problem&);
};
constexpr Rung kRungs[] = {{"loops", ladder::by_loops},
                           {"scalars", ladder::by_scalars},
                           {"tensors", ladder::by_tensors},
                           {"fused op", ladder::by_fused_op}};

std::vector<double> draw(const Shape& shape, uint64_t seed) {
  return normal(shape, DType::f64, {.seed = seed}).to_vector();
}

/// More of everything than the example has.
ladder::Problem larger() {
  Tensor x = normal({17, 6}, DType::f64, {.seed = 30});
  const DataMoments moments = data_moments(x);
  std::vector<double> centred = x.to_vector();
  for (size_t i = 0; i < centred.size(); ++i) centred[i] -= moments.mean.at(static_cast<int64_t>(i % 6));
  return {17, 6, 4, centred, {draw({6, 4}, 31), draw({4, 6}, 32), draw({4}, 33), 0.7}};
}

std::vector<double> all(const ladder::Parameters& p) {
  std::vector<double> numbers = p.W;
  numbers.insert(numbers.end(), p.V.begin(), p.V.end());
  numbers.insert(numbers.end(), p.log_d.begin(), p.log_d.end());
  numbers.push_back(p.log_sigma2);
  return numbers;
}

double& number_of(ladder::Parameters& p, size_t i) {
  for (std::vector<double>* part : {&p.W, &p.V, &p.log_d}) {
    if (i < part->size()) return (*part)[i];
    i -= part->size();
  }
  return p.log_sigma2;
}

Tensor data_of(const ladder::Problem& p) {
  return Tensor::from<double>({static_cast<int64_t>(p.N), static_cast<int64_t>(p.D)}, p.x);
}

/// The exact ELBO, from the data's moments alone (vae/linear_vae.h).
double closed_form(const ladder::Problem& p) {
  const auto D = static_cast<int64_t>(p.D), k = static_cast<int64_t>(p.k);
  return evaluate_linear_vae(
             {Tensor::from<double>({D, k}, p.at.W), Tensor::from<double>({k, D}, p.at.V),
              Tensor::from<double>({k}, p.at.log_d), Tensor::zeros({D}, DType::f64), p.at.log_sigma2},
             data_moments(data_of(p)))
      .elbo;
}

}  // namespace

TEST_SUITE("docs") {
  TEST_CASE("the four rungs of the ladder give the same ELBO and gradients, to 1e-12") {
    for (const ladder::Problem& problem : {ladder::example(), larger()}) {
      const ladder::Answer first = kRungs[0].answer(problem);
      const std::vector<double> expected = all(first.gradient);
      double largest = std::abs(first.elbo);
      for (double value : expected) largest = std::max(largest, std::abs(value));
      for (const Rung& rung : kRungs) {
        CAPTURE(rung.name);
        const ladder::Answer answer = rung.answer(problem);
        const std::vector<double> found = all(answer.gradient);
        CHECK(std::abs(answer.elbo - first.elbo) <= 1e-12 * largest);
        REQUIRE(found.size() == expected.size());
        for (size_t i = 0; i < found.size(); ++i) {
          CAPTURE(i);
          CHECK(std::abs(found[i] - expected[i]) <= 1e-12 * largest);
        }
      }
    }
  }

  TEST_CASE("their ELBO is the closed form's, and their gradient its slope") {
    ladder::Problem problem = larger();
    const double value = closed_form(problem);
    for (const Rung& rung : kRungs) {
      CAPTURE(rung.name);
      CHECK(rung.answer(problem).elbo == doctest::Approx(value).epsilon(1e-12));
    }
    const std::vector<double> gradient = all(ladder::by_loops(problem).gradient);
    for (size_t i = 0; i < gradient.size(); ++i) {
      CAPTURE(i);
      double& number = number_of(problem.at, i);
      const double middle = number;
      const auto at = [&](double offset) {
        number = middle + offset;
        const double elbo = closed_form(problem);
        number = middle;
        return elbo;
      };
      constexpr double kStep = 1e-3;  // of a difference of fourth order
      const double slope = (8 * (at(kStep) - at(-kStep)) - (at(2 * kStep) - at(-2 * kStep))) / (12 * kStep);
      CHECK(gradient[i] == doctest::Approx(slope).epsilon(1e-8).scale(1));
    }
  }

  TEST_CASE("at probabilistic PCA's maximum every rung finds no slope, and ln p(x) itself") {
    ladder::Problem problem = larger();
    const DataMoments moments = data_moments(data_of(problem));
    const Eigen eigen = principal_components(moments);
    const auto k = static_cast<int64_t>(problem.k);
    const Ppca best = ppca_solution(moments, eigen, k, ppca_mle_sigma2(eigen.values, k));
    const PpcaPosterior posterior = ppca_posterior(best);
    problem.at.W = best.weight.to_vector();
    problem.at.V = posterior.projection.to_vector();
    problem.at.log_sigma2 = std::log(best.sigma2);
    for (int64_t i = 0; i < k; ++i)  // W's columns are orthogonal there, so the covariance is diagonal
      problem.at.log_d[static_cast<size_t>(i)] = std::log(posterior.covariance.at(i * k + i));
    const double most = ppca_max_log_likelihood(eigen.values, k);
    for (const Rung& rung : kRungs) {
      CAPTURE(rung.name);
      const ladder::Answer answer = rung.answer(problem);
      CHECK(answer.elbo == doctest::Approx(most).epsilon(1e-12));
      for (double slope : all(answer.gradient)) CHECK(std::abs(slope) < 1e-10);
    }
  }

  TEST_CASE("the third rung records 26 ops whatever the sizes, as its page says, and the fourth one") {
    for (const ladder::Problem& problem : {ladder::example(), larger()}) {
      TapeTrace trace;
      ladder::by_tensors(problem);
      ladder::by_fused_op(problem);
      REQUIRE(trace.tapes().size() == 2);
      CHECK(trace.tapes()[0].ops.size() == 26);
      CHECK(trace.tapes()[1].ops.size() == 1);
    }
    CHECK(read_file(source_file("docs/ladder/README.md")).find("26 entries") != std::string::npos);
  }

  TEST_CASE("derivatives by hand take no more than 150 lines") {
    const std::string loops = read_file(source_file("docs/ladder/1_loops.cpp"));
    CHECK(std::count(loops.begin(), loops.end(), '\n') <= 150);
  }
}
