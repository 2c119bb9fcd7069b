// Where data and model meet: everything that a model asks of the points it is given, checked in one place by
// all commands that train or use one.
#pragma once

#include "apps/training/loaded_data.h"
#include "vae/deep_vae.h"

namespace elbo {

struct ModelInput {
  int64_t dimensions = 0;            ///< D
  std::optional<ImageSize> image{};  ///< of a convolutional model, whose points are images of this size
  Likelihood likelihood = Likelihood::gaussian;
};
ModelInput input_of(const DeepVaeOptions& model);
ModelInput input_of(const Vae& model);

/// Throws unless the model can take the data: of its dimensions, images of its size where it is
/// convolutional, all between 0 and 1 where its likelihood is Bernoulli.
void check_fits(const ModelInput& model, const LoadedData& data);

}  // namespace elbo
