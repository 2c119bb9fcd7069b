// What parts of a VAE are made of: networks, and encoders, priors and decoders put together from them.
//
// A network is a function of rows with parameters of its own in a store. Layers of nn/ are networks, a
// formula in plain ops is one, and so is one network after another. Each maker declares its parameters under
// a name, with the store's member axis; to keep some as they are given, tell the store
// (ParameterStore::hold).
//
//   .encoder = encoder_of(network(Linear(store, "encoder.mean", 10, 2, {})),       // a linear mean
//                         same_for_all(store, "encoder.log_variance", 2))           // and a global variance
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "nn/layers.h"
#include "vae/vae.h"

namespace elbo {

/// x (N, in), seen by every member, or (M?, ..., N, in) -> (M?, ..., N, out). Any function is one; what is
/// made of dense layers says so, since several of them are one op (`dense_layers`).
class Network {
 public:
  using Function = std::function<Variable(const Variable& x, Mode mode)>;

  Network() = default;  ///< none, which is false
  Network(std::nullptr_t) {}
  template <class F>
  requires std::is_convertible_v<F, Function> Network(F function) : function_(std::move(function)) {}
  explicit Network(MakeLayers layers) : layers_(std::move(layers)) {}
  /// The same whatever x is, made anew for every call.
  static Network constant(std::function<Variable()> make);

  Variable operator()(const Variable& x, Mode mode) const;
  explicit operator bool() const { return function_ || layers_ || constant_; }
  /// Null where it is not made of dense layers; none where it depends on x.
  const MakeLayers* layers() const { return layers_ ? &*layers_ : nullptr; }
  const std::function<Variable()>& constant() const { return constant_; }

 private:
  Function function_;
  std::optional<MakeLayers> layers_;
  std::function<Variable()> constant_;
};

/// Layers of nn/ as a network. The mode is told to those that ask for it.
Network network(const Linear& layer);
Network network(const Sequential& layers);
template <class Layers>
Network network(Layers layers) {
  return [layers = std::move(layers)](const Variable& x, Mode mode) {
    if constexpr (std::is_invocable_v<const Layers&, const Variable&, Mode>)
      return layers(x, mode);
    else
      return layers(x);
  };
}
/// The activation of every number.
Network network(Activation activation);
/// One after another.
Network chain(std::vector<Network> networks);
/// All of the same x, their outputs side by side.
Network beside(std::vector<Network> networks);

/// A parameter of one row, (size) or (M, size), as it broadcasts to networks' rows: (size), or (M, 1, ...,
/// size) with an axis for each that is between the members and the numbers of a row.
Variable for_rows(Parameter& row, const Variable& x);

/// x (W / |columns of W|)^T + b, after an activation: a layer whose matrix has columns of length 1. Declares
/// `name`.weight, the W (out, in), and `name`.bias.
Network unit_columns(ParameterStore& store, const std::string& name, int64_t in, int64_t out,
                     Initializer weight, Activation activation = Activation::none);
/// x L^T, L L^T = A A^T + floor I with L lower triangular. Declares A, `name`.factor (size, size).
Network cholesky_map(ParameterStore& store, const std::string& name, int64_t size, Initializer factor,
                     double floor = 0);
/// The same numbers for every row, parameters that begin at `start`, as for_rows gives them. Declares `name`.
Network same_for_all(ParameterStore& store, const std::string& name, int64_t size, double start = 0);
/// One number, (1) or (M, 1), as ln sigma^2 of the Gaussian likelihood. Declares `name`.
Network one_number(ParameterStore& store, const std::string& name, double start = 0);

/// A mean and a log variance, each with a network of its own.
Encoder encoder_of(Network mean, Network log_variance);
/// Two heads on one body.
Encoder encoder_of(Network body, Network mean, Network log_variance);
/// The same of decoders. The Bernoulli likelihood has no log variance: nullptr.
Decoder decoder_of(Network mean, Network log_variance);
Decoder decoder_of(Network body, Network mean, Network log_variance);

/// N(0, diag alpha^2) with ln alpha^2 learned, from 0 on. Declares `name` (latent).
Prior learned_prior(ParameterStore& store, int64_t latent, const std::string& name = "prior.log_variance");

/// The lower triangular L with L L^T = a, (..., n, n) symmetric and positive definite, in plain ops: for the
/// small matrices of formulas. Where a is not positive definite, L has NaN.
Variable cholesky_factor(const Variable& a);

}  // namespace elbo
