// Rows of the op table for every op of ops.h; gradcheck.h says what is checked.
#include "autograd/activation.h"
#include "autograd/gradcheck.h"

namespace elbo {
namespace {

using In = const std::vector<Variable>&;

OpRow unary(const char* name, Variable (*op)(const Variable&), Domain domain) {
  return {name, op_function(op), {{3, 5}}, domain};
}

OpRow binary(const char* name, Variable (*op)(const Variable&, const Variable&), Shape a, Shape b,
             Domain domain = Domain::real) {
  return {name, op_function(op), {a, b}, domain};
}

OpRow reduction(const char* name, Variable (*op)(const Variable&, const Axes&, bool), Axes axes, bool keep,
                Domain domain = Domain::real) {
  return {name, [=](In in) { return std::vector{op(in[0], axes, keep)}; }, {{2, 3, 4}}, domain};
}

OpRow layer(Activation activation, Shape x, Shape weight, Shape bias) {
  return {"linear",
          [=](In in) { return std::vector{linear(in[0], in[1], in[2], activation)}; },
          {x, weight, bias},
          Domain::real,
          nullptr};
}

/// The fused layer beside its definition.
OpRow layer_and_twin(Activation activation) {
  OpRow row = layer(activation, {4, 3}, {2, 3}, {2});
  row.twin = [=](In in) { return std::vector{activate(activation, matmul_nt(in[0], in[1]) + in[2])}; };
  return row;
}

/// Layers as one op beside one `linear` after another. The inputs are x, and a weight and a bias for each.
OpRow layers_and_twin(std::vector<Activation> activations, std::vector<Shape> shapes, int64_t heads = 1) {
  const auto apply = [=](In in, auto op) {
    std::vector<DenseLayer> layers;
    for (size_t l = 0; l < activations.size(); ++l)
      layers.push_back({in[1 + 2 * l], in[2 + 2 * l], activations[l]});
    const KeptVector<Variable> outputs = op(in[0], std::span<const DenseLayer>(layers), heads);
    return std::vector<Variable>(outputs.begin(), outputs.end());
  };
  return {"dense_layers", [=](In in) { return apply(in, dense_layers); }, std::move(shapes), Domain::real,
          [=](In in) { return apply(in, dense_layers_twin); }};
}

/// A convolution with an activation, beside itself without and the activation after.
OpRow image_layer(bool transposed, ConvOptions options, Activation activation, Shape x, Shape weight,
                  Shape bias) {
  const auto apply = [=](In in, Activation with) {
    return transposed ? conv_transpose2d(in[0], in[1], in[2], options, with)
                      : conv2d(in[0], in[1], in[2], options, with);
  };
  return {transposed ? "conv_transpose2d" : "conv2d",
          [=](In in) { return std::vector{apply(in, activation)}; },
          {x, weight, bias},
          Domain::real,
          [=](In in) { return std::vector{activate(activation, apply(in, Activation::none))}; }};
}

/// Batch normalisation, beside the plain ops that define it.
OpRow normalisation(Shape x, Shape of_channels) {
  const bool members = of_channels.rank() == 2;
  return {"batch_norm",
          [=](In in) { return std::vector{batch_norm(in[0], in[1], in[2]).y}; },
          {x, of_channels, of_channels},
          Domain::real,
          [=](In in) {
            const Shape kept = members ? Shape{of_channels[0], 1, of_channels[1]} : Shape{1, of_channels[0]};
            const Variable rows =
                reshape(in[0], members ? Shape{x[0], x.elements() / of_channels.elements(), x[x.rank() - 1]}
                                       : Shape{x.elements() / x[x.rank() - 1], x[x.rank() - 1]});
            const Variable distance = rows - mean(rows, {-2}, true);
            const Variable deviation = sqrt(mean(square(distance), {-2}, true) + 1e-5);
            return std::vector{
                reshape(distance / deviation * reshape(in[1], kept) + reshape(in[2], kept), in[0].shape())};
          }};
}

std::vector<OpRow> make_table() {
  std::vector<OpRow> rows{
      // Broadcasting in every direction: rows, columns, scalars, missing axes, both sides at once.
      binary("add", add, {3, 5}, {3, 5}),
      binary("add", add, {3, 5}, {5}),
      binary("add", add, {2, 1, 4}, {3, 1}),
      binary("sub", sub, {3, 5}, {3, 1}),
      binary("sub", sub, {4}, {2, 3, 4}),
      binary("mul", mul, {3, 5}, {3, 5}),
      binary("mul", mul, {2, 3, 4}, {3, 1}),
      binary("mul", mul, {3, 5}, {}),
      binary("div", div, {3, 5}, {3, 5}, Domain::positive),
      binary("div", div, {3, 1}, {1, 5}, Domain::positive),
      unary("neg", neg, Domain::real),
      {"affine", [](In in) { return std::vector{affine(in[0], -2.5, 0.75)}; }, {{3, 5}}},
      unary("square", square, Domain::real),
      unary("sqrt", sqrt, Domain::positive),
      unary("exp", exp, Domain::real),
      unary("log", log, Domain::positive),
      {"pow", [](In in) { return std::vector{pow(in[0], 2.5)}; }, {{3, 5}}, Domain::positive},
      {"pow", [](In in) { return std::vector{pow(in[0], 3)}; }, {{3, 5}}, Domain::off_kinks},
      unary("abs", abs, Domain::off_kinks),
      {"clamp", [](In in) { return std::vector{clamp(in[0], -1, 1)}; }, {{3, 5}}, Domain::off_kinks},
      unary("relu", relu, Domain::off_kinks),
      {"leaky_relu", [](In in) { return std::vector{leaky_relu(in[0], 0.2)}; }, {{3, 5}}, Domain::off_kinks},
      unary("elu", elu, Domain::off_kinks),
      unary("softplus", softplus, Domain::real),
      unary("sigmoid", sigmoid, Domain::real),
      unary("tanh", tanh, Domain::real),
      unary("cbrt", cbrt, Domain::off_kinks),
      unary("cube", cube, Domain::real),

      {"activate",
       [](In in) { return std::vector{activate(Activation::elu, in[0])}; },
       {{3, 5}},
       Domain::off_kinks,
       [](In in) { return std::vector{elu(in[0])}; }},

      // Products: plain, batched, a batch broadcast against one matrix, and against another batch.
      binary("matmul", matmul, {3, 4}, {4, 5}),
      binary("matmul", matmul, {2, 3, 4}, {4, 5}),
      binary("matmul", matmul, {2, 1, 3, 4}, {3, 4, 2}),
      binary("matmul_nt", matmul_nt, {3, 4}, {5, 4}),
      binary("matmul_nt", matmul_nt, {3, 4}, {2, 5, 4}),
      binary("matmul_tn", matmul_tn, {4, 3}, {4, 5}),
      binary("matmul_tn", matmul_tn, {2, 4, 3}, {2, 4, 5}),
      binary("matmul_tt", matmul_tt, {4, 3}, {5, 4}),
      binary("matmul_tt", matmul_tt, {2, 4, 3}, {5, 4}),

      // Layers: extra leading axes; members with inputs of their own; members sharing one input.
      layer(Activation::tanh, {2, 2, 3}, {4, 3}, {4}),
      layer(Activation::tanh, {2, 5, 3}, {2, 4, 3}, {2, 4}),
      layer(Activation::none, {5, 3}, {2, 4, 3}, {2, 4}),
      layer(Activation::sigmoid, {2, 5, 2, 3}, {2, 4, 3}, {2, 4}),

      // Layers as one op: widths below, at and above those of a register; rows beyond a block; heads with and
      // without activations; members with inputs of their own, with axes between, and sharing one input; a
      // layer that is too wide.
      layers_and_twin({Activation::tanh, Activation::none}, {{5, 3}, {4, 3}, {4}, {2, 4}, {2}}),
      layers_and_twin({Activation::softplus, Activation::sigmoid, Activation::none},
                      {{53, 2}, {9, 2}, {9}, {16, 9}, {16}, {3, 16}, {3}}),
      layers_and_twin({Activation::sigmoid, Activation::none, Activation::tanh},
                      {{7, 3}, {5, 3}, {5}, {2, 5}, {2}, {4, 5}, {4}}, 2),
      layers_and_twin({Activation::none, Activation::softplus}, {{3, 2, 4}, {2, 4}, {2}, {3, 4}, {3}}, 2),
      layers_and_twin({Activation::tanh, Activation::tanh},
                      {{2, 5, 3}, {2, 4, 3}, {2, 4}, {2, 3, 4}, {2, 3}}),
      layers_and_twin({Activation::sigmoid, Activation::none},
                      {{2, 3, 2, 3}, {2, 4, 3}, {2, 4}, {2, 3, 4}, {2, 3}}),
      layers_and_twin({Activation::tanh, Activation::none}, {{5, 3}, {2, 4, 3}, {2, 4}, {2, 3, 4}, {2, 3}}),
      layers_and_twin({Activation::tanh, Activation::none}, {{2, 1}, {130, 1}, {130}, {1, 130}, {1}}),

      // Convolutions: strides and padding that leave pixels over, kernels that are not square or see all of
      // the image, members with images of their own, members sharing them.
      image_layer(false, {}, Activation::none, {2, 3, 4, 2}, {3, 2, 2, 2}, {3}),
      image_layer(false, {.stride = 2, .padding = 1}, Activation::tanh, {2, 5, 4, 2}, {3, 3, 2, 2}, {3}),
      image_layer(false, {.stride = 2, .padding = 1}, Activation::relu, {2, 4, 4, 2}, {3, 4, 4, 2}, {3}),
      image_layer(false, {}, Activation::sigmoid, {2, 2, 3, 2}, {3, 2, 3, 2}, {3}),
      image_layer(false, {.stride = 1, .padding = 1}, Activation::softplus, {2, 2, 3, 3, 1}, {2, 2, 2, 2, 1},
                  {2, 2}),
      image_layer(false, {}, Activation::tanh, {2, 3, 3, 1}, {2, 2, 2, 2, 1}, {2, 2}),
      image_layer(true, {}, Activation::none, {2, 2, 3, 2}, {2, 2, 2, 3}, {3}),
      image_layer(true, {.stride = 2, .padding = 1, .output_padding = 1}, Activation::tanh, {2, 2, 3, 2},
                  {2, 3, 2, 2}, {2}),
      image_layer(true, {.stride = 2, .padding = 1}, Activation::relu, {2, 2, 2, 2}, {2, 4, 4, 3}, {3}),
      image_layer(true, {}, Activation::elu, {3, 1, 1, 4}, {4, 2, 3, 2}, {2}),
      image_layer(true, {.stride = 2}, Activation::sigmoid, {2, 2, 2, 2, 1}, {2, 1, 2, 2, 2}, {2, 2}),
      image_layer(true, {.stride = 2}, Activation::tanh, {2, 2, 2, 1}, {2, 1, 2, 2, 2}, {2, 2}),
      normalisation({3, 2, 2, 4}, {4}),
      normalisation({2, 3, 2, 4}, {2, 4}),
      {"upsample", [](In in) { return std::vector{upsample(in[0], 2)}; }, {{2, 2, 3, 2}}},
      {"flatten", [](In in) { return std::vector{flatten(in[0])}; }, {{2, 3, 2}}},

      reduction("sum", sum, {}, false),
      reduction("sum", sum, {1}, true),
      reduction("sum", sum, {0, -1}, false),
      reduction("mean", mean, {}, false),
      reduction("mean", mean, {-1}, false),
      reduction("max", max, {}, false, Domain::distinct),
      reduction("max", max, {0, 2}, true, Domain::distinct),
      reduction("logsumexp", logsumexp, {}, false),
      reduction("logsumexp", logsumexp, {1}, true),
      reduction("logsumexp", logsumexp, {2}, false),

      {"reshape",
       [](In in) {
         return std::vector{reshape(in[0], {4, 6})};
       },
       {{2, 3, 4}}},
      {"slice", [](In in) { return std::vector{slice(in[0], 0, 1, 3)}; }, {{4, 3}}},
      {"slice", [](In in) { return std::vector{slice(in[0], -1, 0, 2)}; }, {{2, 3, 4}}},
      {"concat",
       [](In in) {
         return std::vector{concat({in[0], in[1], in[0]}, 1)};
       },
       {{2, 3}, {2, 2}}},
      {"split",
       [](In in) {
         return split(in[0], 1, {2, 0, 3});
       },
       {{3, 5}}},
      {"broadcast_to",
       [](In in) {
         return std::vector{broadcast_to(in[0], {2, 3, 4})};
       },
       {{3, 1}}},
      {"gather_rows",
       [](In in) {
         return std::vector{gather_rows(in[0], Tensor::from<int64_t>({4}, {2, 0, 2, 1}))};
       },
       {{3, 2}}},
      // Finite differences see through the stop, so the stopped part is multiplied by 0 here; tape_test has
      // the rest.
      {"stop_gradient",
       [](In in) { return std::vector{stop_gradient(exp(in[0])) * 0.0 + square(in[0])}; },
       {{3, 5}}},
  };
  // Layers of one network, with every activation.
  for (size_t i = 0; i < kActivations; ++i) rows.push_back(layer_and_twin(static_cast<Activation>(i)));
  return rows;
}

}  // namespace

const std::vector<OpRow>& autograd_op_table() {
  static const std::vector<OpRow> table = make_table();
  return table;
}

}  // namespace elbo
