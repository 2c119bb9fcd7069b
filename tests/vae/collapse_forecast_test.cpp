// The collapse forecast on linear VAEs, where it is a theorem: the forecast's own numbers against the metrics
// of the model it describes, gradients that vanish there, units that grow or do not on both sides of the
// threshold, and a training that arrives at it.
#include "vae/collapse_forecast.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "nn/optimizer.h"
#include "tensor/gemm.h"
#include "tests/error_of.h"
#include "tests/vae/helpers.h"
#include "vae/training.h"

using namespace elbo;

namespace {

/// Points whose covariance has exactly these eigenvalues, along random directions: as many again as
/// dimensions, at plus and minus the roots.
Tensor points_with(const std::vector<double>& eigenvalues, uint64_t seed) {
  const auto d = static_cast<int64_t>(eigenvalues.size());
  const Tensor noise = draw({2 * d, d}, seed);
  const Tensor axes = symmetric_eigen(matmul(noise, Transpose::yes, noise, Transpose::no)).vectors;
  const Tensor x = Tensor::empty({2 * d, d}, DType::f64);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < d; ++j) {
      const double step =
          std::sqrt(eigenvalues[static_cast<size_t>(i)] * static_cast<double>(d)) * axes.at(j * d + i);
      x.data<double>()[2 * i * d + j] = 3 + step;
      x.data<double>()[(2 * i + 1) * d + j] = 3 - step;
    }
  return x;
}

const std::vector<double> kEigenvalues{6, 3.5, 2, 1.1, 0.6, 0.3, 0.1};

struct Data {
  Tensor x;
  DataMoments moments;
  Eigen eigen;
  Tensor centred;
  explicit Data(const std::vector<double>& eigenvalues = kEigenvalues, uint64_t seed = 5)
      : x(points_with(eigenvalues, seed)),
        moments(data_moments(x)),
        eigen(principal_components(moments)),
        centred((Variable(x) - Variable(moments.mean)).value()) {}
  int64_t dimensions() const { return x.size(1); }
};

/// E_q ln p(x|z) - beta KL of the model, on the tape: the ELBO and what of the KL it has too much.
Variable objective(LinearVae& vae, const Tensor& centred, double beta) {
  const Variable v(vae.parameters().at("encoder.weight")), ln_d(vae.parameters().at("log_variance"));
  const Variable kl = 0.5 * (mean(sum(square(matmul_nt(Variable(centred), v)), {-1}), {-1}) +
                             sum(exp(ln_d) - ln_d, {-1}) - static_cast<double>(vae.options().latent));
  return vae.analytic_elbo(centred) + (1 - beta) * kl;
}

struct Model {
  LinearVae vae;
  Model(const Data& data, int64_t latent, double sigma2, uint64_t seed = 1)
      : vae({.dimensions = data.dimensions(),
             .latent = latent,
             .sigma2 = sigma2,
             .learn_sigma2 = false,
             .weights = {Initializer::Kind::normal, 0.1},
             .dtype = DType::f64},
            seed) {
    vae.set_mean(data.moments.mean);
  }
};

double objective_at(const Data& data, const LinearVaeWeights& weights, double beta) {
  Model model(data, weights.log_variance.elements(), 1);
  set_linear_vae_weights(model.vae, weights);
  return objective(model.vae, data.centred, beta).item();
}

