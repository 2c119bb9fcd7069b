#include "vae/deep_vae.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/gemm.h"
#include "tensor/map.h"
#include "vae/parts.h"

namespace elbo {
namespace {

/// The mean head's start; the log-variance head starts at zero. So q(z|x) begins next to the prior: heads as
/// large as other layers make posteriors whose KL of hundreds of nats takes thousands of steps to unlearn.
constexpr Initializer kSmall{Initializer::Kind::normal, 0.001};

constexpr const char* kLogSigma2 = "log_sigma2";

template <class T>
T entry(const std::vector<T>& of_each, int64_t member) {
  return of_each[of_each.size() == 1 ? 0 : static_cast<size_t>(member)];
}

std::vector<int64_t> widths(int64_t first, const std::vector<int64_t>& hidden) {
  std::vector<int64_t> all{first};
  all.insert(all.end(), hidden.begin(), hidden.end());
  return all;
}

int64_t last_or(const std::vector<int64_t>& hidden, int64_t none) {
  return hidden.empty() ? none : hidden.back();
}

std::optional<ConvPlan> planned(const DeepVaeOptions& o) {
  if (!o.conv) return std::nullopt;
  return plan_of(*o.conv, o.latent);
}

/// Numbers that the encoder's heads read.
int64_t features_of(const DeepVaeOptions& o, const std::optional<ConvPlan>& plan) {
  return plan ? plan->features : last_or(o.encoder_hidden, o.dimensions);
}

Encoder make_encoder(ParameterStore& store, const DeepVaeOptions& o, const std::optional<ConvPlan>& plan) {
  Network body = plan ? network(ImageStack(store, "encoder", 0, o.conv->image, plan->encoder, o.weights))
                      : network(Sequential(store, "encoder", widths(o.dimensions, o.encoder_hidden),
                                           o.encoder_activation, o.weights, true));
  const int64_t features = features_of(o, plan);
  Network mean = network(Linear(store, "encoder.mean", features, o.latent, kSmall));
  return encoder_of(std::move(body), std::move(mean),
                    network(Linear(store, "encoder.log_variance", features, o.latent, {})));
}

/// ln sigma^2. One that is not learned gets a gradient of exactly zero, and Adam leaves it where it is.
Network make_log_sigma2(ParameterStore& store, const DeepVaeOptions& o) {
  const int64_t models = std::max<int64_t>(o.members, 1);
  const Shape shape = o.members > 0 ? Shape{models, 1} : Shape{1};
  // 1 where sigma^2 is learned; its logarithm where it is not.
  const Tensor learned = Tensor::empty(shape, o.dtype, o.device),
               held = Tensor::empty(shape, o.dtype, o.device);
  bool all_learned = true;
  for (int64_t m = 0; m < models; ++m) {
    const bool learns = entry(o.learn_sigma2, m);
    all_learned = all_learned && learns;
    learned.slice(m, m + 1).fill(learns ? 1 : 0);
    held.slice(m, m + 1).fill(learns ? 0 : std::log(entry(o.sigma2, m)));
  }
  Network own = one_number(store, kLogSigma2);
  if (all_learned) return own;
  return Network::constant([own = own.constant(), learned, held] { return own() * learned + held; });
}

Decoder make_decoder(ParameterStore& store, const DeepVaeOptions& o, const std::optional<ConvPlan>& plan) {
  const bool diagonal = o.likelihood == Likelihood::diagonal_gaussian;
  Network body, mean, log_variance;
  if (plan) {
    const std::vector<ImageLayerPlan> hidden(plan->decoder.begin(), plan->decoder.end() - 1),
        last{plan->decoder.back()};
    const ImageStack layers(store, "decoder", 0, {1, 1, o.latent}, hidden, o.weights);
    body = network(layers);
    mean = network(ImageStack(store, "decoder", layers.next(), layers.out(), last, o.weights));
    if (diagonal)
      log_variance = network(ImageStack(store, "decoder.log_variance", 0, layers.out(), last, o.weights));
  } else {
    const int64_t hidden = last_or(o.decoder_hidden, o.latent);
    const std::string last = "decoder." + std::to_string(o.decoder_hidden.size());
    body = network(Sequential(store, "decoder", widths(o.latent, o.decoder_hidden), o.decoder_activation,
                              o.weights, true));
    mean = network(Linear(store, last, hidden, o.dimensions, o.weights));
    if (diagonal)
      log_variance = network(Linear(store, "decoder.log_variance", hidden, o.dimensions, o.weights));
  }
  if (o.likelihood == Likelihood::gaussian)
    return decoder_of(chain({std::move(body), std::move(mean)}), make_log_sigma2(store, o));
  return decoder_of(std::move(body), std::move(mean), std::move(log_variance));
}

Parts make_parts(ParameterStore& store, const DeepVaeOptions& o) {
  const std::optional<ConvPlan> plan = planned(o);
  Parts parts{.encoder = make_encoder(store, o, plan), .decoder = make_decoder(store, o, plan)};
  parts.likelihood = o.likelihood;
  parts.mixes_points = plan && std::any_of(plan->encoder.begin(), plan->encoder.end(),
                                           [](const ImageLayerPlan& layer) { return layer.batch_norm; });
  parts.widest = widest_activation(o);
  parts.learns_sigma2 = o.learn_sigma2;
  return parts;
}

VaeOptions vae_options(const DeepVaeOptions& o) {
  check(o);
  return {.dimensions = o.dimensions,
          .latent = o.latent,
          .dtype = o.dtype,
          .device = o.device,
          .members = o.members,
          .first_member = o.first_member};
}

}  // namespace

void check(const DeepVaeOptions& o) {
  if (o.dimensions < 1 || o.latent < 1)
    fail("[deep vae] dimensions and latent dimension must be positive, got {} and {}", o.dimensions,
         o.latent);
  for (const std::vector<int64_t>* widths : {&o.encoder_hidden, &o.decoder_hidden})
    for (int64_t width : *widths)
      if (width < 1) fail("[deep vae] a hidden layer cannot have {} units", width);
  if (o.conv && o.conv->image.pixels() != o.dimensions)
    fail("[deep vae] images of {} x {} with {} channels do not have {} dimensions", o.conv->image.height,
         o.conv->image.width, o.conv->image.channels, o.dimensions);
  planned(o);  // for its checks
  for (double sigma2 : o.sigma2)
    if (!(sigma2 > 0) || !std::isfinite(sigma2))
      fail("[deep vae] sigma^2 must be positive and finite, got {}", sigma2);
  const auto count = static_cast<size_t>(std::max<int64_t>(o.members, 1));
  for (size_t given : {o.sigma2.size(), o.learn_sigma2.size()})
    if (given != 1 && given != count)
      fail(
          "[deep vae] {} values of sigma^2 or of whether to learn it for {} members; give one or one for "
          "each",
          given, count);
}

int64_t widest_activation(const DeepVaeOptions& o) {
  int64_t widest = std::max(o.latent, o.dimensions);
  if (!o.conv) {
    for (int64_t width : o.decoder_hidden) widest = std::max(widest, width);
    return widest;
  }
  for (const ImageSize& size : sizes_along(plan_of(*o.conv, o.latent).decoder, {1, 1, o.latent}))
    widest = std::max(widest, size.pixels());
  return widest;
}

double training_flops(const DeepVaeOptions& o, int64_t samples) {
  // Multiply-adds of the layers, one way.
  std::vector<int64_t> encoder, decoder;
  const std::optional<ConvPlan> plan = planned(o);
  const auto dense = [](std::vector<int64_t>& work, int64_t from, const std::vector<int64_t>& widths) {
    for (int64_t width : widths) {
      work.push_back(from * width);
      from = width;
    }
  };
  const auto images = [](std::vector<int64_t>& work, const std::vector<ImageLayerPlan>& layers,
                         ImageSize size) {
    for (const ImageLayerPlan& layer : layers) {
      work.push_back(layer.multiply_adds(size));
      size = layer.size_after(size);
    }
  };
  if (plan) {
    images(encoder, plan->encoder, o.conv->image);
    images(decoder, plan->decoder, {1, 1, o.latent});
  } else {
    dense(encoder, o.dimensions, o.encoder_hidden);
    dense(decoder, o.latent, o.decoder_hidden);
    decoder.push_back(last_or(o.decoder_hidden, o.latent) * o.dimensions);
  }
  encoder.push_back(2 * features_of(o, plan) * o.latent);  // the heads
  const auto sum = [](const std::vector<int64_t>& work) {
    return static_cast<double>(std::accumulate(work.begin(), work.end(), int64_t{0}));
  };
  // Forward, and backward to weights and inputs; the first layer needs no gradient of its input.
  return 6 * (sum(encoder) + static_cast<double>(samples) * sum(decoder)) -
         2 * static_cast<double>(encoder[0]);
}

DeepVae::DeepVae(const DeepVaeOptions& options, uint64_t seed)
    : Vae(
          vae_options(options), [&](ParameterStore& store) { return make_parts(store, options); }, seed),
      options_(options) {
  if (!has_scalar_sigma2()) return;
  log_sigma2_ = &parameters().at(kLogSigma2);
  for (int64_t m = 0; m < models(); ++m)
    log_sigma2_->value.slice(m, m + 1).fill(std::log(entry(options.sigma2, m)));
}

void DeepVae::centre_encoder(const Tensor& mean) {
  if (!(mean.shape() == Shape{options_.dimensions}))
    fail("[deep vae] the mean must be ({}), got {}", options_.dimensions, mean.shape().str());
  Tensor of_inputs = mean.to(options_.dtype).to(options_.device);
  const auto centre = [&](const std::string& layer) {  // W x + b = W (x - mean)
    const Tensor weight = parameters().at(layer + ".weight").value,
                 bias = parameters().at(layer + ".bias").value;
    const Shape rows = bias.shape().concatenated({of_inputs.elements()});
    gemm(bias.reshape(bias.shape().concatenated({1})), weight.reshape(rows), Transpose::no,
         of_inputs.reshape({-1, 1}), Transpose::no, false, -1);
  };
  if (const std::optional<ConvPlan> plan = planned(options_)) {
    const ImageSize& image = options_.conv->image;
    const int64_t pixels = image.height * image.width,
                  taps = plan->encoder[0].kernel * plan->encoder[0].kernel;
    const Tensor sum = map_reduce<Sum>({1, image.channels}, Scaled{1.0 / static_cast<double>(pixels)},
                                       of_inputs.reshape({pixels, image.channels}));
    of_inputs = Tensor::empty({taps, image.channels}, options_.dtype, options_.device);
    map_into(of_inputs, Identity{}, sum);
    return centre("encoder.0");
  }
  if (!options_.encoder_hidden.empty()) return centre("encoder.0");
  centre("encoder.mean");
  centre("encoder.log_variance");
}

double DeepVae::sigma2(int64_t member) const {
  if (!has_scalar_sigma2()) return std::nan("");
  return std::exp(log_sigma2_->value.at(member));
}

std::unique_ptr<DeepVae> member_alone(const DeepVae& vae, int64_t member) {
  DeepVaeOptions options = vae.options();
  if (member < 0 || member >= vae.models())
    fail("[deep vae] there is no member {}; the ensemble has {}", member, vae.models());
  options.sigma2 = {entry(options.sigma2, member)};
  options.learn_sigma2 = {vae.learns_sigma2(member)};
  options.members = 0;
  options.device = Device::cpu;
  options.first_member += member;
  auto alone = std::make_unique<DeepVae>(options, 0);
  auto from = vae.parameters().all().begin();
  for (Parameter& to : alone->parameters().all()) {
    to.value.copy_from(vae.options().members > 0 ? from->value.slice(member) : from->value);
    ++from;
  }
  return alone;
}

}  // namespace elbo
