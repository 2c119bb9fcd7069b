// Preprocessing: each kind against its definition, its inverse and its derivative; noise that belongs to the
// pixel.
#include "datasets/preprocessing.h"

#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "datasets/generators.h"
#include "tensor/map.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

using Kind = Preprocessing::Kind;

/// Images u8 (points, width) with every pixel value, pure black and white often.
Dataset pixels(int64_t points, int64_t width) {
  Dataset data;
  data.name = "pixels";
  data.x = Tensor::empty({points, width}, DType::u8);
  for (int64_t i = 0; i < data.x.elements(); ++i)
    data.x.data<uint8_t>()[i] = static_cast<uint8_t>(i % 3 == 0 ? 0 : i % 3 == 1 ? 255 : i * 7 % 256);
  return data;
}

/// The twin of dequantise + logit, an operation a line.
Tensor logit_twin(const Dataset& data, double alpha, uint64_t seed, int64_t epoch, DType dtype) {
  const RandomKey key{.seed = seed, .stream = kDequantisation, .step = static_cast<uint64_t>(epoch)};
  const Tensor u = uniform(data.x.shape(), DType::f32, key).to(dtype);
  const Variable x = (Variable(data.x.to(dtype)) + Variable(u)) / 256.0;
  const Variable squeezed = affine(x, 1 - 2 * alpha, alpha);
  return log(squeezed / affine(squeezed, -1, 1)).value();
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0;
  for (int64_t i = 0; i < a.elements(); ++i) {
    const double difference = std::abs(a.at(i) - b.at(i)) / (1 + std::abs(b.at(i)));
    worst = difference <= worst ? worst : difference;  // keeps a NaN
  }
  return worst;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.to_vector() == b.to_vector();
}

