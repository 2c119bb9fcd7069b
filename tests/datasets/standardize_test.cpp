// What is taken from each dimension and what it is divided by, in every kind of preprocessing; and pixels
// that are 0 and 1 only.
#include <cmath>

#include "datasets/batch_loader.h"
#include "datasets/npy.h"
#include "tensor/random.h"
#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

using Kind = Preprocessing::Kind;

Dataset dataset_of(const Tensor& x) {
  Dataset data;
  data.name = "values";
  data.x = x;
  return data;
}

Tensor numbers(const std::vector<double>& values) {
  return Tensor::from<double>({static_cast<int64_t>(values.size())}, values);
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("an offset is taken off in f64, before anything is rounded to f32") {
    const Tensor small = normal({9, 3}, DType::f64, {.seed = 5});
    Dataset data = dataset_of(small.clone());
    for (double& value : data.x.span<double>()) value = 1e8 + 4 * value;  // f32 knows multiples of 8 here
    const Preprocessing moved = followed_by({}, numbers({1e8, 1e8, 1e8}), numbers({4, 4, 4}));
    const Tensor all = preprocess_all(data, moved, 0, 0, DType::f32);
    BatchLoader loader(data, moved, {.batch = 9, .shuffle = false});
    const Tensor batch = loader.next().x;
    for (int64_t i = 0; i < all.elements(); ++i) {
      CHECK(std::abs(all.at(i) - small.at(i)) < 3e-7);  // f32, and 1e8's own rounding
      CHECK(batch.at(i) == all.at(i));
    }
    // And undone again: in f64 to the last digits of 1e8.
    const Tensor back = to_intensities(data, moved, preprocess_all(data, moved, 0, 0, DType::f64));
    for (int64_t i = 0; i < back.elements(); ++i) CHECK(std::abs(back.at(i) - data.x.at(i)) < 1e-7);
  }

  TEST_CASE("pixels are moved and scaled after their own formula, and come back as intensities") {
    Dataset data = dataset_of(Tensor::from<uint8_t>({2, 3}, {0, 100, 255, 7, 200, 31}));
    const Tensor mean = numbers({0.5, -1, 2}), scale = numbers({3, 0.25, 1});
    for (const Kind kind : {Kind::none, Kind::scale, Kind::dequantize, Kind::logit})
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Preprocessing plain{.kind = kind}, moved = followed_by(plain, mean, scale);
        const Tensor before = preprocess_all(data, plain, 3, 1, dtype);
        const Tensor after = preprocess_all(data, moved, 3, 1, dtype);
        const double exact = dtype == DType::f32 ? 1e-6 : 1e-14;
        for (int64_t i = 0; i < 6; ++i)
          CHECK(after.at(i) ==
                doctest::Approx((before.at(i) - mean.at(i % 3)) / scale.at(i % 3)).epsilon(exact));
        const Tensor one = to_intensities(data, plain, before), other = to_intensities(data, moved, after);
        for (int64_t i = 0; i < 6; ++i)
          CHECK(std::abs(one.at(i) - other.at(i)) < (dtype == DType::f32 ? 1e-5 : 1e-12));
      }
  }

  TEST_CASE("one such step follows another") {
    const Dataset data = dataset_of(Tensor::from<double>({1, 2}, {10, -6}));
    const Preprocessing once = followed_by({}, numbers({4, 2}), numbers({3, 4}));
    const Preprocessing twice = followed_by(once, numbers({1, -4}), numbers({0.5, 2}));
    CHECK(preprocess_all(data, once, 0, 0, DType::f64).to_vector() == std::vector<double>{2, -2});
    CHECK(preprocess_all(data, twice, 0, 0, DType::f64).to_vector() == std::vector<double>{2, 1});
  }

  TEST_CASE("the logarithm of the scales is part of the log-Jacobian, whatever the kind") {
    const Dataset pixels = dataset_of(Tensor::from<uint8_t>({2, 3}, {0, 100, 255, 7, 200, 31}));
    const Dataset values = dataset_of(pixels.x.to(DType::f32));
    const double expected = -std::log(3 * 0.25 * 5);
    const Tensor mean = numbers({0, 1, 2}), scale = numbers({3, 0.25, 5});
    for (const auto& [data, kind] : {std::pair{values, Kind::none},
                                     {pixels, Kind::none},
                                     {pixels, Kind::scale},
                                     {pixels, Kind::dequantize},
                                     {pixels, Kind::logit}}) {
      const Preprocessing plain{.kind = kind}, moved = followed_by(plain, mean, scale);
      CHECK(standardize_log_jacobian(plain) == 0);
      CHECK(standardize_log_jacobian(moved) == doctest::Approx(expected));
      CHECK(expected_log_jacobian(data, moved) - expected_log_jacobian(data, plain) ==
            doctest::Approx(expected));
      CHECK(paper_units_constant(data, moved) - paper_units_constant(data, plain) ==
            doctest::Approx(expected));
      for (int64_t i = 0; i < 2; ++i)
        CHECK(log_jacobian(data, moved, 1, 0).at(i) - log_jacobian(data, plain, 1, 0).at(i) ==
              doctest::Approx(expected));
    }
  }

  TEST_CASE("means and scales that make no sense are refused") {
    const Dataset data = dataset_of(Tensor::zeros({4, 2}));
    for (const double bad : {0.0, -1.0, std::nan(""), static_cast<double>(INFINITY)})
      CHECK(mentions(error_of([&] {
                       check_preprocessing(data, followed_by({}, numbers({0, 0}), numbers({1, bad})));
                     }),
                     "a scale must be positive and finite"));
    CHECK(mentions(error_of([&] { check_preprocessing(data, followed_by({}, numbers({0}), numbers({1}))); }),
                   "must be those of the 2 dimensions"));
    CHECK(mentions(error_of([&] {
                     check_preprocessing(data, {.mean = numbers({0, 0})});
                   }),
                   "must be those of the 2 dimensions"));
  }

  TEST_CASE("bytes that are 0 and 1 only are known for it, and stand for themselves") {
    const TemporaryDirectory directory;
    const auto load = [&](const std::vector<uint8_t>& bytes) {
      write_npy(directory / "x.npy", Tensor::from<uint8_t>({3, 2}, bytes));
      return load_dataset("npy:" + directory / "x.npy", {.limit = 2});
    };
    const Dataset binary = load({0, 1, 1, 1, 0, 0});
    CHECK(binary.binary);
    CHECK_FALSE(load({0, 1, 1, 1, 0, 2}).binary);  // a limit hides nothing
    CHECK_FALSE(load({0, 255, 255, 0, 0, 0}).binary);
    write_npy(directory / "x.npy", Tensor::zeros({3, 2}));
    CHECK_FALSE(load_dataset("npy:" + directory / "x.npy").binary);  // no bytes
    const Tensor x = preprocess_all(binary, {.kind = Kind::none}, 0, 0);
    CHECK(x.to_vector() == std::vector<double>{0, 1, 1, 1});
    CHECK(to_intensities(binary, {.kind = Kind::none}, x).to_vector() == x.to_vector());
    for (const Kind kind : {Kind::scale, Kind::dequantize, Kind::logit})
      CHECK(mentions(error_of([&] { preprocess_all(binary, {.kind = kind}, 0, 0); }),
                     std::string(name(kind)) + " is for pixels 0..255, but all those of"));
  }
}

}  // namespace elbo
