#include "apps/training/model_input.h"

#include <cstring>

#include "tensor/file.h"

namespace elbo {
namespace {

bool within_unit_interval(const Range& range) { return range.low >= 0 && range.high <= 1; }

/// The range of black and of white pixels, between which preprocessing leaves all others.
Range range_of_pixels(const LoadedData& data) {
  LoadedData ends = data;
  const int64_t width = data.dataset.dimensions();
  ends.dataset.x = Tensor::zeros({2, width}, DType::u8);
  std::memset(ends.dataset.x.data<uint8_t>() + width, 255, static_cast<size_t>(width));
  return range_of(ends);
}

const char* hint_for(const LoadedData& data) {
  if (data.preprocessing.scale.defined()) return "leave --standardize away";
  return data.dataset.has_pixels() ? "use --preprocess scale" : "bring them into that range";
}

void check_bernoulli(const LoadedData& data) {
  // Mostly the preprocessing says it all, and millions of pixels need not be looked at.
  if (data.dataset.has_pixels() && within_unit_interval(range_of_pixels(data))) return;
  const Range range = range_of(data);
  if (!within_unit_interval(range))
    fail("[data] the bernoulli likelihood needs data between 0 and 1; {} reach from {} to {}; {}",
         quote(data.dataset.name), range.low, range.high, hint_for(data));
}

}  // namespace

ModelInput input_of(const DeepVaeOptions& model) {
  ModelInput input{.dimensions = model.dimensions, .likelihood = model.likelihood};
  if (model.conv) input.image = model.conv->image;
  return input;
}

ModelInput input_of(const Vae& model) {
  if (const auto* deep = dynamic_cast<const DeepVae*>(&model)) return input_of(deep->options());
  return {.dimensions = model.dimensions(), .likelihood = model.likelihood()};
}

void check_fits(const ModelInput& model, const LoadedData& data) {
  const Dataset& d = data.dataset;
  if (model.image) {
    const ImageSize image{d.height, d.width, d.channels}, &own = *model.image;
    if (image.pixels() == 0)
      fail("[--model] conv is for images, and {} holds none: {}", quote(d.name),
           d.no_images.empty() ? "images are (N, H, W) or (N, H, W, C) with C = 1 or 3" : d.no_images);
    if (!(image == own))
      fail("[data] the model is for images of {} x {} with {} channels; {} are {} x {} with {}", own.height,
           own.width, own.channels, quote(d.name), image.height, image.width, image.channels);
  }
  if (d.dimensions() != model.dimensions)
    fail("[data] the model is for {} dimensions, {} has {}", model.dimensions, quote(d.name), d.dimensions());
  if (model.likelihood == Likelihood::bernoulli && d.points() > 0) check_bernoulli(data);
}

}  // namespace elbo
