// A trained model as a command opens it: the file, or a run directory that holds it, and the data to use it
// on. Its model card says what the user does not; what the user names comes first.
#pragma once

#include <memory>
#include <optional>

#include "apps/training/model_card.h"
#include "vae/deep_vae.h"
#include "vae/linear_vae.h"

namespace elbo {

struct SavedModelOptions {
  std::string model;            ///< run directory or .safetensors file
  int64_t member = -1;          ///< of a run with several; -1: the best
  std::string split = "train";  ///< of the data
  std::string factors;  ///< .npy file of what the data were made from; empty: as the data know themselves
  DataOptions data;
  RunOptions run;
  /// What a file that has lost its metadata does not say of the network; empty, or 0: it does.
  std::string likelihood, activation, encoder_activation, network;
  int64_t channels = 0;
  std::vector<Argument> given;  ///< to tell a chosen value from a default
};

/// The model, --member, the options of data and run, and what a file without a model card needs.
void add_saved_model_options(Arguments& arguments, SavedModelOptions& options);
/// --factors, for commands that say what units tell of them.
void add_factor_option(Arguments& arguments, SavedModelOptions& options);

struct SavedModel {
  std::string path;                        ///< of the file
  std::optional<ModelCard> card;           ///< nothing where the user had to say what it says
  std::unique_ptr<Vae> vae;                ///< a linear one is a deep one without hidden layers
  std::optional<LinearVaeWeights> linear;  ///< where it is a linear one
  DataOptions named;                       ///< the data, as they were found and preprocessed
  uint64_t seed = 0;                       ///< of everything random: the user's, or else the model's
  LoadedData data;
  bool own_source = false;  ///< whether the data are of the source that its card names
  /// Whether the data are those that it was trained on.
  bool on_its_own_data() const { return card && card->fingerprint == data.dataset.fingerprint; }
};

/// What a command wants of the data.
enum class DataNeed {
  points,
  shape,  ///< what a picture of them looks like, which the card knows: no data are read unless named
};

/// Opens model and data, which fit each other (apps/training/model_input.h). Throws with one line that says
/// what is missing, and which options supply it, for a file without a model card.
SavedModel open_saved_model(const SavedModelOptions& options, DataNeed need, Device device = Device::cpu);

}  // namespace elbo
