// A trained model as a command opens it: a run directory, which knows its data, or a model file and the data
// named.
#pragma once

#include <memory>

#include "apps/options.h"
#include "nn/safetensors.h"
#include "vae/deep_vae.h"

namespace elbo {

struct SavedModelOptions {
  std::string model;    ///< run directory or .safetensors file
  int64_t member = -1;  ///< of a run with several; -1: the best, as its result.json says
  std::string factors;  ///< .npy file of what the data were made from; empty: as the data know themselves
  DataOptions data;
  RunOptions run;
  std::vector<CLI::Option*> data_given;  ///< to tell a chosen value from a default
};

/// The model, --member, and the options of data and run.
void add_saved_model_options(CLI::App& app, SavedModelOptions& options);
/// --factors, for commands that say what units tell of them.
void add_factor_option(CLI::App& app, SavedModelOptions& options);

struct SavedModel {
  SafetensorsFile file;
  std::string directory;  ///< of the run; empty for a file
  DataOptions data;       ///< the run's, but for what the user named
  uint64_t seed = 0;
};
SavedModel open_saved_model(const SavedModelOptions& options);

/// The deep VAE of it, on the CPU unless told otherwise, and its data. Throws for another kind of model, or
/// data of another dimension or factors of other points.
struct DeepModelWithData {
  SavedModel saved;
  std::unique_ptr<DeepVae> vae;
  LoadedData data;
};
DeepModelWithData open_deep_model(const SavedModelOptions& options, Device device = Device::cpu);

}  // namespace elbo
