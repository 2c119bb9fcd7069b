// The pieces that parts of a VAE are made of (vae/parts.h), each against its definition.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/tape.h"
#include "tensor/linalg.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/parts.h"

namespace elbo {
namespace {

using Numbers = std::vector<double>;

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("unit columns: the matrix that is applied has columns of length 1, of each member") {
    ParameterStore store(DType::f64, 2);
    const Network map = unit_columns(store, "w", 3, 5, {Initializer::Kind::normal, 2});
    store.initialise(1);
    store.at("w.bias").value.copy_from(draw({2, 5}, 3));
    const Tensor images = map(identity_matrix(3, DType::f64), Mode::evaluate).value();  // (2, 3, 5)
    const Tensor origin = map(Tensor::zeros({1, 3}, DType::f64), Mode::evaluate).value();
    CHECK(origin.to_vector() == store.at("w.bias").value.to_vector());
    const Numbers lengths = sum(square(Variable(images) - origin), {-1}).value().to_vector();
    REQUIRE(lengths.size() == 6);
    for (double length : lengths) CHECK(close(length, 1, 1e-12));
  }

  TEST_CASE(
      "cholesky_factor is LAPACK's, of one matrix and of several, and its gradient that of differences") {
    const Tensor root = draw({3, 4, 4}, 7);
    Parameter a{"", (matmul_nt(root, root) + identity_matrix(4, DType::f64)).value(),
                Tensor::zeros({3, 4, 4}, DType::f64), false};
    const Tensor factor = cholesky_factor(a).value(), weights = draw({3, 4, 4}, 9);
    for (int64_t m = 0; m < 3; ++m) {
      const Numbers expected = cholesky(a.value.slice(m)).to_vector(), own = factor.slice(m).to_vector();
      for (size_t i = 0; i < own.size(); ++i) CHECK(close(own[i], expected[i], 1e-13));
    }
    {
      Tape tape;
      tape.backward(sum(cholesky_factor(a) * weights));
    }
    // Only the lower triangle is read: of a symmetric change both entries count as one.
    for (int64_t i = 0; i < a.value.elements(); ++i) {
      const int64_t row = i / 4 % 4, column = i % 4;
      if (column > row) continue;
      const auto at = [&](double by) {
        Tensor changed = a.value.clone();
        const auto values = changed.span<double>();
        const auto mirror = static_cast<size_t>(i - row * 4 - column + column * 4 + row);
        values[static_cast<size_t>(i)] += by;
        if (column != row) values[mirror] += by;
        return sum(cholesky_factor(changed) * weights).item();
      };
      const auto mirror = i - row * 4 - column + column * 4 + row;
      const double slope = a.gradient.at(i) + (column == row ? 0 : a.gradient.at(mirror));
      CHECK(close(slope, (at(1e-5) - at(-1e-5)) / 2e-5, 1e-7));
    }
    CHECK(error_of([] {
            cholesky_factor(draw({2, 3}, 1));
          }) == "[cholesky_factor] a must be (..., n, n), got (2, 3)");
    CHECK(std::isnan(cholesky_factor(Tensor::from<double>({2, 2}, {1, 2, 2, 1})).value().at(3)));
  }
}

}  // namespace elbo
