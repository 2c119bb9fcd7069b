// Pictures that a deep VAE makes of images: samples, reconstructions, traversals, interpolations, each a grid
// of images with the preprocessing undone.
#pragma once

#include <functional>

#include "apps/support/image_grid.h"
#include "apps/support/report.h"
#include "apps/training/saved_model.h"

namespace elbo {

/// Whether the data are images that can be drawn.
bool has_pictures(const Dataset& data);

/// `count` draws of z from the prior, decoded.
ImageGrid sample_grid(const Vae& vae, const LoadedData& data, int64_t count, uint64_t seed);
/// The first points of the data, each above what the model makes of its posterior mean; ten pairs a row of
/// pairs.
ImageGrid reconstruction_grid(const Vae& vae, const LoadedData& data, int64_t count);
/// The units with the largest KL over the first points, at most `count` of them, and what is known of each.
struct RankedUnit {
  int64_t unit = 0;
  double kl = 0;           ///< nats per data point
  std::string factor;      ///< the one that its mean tells most about; empty where none are known
  double information = 0;  ///< and how much, nats
  double entropy = 0;      ///< of that factor, nats: as much as can be told
};
std::vector<RankedUnit> rank_units(const Vae& vae, const LoadedData& data, int64_t count);
/// A row for each of these units: it moves from -3 to 3 while the others stay at the posterior mean of one
/// point.
ImageGrid traversal_grid(const Vae& vae, const LoadedData& data, int64_t point,
                         const std::vector<RankedUnit>& units);
/// A row for each pair of points: straight lines between their posterior means.
ImageGrid interpolation_grid(const Vae& vae, const LoadedData& data,
                             const std::vector<std::pair<int64_t, int64_t>>& pairs);

/// side * side images on the plane through the posterior means z1, z2, z3 of three points: z1 top left, z2
/// top right, z3 bottom left, and so z2 + z3 - z1 bottom right (Lucas et al. 2019, Fig 13).
ImageGrid plane_grid(const Vae& vae, const LoadedData& data, const std::vector<int64_t>& points,
                     int64_t side);
/// The first ten points in the top row, and in a row for each model what it makes of their posterior means. A
/// model is asked for when its row is drawn.
ImageGrid reconstructions_by_model(const std::string& name, const LoadedData& data, int64_t models,
                                   const std::function<std::unique_ptr<Vae>(int64_t)>& model);

/// Reconstructions and samples in a report, drawn into the folder.
struct ReportedPictures {
  int64_t pairs = 30, samples = 50;
  uint64_t seed = 0;
};
void add_pictures(Report& report, const Vae& vae, const LoadedData& data, const std::string& folder,
                  const ReportedPictures& which);

/// What `sample`, `reconstruct`, `traverse` and `interpolate` share: their options and where the picture
/// goes.
struct PictureOptions : SavedModelOptions {
  std::string folder;  ///< empty: figures/ of the run, or here for a model file
};
void add_picture_options(Arguments& arguments, PictureOptions& options);
/// Draws it and prints where it is, and after that `text`, or as JSON `more`.
void write_picture(const ImageGrid& grid, const PictureOptions& options, const std::string& text = "",
                   const Json& more = Json::object());

}  // namespace elbo
