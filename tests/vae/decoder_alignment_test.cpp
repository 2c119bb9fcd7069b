// How decoder columns are compared with principal directions: matched by rank, counted where that says
// something.
#include "vae/decoder_alignment.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/vae/linear_setting.h"

using namespace elbo;

namespace {

/// Eigenvectors along the axes.
Eigen axes_with(const std::vector<double>& values) {
  const auto d = static_cast<int64_t>(values.size());
  return {Tensor::from<double>({d}, values), identity_matrix(d, DType::f64)};
}

/// A decoder with these columns, and sigma^2.
LinearVaeWeights with_columns(const std::vector<std::vector<double>>& columns, double sigma2) {
  const auto k = static_cast<int64_t>(columns.size()), d = static_cast<int64_t>(columns[0].size());
  LinearVaeWeights weights{.decoder = Tensor::zeros({d, k}, DType::f64),
                           .encoder = {},
                           .log_variance = {},
                           .mean = {},
                           .log_sigma2 = std::log(sigma2)};
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < d; ++j)
      weights.decoder.data<double>()[j * k + i] = columns[static_cast<size_t>(i)][static_cast<size_t>(j)];
  return weights;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("alignment matches the longest column with the first eigenvector") {
    LinearSetting s(50, 4, 3, 6);
    const Eigen eigen = principal_components(s.data);
    const Tensor w = s.value("decoder.weight");
    const auto fill = [&](int64_t column, int64_t component, double length) {
      for (int64_t j = 0; j < 4; ++j)
        w.data<double>()[3 * j + column] = length * eigen.vectors.at(4 * j + component);
    };
    fill(0, 2, 0.5);
    fill(1, 0, -3);  // signs do not count
    fill(2, 1, 1);
    const DecoderAlignment all = decoder_alignment(linear_vae_weights(s.vae), eigen);
    for (double cosine : all.cosines) CHECK(close(cosine, 1, 1e-12));
    CHECK(all.columns == std::vector<int64_t>{1, 2, 0});
    fill(2, 3, 1);  // the second longest is now the fourth eigenvector
    const std::vector<double> cosines = decoder_alignment(linear_vae_weights(s.vae), eigen).cosines;
    CHECK(close(cosines[0], 1, 1e-12));
    CHECK(std::abs(cosines[1]) < 1e-12);
    CHECK(close(cosines[2], 1, 1e-12));
    fill(0, 2, 0);
    CHECK(decoder_alignment(linear_vae_weights(s.vae), eigen).cosines[2] == 0);
  }

  TEST_CASE("only directions that are told apart count, and only above sigma^2") {
    // The second and third are 4 % apart, and so are the fifth and the sixth, which has no column.
    const Eigen eigen = axes_with({9, 5.2, 5, 3, 1.04, 1});
    const double h = std::sqrt(0.5);
    const std::vector<std::vector<double>> columns{{3, 0, 0, 0, 0, 0},
                                                   {0, 2 * h, 2 * h, 0, 0, 0},
                                                   {0, -1.9 * h, 1.9 * h, 0, 0, 0},
                                                   {0, 0, 0, 1.2, 0, 0.9},
                                                   {0, 0, 0, 0, 0, 0.1}};
    const DecoderAlignment found = decoder_alignment(with_columns(columns, 0.5), eigen);
    CHECK(found.counted == std::vector<int64_t>{0, 3});
    CHECK(found.worst == doctest::Approx(0.8));
    CHECK(found.median == 1);  // of two, the larger
    CHECK(found.cosines[1] == doctest::Approx(h));
    CHECK(found.cosines[4] == 0);
    // The first four directions are told apart from the rest. All but the fourth lie in the columns' span,
    // and that one does too, as the fifth column spans what the fourth has beside it.
    CHECK(found.leading == 4);
    CHECK(found.angle < 1e-6);
    const std::vector<std::vector<double>> four(columns.begin(), columns.end() - 1);
    const DecoderAlignment without = decoder_alignment(with_columns(four, 0.5), eigen);
    CHECK(without.leading == 4);
    CHECK(without.angle == doctest::Approx(180 / 3.14159265358979 * std::acos(0.8)));

    const DecoderAlignment high = decoder_alignment(with_columns(columns, 4), eigen);
    CHECK(high.counted == std::vector<int64_t>{0});
    CHECK(high.leading == 3);
    const DecoderAlignment none = decoder_alignment(with_columns(columns, 10), eigen);
    CHECK(none.counted.empty());
    CHECK(std::isnan(none.worst));
    CHECK(std::isnan(none.median));
    CHECK(std::isnan(none.angle));
    const DecoderAlignment zero = decoder_alignment(with_columns({{0, 0, 0, 0, 0, 0}}, 0.5), eigen);
    CHECK(zero.worst == 0);
    CHECK(zero.angle == 90);
  }

  TEST_CASE("as many columns as dimensions: the last direction has no neighbour below") {
    const DecoderAlignment found = decoder_alignment(with_columns({{3, 0}, {0, 1}}, 0.1), axes_with({4, 2}));
    CHECK(found.counted == std::vector<int64_t>{0, 1});
    CHECK(found.worst == 1);
    CHECK(found.leading == 2);
    CHECK(found.angle < 1e-6);
  }
}
