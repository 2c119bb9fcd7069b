#include "vae/conv_network.h"

#include <array>

#include "tensor/file.h"

namespace elbo {
namespace {

constexpr std::array kDesigns{ConvDesign::higgins, ConvDesign::asperti};

/// A convolution of the design at hand; `in` is filled in when the layers are joined.
ImageLayerPlan layer(int64_t out, int64_t kernel, int64_t stride, int64_t padding) {
  return {.transposed = false,
          .in = 0,
          .out = out,
          .kernel = kernel,
          .options = {.stride = stride, .padding = padding, .output_padding = 0},
          .end = 0,
          .batch_norm = false,
          .activation = Activation::none};
}

std::vector<ImageLayerPlan> higgins_encoder(const ConvNetwork& network) {
  const int64_t w = network.width;
  const auto halving = [](int64_t out) { return layer(out, 4, 2, 1); };
  std::vector<ImageLayerPlan> layers;
  switch (network.image.height) {
    case 64:
      layers = {halving(w), halving(w), halving(2 * w), halving(2 * w)};
      break;
    case 32:
      layers = {halving(w), halving(2 * w), halving(2 * w)};
      break;
    default:  // 28, 14, 7, 4
      layers = {halving(w), halving(2 * w), layer(2 * w, 3, 2, 1)};
  }
  layers.push_back(layer(8 * w, 4, 1, 0));  // sees all that is left, 4x4
  for (ImageLayerPlan& each : layers) each.activation = Activation::relu;
  return layers;
}

std::vector<ImageLayerPlan> asperti_encoder(const ConvNetwork& network) {
  const int64_t w = network.width;
  std::vector<ImageLayerPlan> layers{
      layer(w / 2, 3, 2, 1),                     // 28x28 -> 14x14
      layer(w, 3, 1, 1),     layer(w, 3, 2, 1),  // -> 7x7
      layer(w, 3, 2, 1),     layer(w, 3, 1, 1),  // -> 4x4
      layer(w, 2, 2, 0),     layer(w, 2, 1, 0),  // -> 2x2
      layer(w, 2, 1, 0),                         // -> 1x1
  };
  layers[6].end = 1;
  for (const size_t last_of_pair : {0, 2, 4, 6}) {
    layers[last_of_pair].batch_norm = true;
    layers[last_of_pair].activation = Activation::relu;
  }
  return layers;
}

/// The layers backwards, transposed. A layer gives what its mirror image takes, so it ends as the layer
/// before that one does; the last, which gives the image, in nothing.
std::vector<ImageLayerPlan> mirrored(const std::vector<ImageLayerPlan>& encoder, const ImageSize& image) {
  const std::vector<ImageSize> sizes = sizes_along(encoder, image);
  std::vector<ImageLayerPlan> decoder;
  for (size_t i = encoder.size(); i-- > 0;) {
    ImageLayerPlan plan = encoder[i];
    plan.transposed = true;
    std::swap(plan.in, plan.out);
    plan.batch_norm = i > 0 && encoder[i - 1].batch_norm;
    plan.activation = i > 0 ? encoder[i - 1].activation : Activation::none;
    plan.options.output_padding = sizes[i].height - plan.size_after(sizes[i + 1]).height;
    decoder.push_back(plan);
  }
  return decoder;
}

}  // namespace

const char* name(ConvDesign design) { return design == ConvDesign::higgins ? "higgins" : "asperti"; }

ConvDesign parse_conv_design(std::string_view text) {
  std::string known;
  for (ConvDesign design : kDesigns) {
    if (text == name(design)) return design;
    known += (known.empty() ? "" : ", ") + std::string(name(design));
  }
  fail("[network] unknown design {}; there are {}", quote(text), known);
}

std::vector<ImageSize> sizes_along(const std::vector<ImageLayerPlan>& plan, ImageSize size) {
  std::vector<ImageSize> sizes{size};
  for (const ImageLayerPlan& each : plan) sizes.push_back(each.size_after(sizes.back()));
  return sizes;
}

ConvPlan plan_of(const ConvNetwork& network, int64_t latent) {
  const ImageSize& image = network.image;
  const bool higgins = network.design == ConvDesign::higgins;
  const bool fits =
      higgins ? image.height == 64 || image.height == 32 || image.height == 28 : image.height == 28;
  if (image.width != image.height || image.channels < 1 || !fits)
    fail("[network] {} is for images of {} pixels, these have {} x {} with {} channels", name(network.design),
         higgins ? "64 x 64, 32 x 32 or 28 x 28" : "28 x 28", image.height, image.width, image.channels);
  if (network.width < 1 || (!higgins && network.width % 2 != 0))
    fail("[network] {} cannot have {} channels; 32 are the paper's", name(network.design), network.width);
  ConvPlan plan;
  plan.encoder = higgins ? higgins_encoder(network) : asperti_encoder(network);
  int64_t channels = image.channels;
  for (ImageLayerPlan& each : plan.encoder) {
    each.in = channels;
    channels = each.out;
  }
  plan.features = channels;
  plan.decoder = mirrored(plan.encoder, image);
  ImageLayerPlan from_latent = layer(plan.features, 1, 1, 0);
  from_latent.in = latent;
  from_latent.activation = plan.encoder.back().activation;
  plan.decoder.insert(plan.decoder.begin(), from_latent);
  return plan;
}

}  // namespace elbo
