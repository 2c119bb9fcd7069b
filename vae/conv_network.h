// The convolutional networks of the papers, as plans of layers for an encoder and the decoder that mirrors
// it.
//
//   DeepVae vae({.dimensions = 12288, .latent = 10, .conv = ConvNetwork{.image = {64, 64, 3}}}, seed);
//   const ConvPlan plan = plan_of({.design = ConvDesign::asperti, .image = {28, 28, 1}}, 16);
#pragma once

#include <string_view>

#include "nn/image_layers.h"

namespace elbo {

enum class ConvDesign {
  /// Higgins et al. 2017, as Lucas et al. 2019 use it for CelebA: 4x4 convolutions with stride 2 and ReLU,
  /// from 64x64 to 4x4 pixels, then 8 times `width` features. 32x32 images need a layer fewer; 28x28 ones end
  /// in a 3x3 kernel, as 7 is odd.
  higgins,
  /// Asperti 2019, Fig. 4, for 28x28 images: 3x3 and 2x2 convolutions in pairs with batch normalisation.
  /// Keras pads the 3x3 ones of stride 2 at the end only, these on both sides; sizes and numbers of
  /// parameters are the same.
  asperti,
};
/// "higgins", "asperti"; anything else is an Error.
ConvDesign parse_conv_design(std::string_view text);
const char* name(ConvDesign design);

struct ConvNetwork {
  ConvDesign design = ConvDesign::higgins;
  ImageSize image{};   ///< of x
  int64_t width = 32;  ///< channels that the layers' numbers of channels are multiples of; 32 in both papers
};

struct ConvPlan {
  std::vector<ImageLayerPlan> encoder;  ///< from the image to features on one pixel
  std::vector<ImageLayerPlan> decoder;  ///< from z on one pixel to the image
  int64_t features = 0;                 ///< that the encoder's heads read
};

/// Throws for images that the design is not for.
ConvPlan plan_of(const ConvNetwork& network, int64_t latent);

/// The images at every layer of a plan, the first being what it is given.
std::vector<ImageSize> sizes_along(const std::vector<ImageLayerPlan>& plan, ImageSize size);

}  // namespace elbo