struct Setting {
  int64_t latent;
  double sigma2, beta;
};
/// More columns than directions that are worth it, and fewer; thresholds between eigenvalues and above all.
const Setting kSettings[] = {{5, 0.8, 1},   {2, 0.5, 1},   {7, 0.05, 1}, {6, 0.4, 2},
                             {6, 2.0, 0.5}, {3, 0.22, 10}, {4, 7, 1},    {4, 0.15, 0.4}};

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("a direction is forecast active where its eigenvalue is above beta sigma^2") {
    const Tensor eigenvalues = Tensor::from<double>({5}, {4, 2, 1, 0.5, 0});
    const auto active = [&](double sigma2, double beta) {
      return forecast_collapse(eigenvalues, 5, sigma2, beta).active();
    };
    CHECK(active(0.999, 1) == 3);
    CHECK(active(1, 1) == 2);  // at the threshold a column is worth nothing
    CHECK(active(1.001, 1) == 2);
    CHECK(active(0.5, 3) == 2);
    CHECK(active(1e-3, 1) == 4);
    CHECK(active(4, 1) == 0);
    CHECK_FALSE(forecast_collapse(eigenvalues, 5, 1).units[2].active);
    const CollapseForecast few = forecast_collapse(eigenvalues, 2, 0.1);
    CHECK(few.above == 4);
    CHECK(few.active() == 2);
    CHECK(few.units.size() == 2);
  }

  TEST_CASE("the forecast's numbers are the metrics of the model that it describes") {
    const Data data;
    for (const Setting& s : kSettings) {
      CAPTURE(s.latent);
      CAPTURE(s.sigma2);
      CAPTURE(s.beta);
      const CollapseForecast forecast = forecast_collapse(data.eigen.values, s.latent, s.sigma2, s.beta);
      const LinearVaeWeights weights = forecast_weights(data.moments, data.eigen, s.latent, s.sigma2, s.beta);
      const LinearVaeMetrics m = evaluate_linear_vae(weights, data.moments);
      CHECK(close(m.elbo, forecast.elbo, 1e-11));
      CHECK(close(m.kl, forecast.kl, 1e-12));
      CHECK(close(m.sigma2_tuned, forecast.sigma2_tuned, 1e-12));
      CHECK(close(m.sigma2, s.sigma2, 1e-14));
      const Tensor codes = (matmul_nt(Variable(data.centred), weights.encoder)).value();  // (N, k)
      for (int64_t i = 0; i < s.latent; ++i) {
        CAPTURE(i);
        const ForecastUnit& unit = forecast.units[static_cast<size_t>(i)];
        CHECK(unit.active == (kEigenvalues[static_cast<size_t>(i)] > s.beta * s.sigma2));
        Estimate code;
        double length2 = 0;
        for (int64_t p = 0; p < codes.size(0); ++p) code.add(codes.at(p * s.latent + i));
        for (int64_t j = 0; j < data.dimensions(); ++j)
          length2 += std::pow(weights.decoder.at(j * s.latent + i), 2);
        CHECK(close(code.squares / static_cast<double>(code.count), unit.variance_of_mean, 1e-12));
        CHECK(close(length2, unit.length2, 1e-12));
        CHECK(close(std::exp(weights.log_variance.at(i)), unit.mean_variance, 1e-12));
        CHECK(close(unit.variance_of_mean + unit.mean_variance, 1, 1e-14));
        CHECK(close(m.kl_per_dim[static_cast<size_t>(i)], unit.kl, 1e-12));
        // Silenced in the decoder, the rest of the model stays as it is.
        LinearVaeWeights without = weights;
        without.decoder = weights.decoder.clone();
        for (int64_t j = 0; j < data.dimensions(); ++j) without.decoder.data<double>()[j * s.latent + i] = 0;
        const LinearVaeMetrics silenced = evaluate_linear_vae(without, data.moments);
        CHECK(close((m.elbo + m.kl) - (silenced.elbo + silenced.kl), unit.gain, 1e-10));
      }
    }
  }

  TEST_CASE("it holds for fewer points than dimensions") {
    const Tensor x = draw({4, 12}, 9);
    const DataMoments moments = data_moments(x);
    const Eigen eigen = principal_components(moments);
    const CollapseForecast forecast = forecast_collapse(eigen.values, 6, 0.01);
    CHECK(forecast.active() == 3);  // four points about their mean span three directions
    const LinearVaeMetrics m = evaluate_linear_vae(forecast_weights(moments, eigen, 6, 0.01), moments);
    CHECK(close(m.elbo, forecast.elbo, 1e-10));
    CHECK(close(m.kl, forecast.kl, 1e-11));
  }

  TEST_CASE("at the forecast the objective's gradient is zero, and no point nearby is better") {
    const Data data;
    for (const Setting& s : kSettings) {
      CAPTURE(s.latent);
      CAPTURE(s.sigma2);
      CAPTURE(s.beta);
      Model model(data, s.latent, s.sigma2);
      LinearVae& vae = model.vae;
      set_linear_vae_weights(vae, forecast_weights(data.moments, data.eigen, s.latent, s.sigma2, s.beta));
      const double best = objective(vae, data.centred, s.beta).item();
      for (const char* name : {"decoder.weight", "encoder.weight", "log_variance"}) {
        CAPTURE(name);
        Tensor& value = vae.parameters().at(name).value;
        for (int64_t i = 0; i < value.elements(); ++i) {
          const double here = value.at(i), step = 1e-5;
          const auto at = [&](double to) {
            value.data<double>()[i] = to;
            return objective(vae, data.centred, s.beta).item();
          };
          const double up = at(here + step), down = at(here - step);
          at(here);
          CHECK(std::abs(up - down) / (2 * step) < 1e-7);
        }
      }
      for (uint64_t seed = 0; seed < 30; ++seed) {
        Model other(data, s.latent, s.sigma2);
        LinearVae& moved = other.vae;
        uint64_t next = 1000 * seed;
        for (const char* name : {"decoder.weight", "encoder.weight", "log_variance"}) {
          const Tensor at = vae.parameters().at(name).value;
          moved.parameters().at(name).value.copy_from(
              (Variable(at) + draw(at.shape(), next++) * 0.03).value());
        }
        CHECK(objective(moved, data.centred, s.beta).item() < best);
      }
    }
  }

  TEST_CASE(
      "an unused unit grows along a direction where its eigenvalue is above the threshold, and only there") {
    const Data data;
    for (const double beta : {0.5, 1.0, 3.0})
      for (size_t i = 1; i < kEigenvalues.size(); ++i)
        for (const double side : {0.98, 1.02}) {
          CAPTURE(beta);
          CAPTURE(i);
          CAPTURE(side);
          const double sigma2 = kEigenvalues[i] / beta * side;  // threshold below or above the eigenvalue
          // All directions before i are taken; a column of length e along u_i, with its best encoder.
          const auto k = static_cast<int64_t>(i) + 1;
          const auto with_column = [&](double length) {
            LinearVaeWeights w = forecast_weights(data.moments, data.eigen, k, sigma2, beta);
            const double s = beta * sigma2, square = length * length, d = s / (square + s);
            for (int64_t j = 0; j < data.dimensions(); ++j) {
              const double u = data.eigen.vectors.at(j * data.eigen.vectors.size(1) + k - 1);
              w.decoder.data<double>()[j * k + k - 1] = length * u;
              w.encoder.data<double>()[(k - 1) * data.dimensions() + j] = length / (square + s) * u;
            }
            w.log_variance.data<double>()[k - 1] = std::log(d);
            return objective_at(data, w, beta);
          };
          const double without = with_column(0), little = with_column(0.05 * std::sqrt(kEigenvalues[i]));
          CHECK((little > without) == (side < 1));
          CHECK(forecast_collapse(data.eigen.values, k, sigma2, beta).active() == (side < 1 ? k : k - 1));
        }
  }

  TEST_CASE("trained from small random weights, linear VAEs end where the forecast says") {
    const Data data;
    for (const Setting& s : {Setting{5, 0.8, 1}, Setting{6, 0.4, 2}, Setting{3, 2.4, 0.5}}) {
      CAPTURE(s.latent);
      CAPTURE(s.beta);
      Model model(data, s.latent, s.sigma2, 3);
      LinearVae& vae = model.vae;
      const Loss loss{.value = [&](const LossInput& in) {
        return LossValue{-objective(vae, in.x, s.beta), {}};
      }};
      Training training(vae.parameters(),
                        {{.loss = loss,
                          .steps = 2000,
                          .rates = {0.02},
                          .schedule = {.kind = Schedule::Kind::cosine, .base = 1, .total_steps = 2000}}},
                        whole_set(data.centred));
      while (training.step()) {
      }
      const CollapseForecast forecast = forecast_collapse(data.eigen.values, s.latent, s.sigma2, s.beta);
      const LinearVaeWeights found = linear_vae_weights(vae);
      CHECK(found.log_sigma2 == doctest::Approx(std::log(s.sigma2)).epsilon(1e-12));
      const LinearVaeMetrics m = evaluate_linear_vae(found, data.moments);
      CHECK(m.active_units == forecast.active());
      CHECK(close(m.elbo, forecast.elbo, 1e-6));
      std::vector<double> kl = m.kl_per_dim;
      std::sort(kl.rbegin(), kl.rend());
      for (size_t i = 0; i < kl.size(); ++i) CHECK(close(kl[i], forecast.units[i].kl, 1e-4));
    }
  }

  TEST_CASE("what is no forecast is refused") {
    const Tensor eigenvalues = Tensor::from<double>({3}, {3, 2, 1});
    CHECK(error_of([&] { forecast_collapse(eigenvalues, 4, 1); }).find("k must be 1 to 3") !=
          std::string::npos);
    CHECK(error_of([&] { forecast_collapse(eigenvalues, 0, 1); }) != "");
    CHECK(error_of([&] { forecast_collapse(eigenvalues, 2, 0); }).find("positive") != std::string::npos);
    CHECK(error_of([&] { forecast_collapse(eigenvalues, 2, 1, 0); }).find("positive") != std::string::npos);
    CHECK(error_of([&] { forecast_collapse(eigenvalues, 2, std::nan("")); }) != "");
  }
}
