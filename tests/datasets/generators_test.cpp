// Generated data: point i is always the same point, and the whole has the distribution it claims.
#include "datasets/generators.h"

#include <cmath>

#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "tensor/parallel.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

using Make = Dataset (*)(int64_t, uint64_t, Split);

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.to_vector() == b.to_vector();
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("a generated point depends on the seed, the split and its number alone") {
    const int before = threads();
    for (const Make make : {Make{&make_ppca_data}, Make{&make_digits}}) {
      set_threads(1);
      const Dataset many = make(300, 7, Split::train);
      set_threads(3);
      CHECK(same(make(300, 7, Split::train).x, many.x));
      CHECK(same(make(17, 7, Split::train).x, many.x.slice(0, 17)));
      CHECK_FALSE(same(make(300, 8, Split::train).x, many.x));
      CHECK_FALSE(same(make(300, 7, Split::test).x, many.x));
      CHECK(make(300, 7, Split::train).fingerprint == many.fingerprint);
      CHECK_FALSE(same(many.x.slice(0), many.x.slice(1)));
      CHECK(mentions(error_of([&] { make(0, 7, Split::train); }), "cannot make 0 points"));
    }
    set_threads(before);
    CHECK(load_dataset("digits").points() == 10000);
    CHECK(load_dataset("ppca").points() == 10000);
  }

  TEST_CASE("PCA data have the covariance W W^T + 0.01 I and the mean of their truth, in both splits") {
    for (const Split split : {Split::train, Split::test}) {
      const Dataset data = make_ppca_data(10000, 3, split);
      const Tensor w = data.truth.at("weights"), mu = data.truth.at("mean");
      CHECK(data.truth.at("sigma").item() == 0.1);
      CHECK(same(w, make_ppca_data(1, 3, Split::train).truth.at("weights")));
      for (const double value : w.to_vector()) CHECK((value > 0 && value < 1));
      for (const double value : mu.to_vector()) CHECK((value > 0 && value < 1));
      const Tensor expected = matmul(w, Op::none, w, Op::transpose);
      const auto n = static_cast<double>(data.points());
      for (int64_t i = 0; i < 10; ++i) {
        expected.data<double>()[11 * i] += 0.01;
        double sum = 0;
        for (int64_t row = 0; row < data.points(); ++row) sum += data.x.at(10 * row + i) - mu.at(i);
        CHECK(std::abs(sum / n) < 5 * std::sqrt(expected.at(11 * i) / n));
      }
      for (int64_t i = 0; i < 10; ++i)
        for (int64_t j = 0; j <= i; ++j) {
          double sum = 0;
          for (int64_t row = 0; row < data.points(); ++row)
            sum += (data.x.at(10 * row + i) - mu.at(i)) * (data.x.at(10 * row + j) - mu.at(j));
          const double c = expected.at(10 * i + j);
          const double deviation = std::sqrt((expected.at(11 * i) * expected.at(11 * j) + c * c) / n);
          CHECK(std::abs(sum / n - c) < 5 * deviation);
        }
    }
  }

  TEST_CASE("the eight directions of PCA data outside W hold the noise alone") {
    const Dataset data = make_ppca_data(10000, 4);
    const Tensor centred = data.x.clone();
    for (int64_t i = 0; i < centred.elements(); ++i)
      centred.data<double>()[i] -= data.truth.at("mean").at(i % 10);
    const Tensor s = matmul(centred, Op::transpose, centred, Op::none);
    const Tensor values = symmetric_eigen(s).values;
    double noise = 0;
    for (int64_t i = 2; i < 10; ++i) noise += values.at(i) / 10000 / 8;
    // The mean of 80000 squared normals has a relative deviation of 0.5%.
    CHECK(noise == doctest::Approx(0.01).epsilon(0.025));
    CHECK(values.at(1) / 10000 > 0.02);
  }

  TEST_CASE("digits look like MNIST to its coarse statistics") {
    const Dataset data = make_digits(4000, 5);
    CHECK(data.x.shape() == Shape{4000, 784});
    CHECK(std::array{data.height, data.width, data.channels} == std::array<int64_t, 3>{28, 28, 1});
    double sum = 0, squares = 0, black = 0;
    for (const uint8_t pixel : data.x.span<uint8_t>()) {
      sum += pixel / 255.0;
      squares += pixel / 255.0 * pixel / 255.0;
      black += pixel == 0;
    }
    const auto n = static_cast<double>(data.x.elements());
    CHECK(sum / n == doctest::Approx(0.131).epsilon(0.1));  // MNIST: 0.1307
    CHECK(std::sqrt(squares / n - sum / n * sum / n) ==
          doctest::Approx(0.309).epsilon(0.1));               // MNIST: 0.3081
    CHECK(black / n == doctest::Approx(0.81).epsilon(0.05));  // MNIST: 0.809
  }

  TEST_CASE("every digit has full ink, an empty rim and its mass in the middle") {
    const Dataset data = make_digits(1000, 6);
    for (int64_t i = 0; i < data.points(); ++i) {
      const uint8_t* pixels = data.x.data<uint8_t>() + 784 * i;
      double mass = 0, at_x = 0, at_y = 0, rim = 0, largest = 0;
      for (int y = 0; y < 28; ++y)
        for (int x = 0; x < 28; ++x) {
          const double ink = pixels[28 * y + x];
          mass += ink, at_x += x * ink, at_y += y * ink;
          largest = std::max(largest, ink);
          if (x == 0 || y == 0 || x == 27 || y == 27) rim += ink;
        }
      CHECK(largest > 200);
      CHECK(rim == 0);
      CHECK(std::abs(at_x / mass - 13.5) < 2.5);
      CHECK(std::abs(at_y / mass - 13.5) < 2.5);
    }
  }

  TEST_CASE("labels tell the digits: all ten occur, and the nearest class mean finds most") {
    const Dataset data = make_digits(4000, 9);
    const int64_t half = 2000;
    std::vector<double> means(10 * 784), count(10);
    for (int64_t i = 0; i < half; ++i) {
      const auto label = static_cast<size_t>(data.labels.at(i));
      REQUIRE(label < 10);
      count[label] += 1;
      for (size_t j = 0; j < 784; ++j)
        means[784 * label + j] += data.x.data<uint8_t>()[784 * i + static_cast<int64_t>(j)];
    }
    for (const double c : count) CHECK(c == doctest::Approx(200).epsilon(0.3));
    int right = 0;
    for (int64_t i = half; i < data.points(); ++i) {
      size_t best = 0;
      double nearest = 1e300;
      for (size_t label = 0; label < 10; ++label) {
        double distance = 0;
        for (size_t j = 0; j < 784; ++j) {
          const double d = data.x.data<uint8_t>()[784 * i + static_cast<int64_t>(j)] -
                           means[784 * label + j] / count[label];
          distance += d * d;
        }
        if (distance < nearest) nearest = distance, best = label;
      }
      right += best == static_cast<size_t>(data.labels.at(i));
    }
    CHECK(right > 1500);  // MNIST's rate is 82%; guessing finds 200
  }
}

}  // namespace elbo
