// ModelCard: what a model file says of the data that its model was trained on, so that the file alone is
// enough to use it, and to judge what is measured of it.
//
// JSON in the metadata of the file, under "card"; what network it is stands beside it (vae/deep_vae_file.h).
// A file that other software has saved again has lost both.
#pragma once

#include <map>
#include <optional>

#include "apps/training/options.h"
#include "nn/safetensors.h"

namespace elbo {

struct ModelCard {
  std::string version;  ///< of elbo
  int64_t member = 0;   ///< which of the ensemble it was; its noise follows from that
  std::string data;     ///< as DataOptions name them
  int64_t limit = 0, subset = 0;
  Division division{};  ///< what was held out of the training points
  std::string divided;  ///< fingerprint of what that was cut from; empty where nothing was
  uint64_t seed = 0;    ///< of the data and their noise
  int64_t points = 0, dimensions = 0;
  int64_t height = 0, width = 0, channels = 0;  ///< (H, W, C); 0 where the points are no images
  bool pixels = false;                          ///< whether they were 8-bit pixels before preprocessing,
  bool binary = false;                          ///< and of these only 0 and 1
  std::string fingerprint;                      ///< of what it was trained on
  Preprocessing preprocessing;
  /// Why its ELBO need not be the sum of its entropies (vae/entropy_gauge.h), empty where it must; nothing
  /// where the card does not say.
  std::optional<std::string> entropies_obstacle = {};
};

/// The card of a model trained on these data, which `options` named.
ModelCard card_of(const DataOptions& options, const LoadedData& data, int64_t member = 0);

/// The card of a model trained on so many points of a seed's toy, whose name is that of a data set.
ModelCard card_of_toy(const std::string& name, int64_t run, int64_t points, uint64_t seed);

/// As a file's metadata, and back: nothing where a file has none. Throws for a card that makes no sense.
std::map<std::string, std::string> metadata_of(const ModelCard& card);
std::optional<ModelCard> card_in(const SafetensorsFile& file);

Json to_json(const ModelCard& card);
Json to_json(const Preprocessing& preprocessing);
Preprocessing preprocessing_from(const Json& json);

/// The data as the card knows them, without a point: shape and preprocessing, for what a model makes up.
LoadedData without_points(const ModelCard& card);

}  // namespace elbo
