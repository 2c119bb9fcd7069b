// Pictures that a deep VAE makes of images: samples, reconstructions, traversals, interpolations, each a grid
// of images with the preprocessing undone.
#pragma once

#include "apps/saved_model.h"
#include "apps/support/image_grid.h"
#include "apps/support/report.h"

namespace elbo {

/// Whether the data are images that can be drawn.
bool has_pictures(const Dataset& data);

/// `count` draws of z from the prior, decoded.
ImageGrid sample_grid(const DeepVae& vae, const LoadedData& data, int64_t count, uint64_t seed);
/// The first points of the data, each above what the model makes of its posterior mean; ten pairs a row of
/// pairs.
ImageGrid reconstruction_grid(const DeepVae& vae, const LoadedData& data, int64_t count);
/// A row for each of the `units` with the largest KL: that unit moves from -3 to 3 while the others stay at
/// the posterior mean of one point.
ImageGrid traversal_grid(const DeepVae& vae, const LoadedData& data, int64_t point, int64_t units);
/// A row for each pair of points: straight lines between their posterior means.
ImageGrid interpolation_grid(const DeepVae& vae, const LoadedData& data,
                             const std::vector<std::pair<int64_t, int64_t>>& pairs);

/// Reconstructions and samples in a report, drawn into the folder.
struct ReportedPictures {
  int64_t pairs = 30, samples = 50;
  uint64_t seed = 0;
};
void add_pictures(Report& report, const DeepVae& vae, const LoadedData& data, const std::string& folder,
                  const ReportedPictures& which);

/// What `sample`, `reconstruct`, `traverse` and `interpolate` share: their options and where the picture
/// goes.
struct PictureOptions : SavedModelOptions {
  std::string folder;  ///< empty: figures/ of the run, or here for a model file
};
void add_picture_options(CLI::App& app, PictureOptions& options);
/// Draws it and prints where it is.
void write_picture(const ImageGrid& grid, const PictureOptions& options);

}  // namespace elbo