const Preprocessing kLogit{.kind = Kind::logit};

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("the fused dequantise + logit equals its twin") {
    const Dataset data = pixels(7, 301);
    for (const double alpha : {1e-6, 0.05})
      for (const int64_t epoch : {0, 3}) {
        const Preprocessing logit{.kind = Kind::logit, .alpha = alpha};
        const Tensor twin = logit_twin(data, alpha, 9, epoch, DType::f64);
        CHECK(largest_difference(preprocess_all(data, logit, 9, epoch, DType::f64), twin) < 1e-9);
        // The twin in f32 would lose 1 - s near white; the fused op must not.
        CHECK(largest_difference(preprocess_all(data, logit, 9, epoch, DType::f32), twin) < 2e-6);
      }
  }

  TEST_CASE("none, scale and dequantize are what they say") {
    const Dataset data = pixels(5, 77);
    const Tensor u = uniform(data.x.shape(), DType::f32, {.seed = 4, .stream = kDequantisation, .step = 2});
    for (const DType dtype : {DType::f32, DType::f64}) {
      const double exact = dtype == DType::f32 ? 1e-7 : 1e-15;
      const Tensor none = preprocess_all(data, {.kind = Kind::none}, 4, 2, dtype);
      const Tensor scale = preprocess_all(data, {.kind = Kind::scale}, 4, 2, dtype);
      const Tensor dequantized = preprocess_all(data, {.kind = Kind::dequantize}, 4, 2, dtype);
      CHECK(none.dtype() == dtype);
      for (int64_t i = 0; i < data.x.elements(); ++i) {
        CHECK(none.at(i) == data.x.at(i));
        CHECK(std::abs(scale.at(i) - data.x.at(i) / 255) <= exact);
        CHECK(std::abs(dequantized.at(i) - (data.x.at(i) + u.at(i)) / 256) <= exact);
      }
    }
  }

  TEST_CASE("intensities come back from every kind") {
    const Dataset data = pixels(5, 77);
    const Tensor u = uniform(data.x.shape(), DType::f32, {.seed = 4, .stream = kDequantisation});
    for (const Kind kind : {Kind::none, Kind::scale, Kind::dequantize, Kind::logit})
      for (const double alpha : {1e-6, 0.05}) {
        const Preprocessing preprocessing{.kind = kind, .alpha = alpha};
        const Tensor x =
            to_intensities(data, preprocessing, preprocess_all(data, preprocessing, 4, 0, DType::f64));
        double worst = 0;
        for (int64_t i = 0; i < x.elements(); ++i) {
          const bool noisy = kind == Kind::dequantize || kind == Kind::logit;
          const double expected = noisy ? (data.x.at(i) + u.at(i)) / 256 : data.x.at(i) / 255;
          worst = std::max(worst, std::abs(x.at(i) - expected));
        }
        CHECK(worst < 1e-9);
      }
    Dataset values;
    values.x = Tensor::full({2, 3}, 7.5, DType::f64);
    CHECK(same(to_intensities(values, {}, values.x), values.x));
  }

  TEST_CASE("a pixel's value depends on seed, epoch and place, not on batches or threads") {
    const Dataset data = pixels(23, 301);  // rows start at every offset within a block of four draws
    const Tensor all = preprocess_all(data, kLogit, 9, 3);
    const std::vector<int64_t> rows{22, 0, 7, 7, 21, 1};
    const Tensor some = Tensor::empty({6, 301});
    preprocess_rows(data, kLogit, 9, 3, rows, some);
    for (int64_t i = 0; i < 6; ++i) CHECK(same(some.slice(i), all.slice(rows[static_cast<size_t>(i)])));

    const Dataset large = pixels(300, 301);
    const int before = threads();
    set_threads(1);
    const Tensor one = preprocess_all(large, kLogit, 9, 3);
    const Tensor jacobian = log_jacobian(large, kLogit, 9, 3);
    set_threads(4);
    CHECK(same(preprocess_all(large, kLogit, 9, 3), one));
    CHECK(same(log_jacobian(large, kLogit, 9, 3), jacobian));
    set_threads(before);
    CHECK(same(one.slice(0, 23), all));
    CHECK_FALSE(same(preprocess_all(data, kLogit, 10, 3), all));
  }

  TEST_CASE("noise is new every epoch, or the same throughout") {
    const Dataset data = pixels(5, 77);
    for (const Kind kind : {Kind::dequantize, Kind::logit}) {
      const Preprocessing fresh{.kind = kind}, fixed{.kind = kind, .fresh_noise = false};
      const Tensor first = preprocess_all(data, fresh, 9, 0);
      CHECK_FALSE(same(preprocess_all(data, fresh, 9, 1), first));
      CHECK(same(preprocess_all(data, fixed, 9, 0), first));
      CHECK(same(preprocess_all(data, fixed, 9, 1), first));
    }
    CHECK_FALSE(same(log_jacobian(data, kLogit, 9, 1), log_jacobian(data, kLogit, 9, 0)));
  }

  TEST_CASE("black and white stay finite and exact in f32 under the most extreme noise") {
    for (const double alpha : {1e-6, 0.05}) {
      const LogitPixel formula{alpha};
      for (const float p : {0.0f, 1.0f, 128.0f, 255.0f})
        for (const float u : {0x1p-25f, 0.5f, 1 - 0x1p-24f, 1.0f}) {
          const double exact = formula.forward(static_cast<double>(p), static_cast<double>(u));
          CHECK(std::isfinite(exact));
          CHECK(std::abs(formula.forward(p, u) - exact) < 2e-6 * (1 + std::abs(exact)));
        }
    }
  }

  TEST_CASE("the log-Jacobian is that of the formula, by central differences") {
    for (const double alpha : {1e-6, 0.05}) {
      const LogitPixel formula{alpha};
      for (const double p : {0.0, 1.0, 100.0, 254.0, 255.0})
        for (const double u : {0.1, 0.5, 0.9}) {
          // x = (p + u) / 256, so dy/dx = 256 dy/du.
          const double h = 1e-6;
          const double slope = 256 * (formula.forward(p, u + h) - formula.forward(p, u - h)) / (2 * h);
          CHECK(formula.log_jacobian(p, u) == doctest::Approx(std::log(slope)).epsilon(1e-6));
        }
    }
  }

  TEST_CASE("a point's log-Jacobian sums over its own pixels and noise") {
    const Dataset data = pixels(4, 301);
    const Tensor sums = log_jacobian(data, kLogit, 9, 2);
    const Tensor y = preprocess_all(data, kLogit, 9, 2, DType::f64);
    CHECK(sums.shape() == Shape{4});
    for (int64_t row = 0; row < 4; ++row) {
      // s = sigmoid(y), so dy/dx = (1 - 2a) / (s (1 - s)) follows from y alone.
      double sum = 0;
      for (int64_t i = 0; i < 301; ++i) {
        const double v = y.at(301 * row + i);
        sum += std::log(1 - 2e-6) + std::log1p(std::exp(-v)) + std::log1p(std::exp(v));
      }
      CHECK(sums.at(row) == doctest::Approx(sum).epsilon(1e-9));
    }
    CHECK(log_jacobian(data, {.kind = Kind::scale}, 9, 2).to_vector() == std::vector<double>(4));
  }

  TEST_CASE("the expected log-Jacobian is the integral over the noise") {
    for (const double alpha : {1e-6, 0.05}) {
      const LogitPixel formula{alpha};
      for (const int p : {0, 1, 128, 255}) {
        Dataset data;
        data.x = Tensor::full({3, 1}, p, DType::u8);
        constexpr int kCells = 200000;
        double integral = 0;
        for (int cell = 0; cell < kCells; ++cell)
          integral += formula.log_jacobian(double(p), (cell + 0.5) / kCells);
        CHECK(expected_log_jacobian(data, {.kind = Kind::logit, .alpha = alpha}) ==
              doctest::Approx(integral / kCells).epsilon(1e-6));
      }
    }
  }

  TEST_CASE("expected and sampled log-Jacobian agree on digits") {
    const Dataset data = make_digits(500, 2);
    double sampled = 0, squares = 0;
    for (const double v : log_jacobian(data, kLogit, 1, 0).to_vector())
      sampled += v / 500, squares += v * v / 500;
    // The noise of about 640 black or white pixels, each of variance about 1, over 500 images.
    CHECK(std::abs(sampled - expected_log_jacobian(data, kLogit)) < 5 * std::sqrt(640.0 / 500));
    CHECK(squares > sampled * sampled);
  }

  TEST_CASE("paper units add the Jacobian and take the 256 levels of a pixel off") {
    const Dataset data = pixels(5, 77);
    const double levels = 77 * std::log(256.0);
    CHECK(paper_units_constant(data, {.kind = Kind::none}) == 0);
    CHECK(paper_units_constant(data, {.kind = Kind::scale}) == 0);
    CHECK(paper_units_constant(data, {.kind = Kind::dequantize}) == doctest::Approx(-levels));
    CHECK(paper_units_constant(data, kLogit) ==
          doctest::Approx(expected_log_jacobian(data, kLogit) - levels));
    const auto directory = real_mnist();
    if (!directory) return;
    const Dataset mnist = load_dataset("mnist:" + *directory);
    CHECK(paper_units_constant(mnist, kLogit) == doctest::Approx(272.6).epsilon(1e-3));
    CHECK(paper_units_constant(mnist, {.kind = Kind::dequantize}) == doctest::Approx(-4347.4).epsilon(1e-5));
  }

  TEST_CASE("values that never were pixels pass through, and nothing else is done to them") {
    Dataset data;
    data.name = "values";
    data.x = Tensor::from<double>({2, 2}, {-1.5, 2, 1e10, 0.1});
    CHECK(same(preprocess_all(data, {}, 1, 0, DType::f64), data.x));
    CHECK(same(preprocess_all(data, {}, 1, 0, DType::f32), data.x.to(DType::f32)));
    CHECK(paper_units_constant(data, {}) == 0);
    for (const Kind kind : {Kind::scale, Kind::dequantize, Kind::logit}) {
      const std::string error = error_of([&] { preprocess_all(data, {.kind = kind}, 1, 0); });
      CHECK(mentions(error, std::string(name(kind)) + " is for 8-bit pixels, but 'values' holds f64 values"));
      CHECK(error_of([&] { expected_log_jacobian(data, {.kind = kind}); }) != "");
    }
  }

  TEST_CASE("settings that make no sense are refused") {
    const Dataset data = pixels(5, 77);
    for (const double alpha : {0.0, -0.1, 0.5, 1.0, std::nan("")})
      CHECK(mentions(error_of([&] { preprocess_all(data, {.kind = Kind::logit, .alpha = alpha}, 1, 0); }),
                     "alpha must lie between 0 and 0.5"));
    CHECK(mentions(error_of([&] { check_preprocessing(Dataset{}, {}); }), "has no points"));
    CHECK(mentions(error_of([&] { preprocess_all(data, {}, 1, 0, DType::u8); }), "needs f32 or f64"));
    const Tensor out = Tensor::empty({2, 77});
    const std::vector<int64_t> outside{0, 5}, negative{0, -1}, three{0, 1, 2};
    CHECK(
        mentions(error_of([&] { preprocess_rows(data, {}, 1, 0, outside, out); }), "row 5 is outside 0..4"));
    CHECK(mentions(error_of([&] { preprocess_rows(data, {}, 1, 0, negative, out); }),
                   "row -1 is outside 0..4"));
    CHECK(mentions(error_of([&] { preprocess_rows(data, {}, 1, 0, three, out); }), "do not fit (2, 77)"));
  }

  TEST_CASE("kinds and their default alpha go by name") {
    for (const Kind kind : {Kind::none, Kind::scale, Kind::dequantize, Kind::logit})
      CHECK(parse_preprocessing(name(kind)) == kind);
    CHECK(name(Kind::dequantize) == std::string("dequantize"));
    CHECK(mentions(error_of([] { parse_preprocessing("dequantise"); }),
                   "unknown preprocessing 'dequantise'; there are none, scale, dequantize and logit"));
    Dataset data;
    CHECK(default_alpha(data) == 1e-6);
    data.channels = 3;
    CHECK(default_alpha(data) == 0.05);
  }
}

}  // namespace elbo
