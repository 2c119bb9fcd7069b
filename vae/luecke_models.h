// The four VAEs of Lücke et al. ("The ELBO of VAEs converges to a sum of three entropies", section 3 and
// appendix C), as ensembles whose members may have their own data. Their loss is elbo_loss, whose probes are
// the ELBO's two terms and the three entropies.
//
//   const ToySets data = draw_sets(ring_toys(), {.sets = 100, .seed = 7});
//   auto vae = luecke_vae(LueckeModel::vae3, {.dimensions = 10, .latent = 2, .members = 100}, 7);
//   Training training(vae->parameters(), {{.loss = elbo_loss(*vae, {}, 100), .steps = 5000}},
//                     shuffled_batches(data.train, 2000, 7), {.seed = 7});
//
// Layers start as the paper's framework starts them: weights and biases uniform on +-1 / sqrt(inputs).
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "vae/parts.h"
#include "vae/ppca.h"

namespace elbo {

enum class LueckeModel {
  linear,  ///< Eqs. 29 to 32 as their listing has it: linear encoder and decoder with biases, tau and sigma
           ///< global
  vae1,    ///< Eqs. 1 to 7: networks, one sigma
  vae2,    ///< Eqs. 12 to 18: a learned prior, the decoder's first matrix with columns of length 1
  vae3,    ///< Eqs. 34 to 38: sigma_d(z) from a network of its own
};

struct LueckeOptions {
  int64_t dimensions = 0, latent = 0;   ///< D, H
  std::vector<int64_t> hidden{50, 50};  ///< ReLU layers of each network, from x or z on
  /// What is learned of a deviation that all points share (sigma; the linear model's tau), from 0 on: the
  /// number whose softplus it is, as in the paper's listing, or the logarithm of its square. It decides how
  /// long Adam, whose steps are of about the learning rate, is under way to a small sigma.
  bool softplus = true;
  std::optional<double> fixed_sigma{};  ///< holds sigma there; not for vae3
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t members = 0, first_member = 0;
};

/// Throws for sizes that are not positive, no hidden layer in vae2 or vae3, or a fixed sigma that is not
/// positive or that the model does not have.
std::unique_ptr<Vae> luecke_vae(LueckeModel model, const LueckeOptions& options, uint64_t seed);

/// The linear model's decoder, which is probabilistic PCA: its exact log-likelihood is ppca_log_likelihood.
Ppca linear_decoder(const Vae& vae, int64_t member = 0);

}  // namespace elbo
