// The VAEs of Asperti 2019: dense (section 3) and convolutional (Fig 4), and what its section 5 takes out of
// their loss. Ensembles that see the same data.
//
//   auto vae = asperti_vae({.dimensions = 784, .members = 10}, seed);     // 784-256-64-32-16
//   Training training(vae->parameters(), {{.loss = asperti_loss(*vae), .steps = 23450}},
//                     shuffled_batches(x, 128, seed), {.seed = seed});
//
// The paper states neither the output, nor the loss's scale, nor how weights begin. Here the mean of x, in
// [0, 1], is a sigmoid; the loss is |x - mean|^2 + lambda KL, in nats the ELBO with sigma^2 held at lambda /
// 2; every weight begins by Glorot's rule, the heads' too, and every bias at 0. (DeepVae, the command line's
// model, begins next to the prior instead, and other numbers of units are active in the end.)
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "vae/elbo_loss.h"
#include "vae/vae.h"

namespace elbo {

struct AspertiOptions {
  int64_t dimensions = 0, latent = 16;
  std::vector<int64_t> hidden{256, 64, 32};  ///< of the encoder; the decoder mirrors them. ReLU
  std::optional<ImageSize> conv{};           ///< Fig 4's layers instead, for these images
  double lambda = 0.7;                       ///< weight of the KL beside the squared error
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t members = 0, first_member = 0;
};

/// Throws for sizes and a lambda that are not positive, and images that Fig 4 is not for.
std::unique_ptr<Vae> asperti_vae(const AspertiOptions& options, uint64_t seed);

/// What of the KL the loss has (section 5).
enum class KlPart {
  whole,
  mean,  ///< "just the quadratic penalty": 1/2 mu^2 of each unit
  none,
};
/// Minus the objective with that part, nats per data point; its probes are elbo_loss's first two.
Loss asperti_loss(Vae& vae, KlPart part = KlPart::whole);

}  // namespace elbo
