#include "vae/parts.h"

#include <algorithm>

#include "tensor/linalg.h"

namespace elbo {
namespace {

/// For layers without a bias, whose op has one.
Tensor no_bias(const ParameterStore& store, int64_t out) {
  return Tensor::zeros(store.members() > 0 ? Shape{store.members(), out} : Shape{out}, store.dtype(),
                       store.device());
}

KeptVector<DenseLayer> made(const MakeLayers& layers) {
  KeptVector<DenseLayer> all;
  for (const auto& make : layers) all.push_back(make());
  return all;
}

/// The branch of a body and two heads, of one layer each, or none where that is not what they are.
std::optional<DenseBranch> with_heads(const Network& body, const Network& one, const Network& other) {
  if (!body.layers()) return std::nullopt;
  DenseBranch branch{*body.layers(), 2};
  for (const Network* head : {&one, &other}) {
    if (!head->layers() || head->layers()->size() != 1) return std::nullopt;
    branch.layers.push_back(head->layers()->front());
  }
  return branch;
}

/// Both heads of what the body gives.
template <class Both>
Part<Both> body_with_heads(Network body, Network one, Network other) {
  if (const auto branch = with_heads(body, one, other))
    return {[layers = branch->layers](const Variable& x, Mode) {
              const KeptVector<Variable> heads = dense_layers(x, made(layers), 2);
              return Both{heads[0], heads[1]};
            },
            {{*branch}}};
  return
      [body = std::move(body), one = std::move(one), other = std::move(other)](const Variable& x, Mode mode) {
        const Variable h = body(x, mode);
        return Both{one(h, mode), other(h, mode)};
      };
}

/// What two networks are that read the same, of which the second may be missing; no branches where they are
/// not made of dense layers.
DenseForm form_of(const Network& one, const Network& other) {
  if (!one.layers() || one.layers()->empty()) return {};
  DenseForm form{{{*one.layers()}}, other.constant()};
  if (!other || other.constant()) return form;
  if (!other.layers() || other.layers()->empty()) return {};
  form.branches.push_back({*other.layers()});
  return form;
}

}  // namespace

Network Network::constant(std::function<Variable()> make) {
  Network network;
  network.constant_ = std::move(make);
  return network;
}

Variable Network::operator()(const Variable& x, Mode mode) const {
  if (layers_) return dense_layers(x, made(*layers_)).front();
  if (constant_) return constant_();
  return function_(x, mode);
}

Network network(const Linear& layer) {
  return Network(MakeLayers{[layer] { return layer.layer(); }});
}

Network network(const Sequential& layers) {
  MakeLayers all;
  for (const Linear& layer : layers.layers()) all.push_back([layer] { return layer.layer(); });
  return Network(std::move(all));
}

Variable for_rows(Parameter& row, const Variable& x) {
  const Shape& own = row.value.shape();
  if (own.rank() < 2) return row;
  Shape shape{own[0]};
  for (int axis = 2; axis < std::max(x.rank(), 3); ++axis) shape.push_back(1);
  shape.push_back(own[1]);
  return reshape(row, shape);
}

Network network(Activation activation) {
  return [activation](const Variable& x, Mode) { return activate(activation, x); };
}

Network chain(std::vector<Network> networks) {
  std::vector<Network> joined;  // dense layers that follow each other are one network
  for (Network& each : networks) {
    if (joined.empty() || !joined.back().layers() || !each.layers()) {
      joined.push_back(std::move(each));
      continue;
    }
    MakeLayers both = *joined.back().layers();
    both.insert(both.end(), each.layers()->begin(), each.layers()->end());
    joined.back() = Network(std::move(both));
  }
  if (joined.empty()) return Network(MakeLayers());
  if (joined.size() == 1) return std::move(joined.front());
  return [networks = std::move(joined)](Variable x, Mode mode) {
    for (const Network& each : networks) x = each(x, mode);
    return x;
  };
}

Network beside(std::vector<Network> networks) {
  return [networks = std::move(networks)](const Variable& x, Mode mode) {
    std::vector<Variable> outputs;
    for (const Network& each : networks) outputs.push_back(each(x, mode));
    return concat(outputs, -1);
  };
}

Network unit_columns(ParameterStore& store, const std::string& name, int64_t in, int64_t out,
                     Initializer weight, Activation activation) {
  Parameter& w = store.add(name + ".weight", {out, in}, weight);
  Parameter& bias = store.add(name + ".bias", {out}, {});
  return Network(MakeLayers{[&w, &bias, activation] {
    const Variable columns = w;
    return DenseLayer{columns / sqrt(sum(square(columns), {-2}, true)), bias, activation};
  }});
}

Network cholesky_map(ParameterStore& store, const std::string& name, int64_t size, Initializer factor,
                     double floor) {
  Parameter& a = store.add(name + ".factor", {size, size}, factor);
  const Variable least = Variable(identity_matrix(size, store.dtype(), store.device())) * floor;
  return Network(MakeLayers{[&a, least, none = no_bias(store, size)] {
    return DenseLayer{cholesky_factor(matmul_nt(a, a) + least), none};
  }});
}

Network same_for_all(ParameterStore& store, const std::string& name, int64_t size, double start) {
  Parameter& row = store.add(name, {size}, {.value = start});
  return [&row](const Variable& x, Mode) { return for_rows(row, x); };
}

Network one_number(ParameterStore& store, const std::string& name, double start) {
  return Network::constant([&number = store.add(name, {1}, {.value = start})] { return Variable(number); });
}

Encoder encoder_of(Network mean, Network log_variance) {
  DenseForm form = form_of(mean, log_variance);
  return {[mean = std::move(mean), log_variance = std::move(log_variance)](const Variable& x, Mode mode) {
            return Posterior{mean(x, mode), log_variance(x, mode)};
          },
          std::move(form)};
}

Encoder encoder_of(Network body, Network mean, Network log_variance) {
  return body_with_heads<Posterior>(std::move(body), std::move(mean), std::move(log_variance));
}

Decoder decoder_of(Network mean, Network log_variance) {
  DenseForm form = form_of(mean, log_variance);
  return {[mean = std::move(mean), log_variance = std::move(log_variance)](const Variable& z, Mode mode) {
            return Observation{mean(z, mode), log_variance ? log_variance(z, mode) : Variable()};
          },
          std::move(form)};
}

Decoder decoder_of(Network body, Network mean, Network log_variance) {
  if (!log_variance) return decoder_of(chain({std::move(body), std::move(mean)}), nullptr);
  return body_with_heads<Observation>(std::move(body), std::move(mean), std::move(log_variance));
}

Prior learned_prior(ParameterStore& store, int64_t latent, const std::string& name) {
  Parameter& log_variance = store.add(name, {latent}, {});
  return {[&log_variance] { return Variable(log_variance); }};
}

Variable cholesky_factor(const Variable& a) {
  if (a.rank() < 2 || a.size(-1) != a.size(-2))
    fail("[cholesky_factor] a must be (..., n, n), got {}", a.shape().str());
  const int64_t n = a.size(-1);
  const Shape front = a.shape().drop_back(2);
  std::vector<Variable> columns;
  Variable rest = a;  // what the columns so far leave of a, without their rows and columns
  for (int64_t j = 0; j < n; ++j) {
    const Variable first = slice(rest, -1, 0, 1);
    const Variable column = first / sqrt(slice(first, -2, 0, 1));
    const Variable above = Tensor::zeros(front.concatenated({j, 1}), a.dtype(), a.value().device());
    columns.push_back(j > 0 ? concat({above, column}, -2) : column);
    if (j + 1 == n) break;
    const Variable below = slice(column, -2, 1, n - j);
    rest = slice(slice(rest, -1, 1, n - j), -2, 1, n - j) - matmul_nt(below, below);
  }
  return concat(columns, -1);
}

}  // namespace elbo
