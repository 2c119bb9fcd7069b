// Generated data: point i is always the same point, and the whole has the distribution it claims.
#include "datasets/generators.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "tensor/parallel.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

using Make = Dataset (*)(int64_t, uint64_t, Split);

/// |a - b| within a share of b; doctest's Approx would add an absolute part.
bool within(double a, double b, double share) { return std::abs(a - b) <= share * std::abs(b); }

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.to_vector() == b.to_vector();
}

/// The mean image of each label.
struct ClassMeans {
  std::vector<double> mean = std::vector<double>(10 * 784), count = std::vector<double>(10);

  ClassMeans(const Tensor& x, const Tensor& labels) {
    for (int64_t i = 0; i < x.size(0); ++i) {
      const auto label = static_cast<size_t>(labels.at(i));
      REQUIRE(label < 10);
      count[label] += 1;
      const uint8_t* image = x.data<uint8_t>() + 784 * i;
      for (size_t j = 0; j < 784; ++j) mean[784 * label + j] += image[j];
    }
    for (size_t j = 0; j < mean.size(); ++j) mean[j] /= count[j / 784];
  }

  double at(int digit, int row, int column) const {
    return mean[static_cast<size_t>(784 * digit + 28 * row + column)];
  }
  double ink(int digit) const {
    return std::accumulate(&mean[static_cast<size_t>(784 * digit)],
                           &mean[static_cast<size_t>(784 * digit)] + 784, 0.0);
  }

  /// How many images are nearest to the mean of their own label.
  double share_found(const Tensor& x, const Tensor& labels) const {
    int found = 0;
    for (int64_t i = 0; i < x.size(0); ++i) {
      const uint8_t* image = x.data<uint8_t>() + 784 * i;
      size_t best = 0;
      double nearest = std::numeric_limits<double>::infinity();
      for (size_t label = 0; label < 10; ++label) {
        double distance = 0;
        for (size_t j = 0; j < 784; ++j) {
          const double difference = image[j] - mean[784 * label + j];
          distance += difference * difference;
        }
        if (distance < nearest) nearest = distance, best = label;
      }
      found += best == static_cast<size_t>(labels.at(i));
    }
    return found / static_cast<double>(x.size(0));
  }
};

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("a generated point depends on the seed, the split and its number alone") {
    const int before = threads();
    for (const Make make : {Make{&make_ppca_data}, Make{&make_ring_data}, Make{&make_digits},
                            Make{&make_sprites}, Make{&make_faces}}) {
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
      const Tensor expected = matmul(w, Transpose::no, w, Transpose::yes);
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

  TEST_CASE("the eight directions of PCA data outside W hold the noise alone, drawn apart from the latents") {
    const Dataset train = make_ppca_data(10000, 4), test = make_ppca_data(10000, 4, Split::test);
    const Tensor w = train.truth.at("weights");
    const auto centred = [](const Dataset& data) {
      const Tensor x = data.x.clone();
      for (int64_t i = 0; i < x.elements(); ++i) x.data<double>()[i] -= data.truth.at("mean").at(i % 10);
      return x;
    };
    const Tensor x = centred(train), other = centred(test);
    // Least squares: z = (W^T W)^-1 W^T x; what is left over is noise.
    const Tensor z = matmul(solve_positive_definite(matmul(w, Transpose::yes, w, Transpose::no),
                                                    matmul(w, Transpose::yes, x, Transpose::yes)),
                            Transpose::yes, Tensor::from<double>({2, 2}, {1, 0, 0, 1}), Transpose::no);
    const Tensor rest = x.clone();
    gemm(rest, z, Transpose::no, w, Transpose::yes, true, -1.0);
    double squares = 0, with_latents = 0, with_test = 0, signal = 0;
    for (int64_t i = 0; i < x.elements(); ++i) {
      squares += rest.at(i) * rest.at(i);
      // Draws of the same number must not be the same draws.
      if (i < z.elements()) with_latents += rest.at(i) * z.at(i);
      with_test += x.at(i) * other.at(i);
      signal += x.at(i) * x.at(i);
    }
    // The mean of 80000 squared normals has a relative deviation of 0.5%.
    CHECK(within(squares / 80000, 0.01, 0.025));
    CHECK(std::abs(with_latents) < 5 * std::sqrt(0.008 * 20000.0 * 1.2));
    CHECK(std::abs(with_test) < 0.1 * signal);
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
    CHECK(within(sum / n, 0.1307, 0.05));  // the numbers are MNIST's
    CHECK(within(std::sqrt(squares / n - sum / n * sum / n), 0.3081, 0.05));
    CHECK(within(black / n, 0.809, 0.03));
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
    const ClassMeans means(data.x.slice(0, 2000), data.labels.slice(0, 2000));
    for (const double count : means.count) CHECK(within(count, 200, 0.3));
    CHECK(means.share_found(data.x.slice(2000, 4000), data.labels.slice(2000, 4000)) > 0.75);  // MNIST: 0.82
    // An outsider's look at some of them, so that labels cannot be swapped.
    CHECK(means.at(0, 14, 14) < 60);   // a hole
    CHECK(means.at(8, 14, 14) > 120);  // a crossing
    CHECK(means.at(6, 20, 9) > 2 * means.at(9, 20, 9));
    for (const int digit : {0, 2, 3, 4, 5, 6, 7, 8, 9}) CHECK(means.ink(1) < means.ink(digit));
  }

  TEST_CASE("real digits are told by the class means of generated ones") {
    const auto directory = real_mnist();
    if (!directory) return;
    const Dataset real = load_dataset("mnist:" + *directory, {.limit = 2000});
    const Dataset made = make_digits(4000, 9);
    CHECK(ClassMeans(made.x, made.labels).share_found(real.x, real.labels) > 0.5);
  }
}

}  // namespace elbo
