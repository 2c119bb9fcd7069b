// The five ways of training that Yacoby et al. compare, each over its grid of settings (appendix E), on one
// interface: phases of a training, and what a restart is judged by on validation data.
//
// What the paper does not say is chosen here: annealing takes the first third of the steps; a segment of a
// lagging network is half encoder alone, half both; the encoder's start in LiBI's second step (vae/libi.h).
#pragma once

#include <string>
#include <vector>

#include "apps/yacoby/restarts.h"
#include "vae/libi.h"

namespace elbo::yacoby {

enum class Method { vae, beta, anneal, lagging, libi };
/// "vae", "beta", ...; anything else is an Error that lists them.
Method parse_method(std::string_view text);
const char* name(Method method);
const char* title(Method method);  ///< as in Table 1
const std::vector<Method>& all_methods();

struct Setting {
  Method method = Method::vae;
  double beta = 1;                                   ///< beta, anneal
  int64_t segments = 0;                              ///< lagging: R
  int64_t repetitions = 1;                           ///< libi: R
  double eps_hz = 1, eps_sigma = 0.5, eps_mu = 0.5;  ///< libi
};
std::string key_of(const Setting& setting);    ///< "beta-0.5"
std::string title_of(const Setting& setting);  ///< "β-VAE, β = 0.5"

/// The settings that the paper tries. HZ does not change under an invertible linear map, so for LinearJTEx,
/// whose encoder is one, it is constant and eps_HZ has one value.
std::vector<Setting> grid_of(const DataKind& kind, Method method);

/// Throws, naming --epochs, where so many steps cannot be divided among the setting's phases.
void check_length(const Setting& setting, int64_t steps);

/// What stands for so many steps at a rate; LiBI's repetitions are compared on each member's validation data.
std::vector<Phase> phases_of(const Setting& setting, Vae& vae, int64_t steps, double rate,
                             const Tensor& validation);

/// What the method itself would have as high as possible, on validation data (M, N, D), of each member, nats
/// per data point: expected log-likelihood - β KL by 100 draws of z, or minus LiBI's Eq. 44 after the first
/// step of the repetition that is kept.
std::vector<double> scores_of(const Setting& setting, Vae& vae, const Training& training,
                              const Tensor& validation, uint64_t seed);

}  // namespace elbo::yacoby
