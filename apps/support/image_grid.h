// ImageGrid: small images side by side, as a PNG: samples, reconstructions, latent traversals.
//
//   ImageGrid grid{.name = "samples", .height = 28, .width = 28, .columns = 10};
//   grid.images = samples;                                   // (n, 784), intensities
//   Picture picture = draw(grid, run.figures());             // figures/samples.png
//   report.image(picture, "Samples from the prior.");
//
// Shows intensities as they are: no image is stretched to its own range, so that two can be compared.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace elbo {

struct ImageGrid {
  std::string name;                             ///< of the file: letters, digits, - and _
  int64_t height = 0, width = 0, channels = 1;  ///< of one image; 1 channel is grey, 3 are RGB
  int64_t columns = 10;                         ///< images in a row; with fewer images, as many as there are
  int64_t group = 0;                            ///< a wider gap after every `group` columns; 0: none
  /// (n, height * width * channels) f32, the channels of a pixel side by side. 0 is black and 1 white or full
  /// colour; what lies outside is cut off. A pixel with a NaN is magenta, in grey images too.
  Tensor images = {};
};

/// A PNG on disk: DIRECTORY/name.png.
struct Picture {
  std::string directory, name;
  std::string png;                ///< the bytes of name.png
  int64_t width = 0, height = 0;  ///< pixels
};

/// Draws name.png into the directory, which must exist. Small images are enlarged, each pixel to a square of
/// as many as fit 64 along the longer side. The same grid gives the same bytes. Throws Error, with nothing
/// written, when the sizes do not agree, there is no image, or the picture would be too large for a page; and
/// when the file cannot be written.
Picture draw(const ImageGrid& grid, const std::string& directory);

}  // namespace elbo
