#include "vae/op_table.h"

#include "vae/fused.h"
#include "vae/henze_zirkler.h"
#include "vae/linear_squared_error.h"

namespace elbo {
namespace {

using In = const std::vector<Variable>&;

const RandomKey kNoise{.seed = 5, .stream = kLatentNoise};

OpRow reparameterize_row(Shape mean, Shape log_variance, int64_t members, int64_t samples = 1,
                         int64_t parts = 1, BatchRows rows = {}) {
  const auto run = [=](auto function) {
    return [=](In in) {
      const PosteriorTerms terms = function(in[0], in[1], kNoise, members, samples, parts, rows);
      return std::vector{terms.z, terms.kl};
    };
  };
  return {"reparameterize_kl",
          run(reparameterize_kl),
          {mean, log_variance},
          Domain::real,
          run(reparameterize_kl_twin)};
}

OpRow gaussian_row(Shape x, Shape mean, Shape log_sigma2) {
  return {"gaussian_log_likelihood",
          op_function(gaussian_log_likelihood),
          {x, mean, log_sigma2},
          Domain::real,
          op_function(gaussian_log_likelihood_twin)};
}

OpRow diagonal_gaussian_row(Shape x, Shape mean) {
  return {"diagonal_gaussian_log_likelihood",
          op_function(diagonal_gaussian_log_likelihood),
          {x, mean, mean},
          Domain::real,
          op_function(diagonal_gaussian_log_likelihood_twin)};
}

OpRow bernoulli_row(Shape x, Shape logits) {
  return {"bernoulli_log_likelihood",
          op_function(bernoulli_log_likelihood),
          {x, logits},
          Domain::real,
          op_function(bernoulli_log_likelihood_twin)};
}

/// Of the cost alone: nothing is differentiated by the means.
OpRow batch_cost_row(Shape log_likelihood, Shape kl, Shape weight) {
  const Tensor weights = uniform(weight, DType::f64, {.seed = 3, .stream = kTestInput});
  const auto run = [=](auto function) {
    return [=](In in) {
      const Tensor like_in = weights.to(in[0].dtype()).to(in[0].value().device());
      return std::vector{function(in[0], in[1], like_in).cost};
    };
  };
  return {"batch_cost", run(batch_cost), {log_likelihood, kl}, Domain::real, run(batch_cost_twin)};
}

/// Both forms of the analytic ELBO, against one twin. D = 5, k = 3.
using ElboFunction = Variable (*)(const Tensor&, const Variable&, const Variable&, const Variable&,
                                  const Variable&);
OpRow linear_vae_row(bool from_covariance, Shape members) {
  const Tensor x = normal({7, 5}, DType::f64, {.seed = 9, .stream = kTestInput});
  const auto run = [](const Tensor& data, ElboFunction function) {
    return [=](In in) {
      const Tensor x_or_s = data.to(in[0].dtype()).to(in[0].value().device());
      return std::vector{function(x_or_s, in[0], in[1], in[2], in[3])};
    };
  };
  const Tensor covariance = (matmul_tn(x, x) / 7.0).value();
  return {from_covariance ? "linear_vae_elbo_from_covariance" : "linear_vae_elbo",
          from_covariance ? run(covariance, linear_vae_elbo_from_covariance) : run(x, linear_vae_elbo),
          {members.concatenated({5, 3}), members.concatenated({3, 5}), members.concatenated({3}),
           members.concatenated({1})},
          Domain::real,
          run(x, linear_vae_elbo_twin)};
}

/// The inputs are z, gram, target and square, and a weight and a bias for each layer.
OpRow linear_squared_error_row(std::vector<Activation> activations, std::vector<Shape> shapes) {
  const auto apply = [=](In in, auto op) {
    std::vector<DenseLayer> layers;
    for (size_t l = 0; l < activations.size(); ++l)
      layers.push_back({in[4 + 2 * l], in[5 + 2 * l], activations[l]});
    const Tensor near = uniform(in[2].shape(), DType::f64, {.seed = 3, .stream = kTestInput});
    const LinearTarget target{near.to(in[2].dtype()).to(in[2].value().device()), {}, in[1], in[2], in[3]};
    return std::vector<Variable>{op(in[0], std::span<const DenseLayer>(layers), target)};
  };
  return {"linear_squared_error", [=](In in) { return apply(in, linear_squared_error); }, std::move(shapes),
          Domain::real, [=](In in) { return apply(in, linear_squared_error_twin); }};
}

/// The inputs are weight and bias; x and near are given.
using TargetFunction = LinearTarget (*)(const Tensor&, const Tensor&, const Variable&, const Variable&);
OpRow linear_target_row(const char* name, TargetFunction op, Shape x, Shape near, Shape weight) {
  const auto run = [=](TargetFunction function) {
    return [=](In in) {
      const auto given = [&](Shape shape, uint64_t seed) {
        const Tensor drawn = uniform(shape, DType::f64, {.seed = seed, .stream = kTestInput});
        return drawn.to(in[0].dtype()).to(in[0].value().device());
      };
      const LinearTarget made = function(given(x, 3), given(near, 4), in[0], in[1]);
      return std::vector{made.gram, made.target, made.square};
    };
  };
  return {name, run(op), {weight, weight.drop_back(1)}, Domain::real, run(linear_target_twin)};
}

/// What a tape makes of a target that was made without one.
LinearTarget made_again(const Tensor& x, const Tensor& near, const Variable& weight, const Variable& bias) {
  return linear_target_again(linear_target(x, near, weight.value(), bias.value()), weight, bias);
}

OpRow henze_zirkler_row(Shape z) {
  return {"henze_zirkler", op_function(henze_zirkler), {z}, Domain::real, op_function(henze_zirkler_twin)};
}

std::vector<OpRow> make_table() {
  return {
      // Each point with its own variance; one variance for all; members with theirs; several samples; in
      // parts, and more of them than threads share; of points that are a part of a batch.
      batch_cost_row({5}, {5}, {}),
      batch_cost_row({4, 5}, {5}, {}),
      batch_cost_row({3, 5}, {3, 5}, {3}),
      batch_cost_row({3, 4, 5}, {3, 5}, {3}),
      reparameterize_row({4, 3}, {4, 3}, 1),
      reparameterize_row({4, 3}, {3}, 1),
      reparameterize_row({2, 4, 3}, {2, 1, 3}, 2),
      reparameterize_row({4, 3}, {4, 3}, 1, 5),
      reparameterize_row({4, 3}, {3}, 1, 5),
      reparameterize_row({2, 4, 3}, {2, 4, 3}, 2, 5),
      reparameterize_row({2, 4, 3}, {2, 1, 3}, 2, 5),
      reparameterize_row({4, 3}, {4, 3}, 1, 6, 3),
      reparameterize_row({2, 4, 3}, {2, 1, 3}, 2, 6, 6),
      reparameterize_row({3, 5}, {3, 5}, 1, 70, 35),
      reparameterize_row({4, 3}, {4, 3}, 1, 1, 1, {3, 9}),
      reparameterize_row({2, 4, 3}, {2, 1, 3}, 2, 6, 3, {7, 11}),
      // One model; members; samples; both.
      gaussian_row({4, 3}, {4, 3}, {1}),
      gaussian_row({4, 3}, {2, 4, 3}, {2, 1}),
      gaussian_row({4, 3}, {5, 4, 3}, {1}),
      gaussian_row({4, 3}, {2, 5, 4, 3}, {2, 1, 1}),
      diagonal_gaussian_row({4, 3}, {4, 3}),
      diagonal_gaussian_row({4, 3}, {2, 4, 3}),
      diagonal_gaussian_row({4, 3}, {5, 4, 3}),
      diagonal_gaussian_row({2, 1, 4, 3}, {2, 5, 4, 3}),
      bernoulli_row({4, 3}, {4, 3}),
      bernoulli_row({4, 3}, {2, 4, 3}),
      bernoulli_row({4, 3}, {5, 4, 3}),
      bernoulli_row({2, 1, 4, 3}, {2, 5, 4, 3}),
      linear_vae_row(false, {}),
      linear_vae_row(false, {2}),
      linear_vae_row(true, {}),
      linear_vae_row(true, {2}),
      linear_target_row("linear_target", linear_target, {4, 5}, {4, 3}, {5, 3}),
      linear_target_row("linear_target", linear_target, {4, 5}, {2, 4, 3}, {2, 5, 3}),
      linear_target_row("linear_target", linear_target, {2, 4, 5}, {2, 4, 3}, {2, 5, 3}),
      linear_target_row("linear_target_again", made_again, {2, 4, 5}, {2, 4, 3}, {2, 5, 3}),
      // No layers; one sample and several; members; several layers.
      linear_squared_error_row({}, {{4, 3}, {3, 3}, {4, 3}, {}}),
      linear_squared_error_row({Activation::tanh}, {{4, 2}, {3, 3}, {4, 3}, {}, {3, 2}, {3}}),
      linear_squared_error_row({Activation::tanh}, {{3, 4, 2}, {5, 5}, {4, 5}, {}, {5, 2}, {5}}),
      linear_squared_error_row({Activation::none}, {{2, 4, 2}, {2, 3, 3}, {2, 4, 3}, {2}, {2, 3, 2}, {2, 3}}),
      linear_squared_error_row(
          {Activation::softplus, Activation::sigmoid},
          {{2, 3, 9, 1}, {2, 2, 2}, {2, 9, 2}, {2}, {2, 3, 1}, {2, 3}, {2, 2, 3}, {2, 2}}),
      // One dimension and several; members. Points that in f32, on a GPU, the twin still tells apart.
      henze_zirkler_row({8, 1}),
      henze_zirkler_row({7, 2}),
      henze_zirkler_row({9, 2}),
      henze_zirkler_row({2, 7, 3}),
      {"gaussian_kl", op_function(gaussian_kl), {{4, 3}, {3}}, Domain::real, op_function(gaussian_kl_twin)},
  };
}

}  // namespace

const std::vector<OpRow>& vae_op_table() {
  static const std::vector<OpRow> table = make_table();
  return table;
}

std::vector<OpRow> op_table() {
  std::vector<OpRow> rows = autograd_op_table();
  rows.insert(rows.end(), vae_op_table().begin(), vae_op_table().end());
  return rows;
}

}  // namespace elbo
