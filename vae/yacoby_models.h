// The VAEs of Yacoby et al. ("Characterizing and avoiding problematic global optima of variational
// autoencoders", appendix E): mean-field posteriors, decoders of the form of the models that made the data,
// with their noise, and encoders as printed. In f64.
//
//   const ToySets data = draw_sets(linear_jtex_toys(), {.sets = 10, .train = 500, .test = 500, .dtype =
//   DType::f64}); auto vae = yacoby_vae(YacobyModel::linear_jtex, data.toys[0].truth, {.members = 10}, 7);
//   Training training(vae->parameters(), {{.loss = elbo_loss(*vae), .steps = 30000, .rates = {0.01}}},
//                     whole_set(data.train), {.seed = 7});
//
// All that the encoder learns is called "encoder...", all that the decoder does "decoder..."; "log_sigma2"
// is held. How layers start is not said: as the authors' frameworks start them, uniform on +-1 /
// sqrt(inputs); JTEx's A with standard normal elements, whose size is the truth's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "vae/linear_gaussian.h"
#include "vae/parts.h"

namespace elbo {

enum class YacobyModel {
  linear_jtex,  ///< x|z = Cholesky(A A^T + B) z; a linear encoder
  cubic_jtex,   ///< its cubes; an encoder 2-(2 sigmoid, 2 cube root)-20 ReLU-heads
  gaussian,     ///< x|z = W z without a bias, 2 to 4; a linear encoder
  mobius,       ///< x|z a 2-50-2 ReLU network; an encoder 2-50 ReLU-heads
};
/// "linear-jtex", "cubic-jtex", "gaussian", "mobius", as the toys are called; anything else is an Error.
YacobyModel parse_yacoby_model(std::string_view text);
const char* name(YacobyModel model);

struct YacobyOptions {
  Device device = Device::cpu;
  int64_t members = 0, first_member = 0;
};

/// What a model that made data is known by: "noise_variance" (), for JTEx "floor" (), and the numbers of its
/// decoder by name ("factor" for "decoder.factor").
using YacobyTruth = std::map<std::string, Tensor>;

/// Takes from the truth what is given: the noise, and B. Throws where it is missing.
std::unique_ptr<Vae> yacoby_vae(YacobyModel model, const YacobyTruth& truth, const YacobyOptions& options,
                                uint64_t seed);

/// Sets every member's decoder to the model that made the data, as for phi_GT. Throws where the truth does
/// not have its numbers.
void set_decoder(Vae& vae, const YacobyTruth& truth);

/// A member's decoder as a linear Gaussian model. Throws unless it is of LinearJTEx or Gaussian.
LinearGaussian linear_gaussian_of(const Vae& vae, int64_t member = 0);

}  // namespace elbo
