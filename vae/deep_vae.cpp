#include "vae/deep_vae.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

constexpr std::array kLikelihoods{Likelihood::gaussian, Likelihood::diagonal_gaussian, Likelihood::bernoulli};

/// The mean head's start; the log-variance head starts at zero. So q(z|x) begins next to the prior: heads as
/// large as other layers make posteriors whose KL of hundreds of nats takes thousands of steps to unlearn.
constexpr Initializer kSmall{Initializer::Kind::normal, 0.001};

template <class T>
T entry(const std::vector<T>& of_each, int64_t member) {
  return of_each[of_each.size() == 1 ? 0 : static_cast<size_t>(member)];
}

const DeepVaeOptions& checked(const DeepVaeOptions& options) {
  check(options);
  return options;
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

/// A body or an output, whatever it is made of, applied.
template <class Network>
Variable apply(const Network& network, const Variable& x, Mode mode) {
  return std::visit(
      [&](const auto& layers) {
        if constexpr (std::is_invocable_v<decltype(layers), const Variable&, Mode>)
          return layers(x, mode);
        else
          return layers(x);
      },
      network);
}

/// Numbers that the encoder's heads read.
int64_t features_of(const DeepVaeOptions& o, const std::optional<ConvPlan>& plan) {
  return plan ? plan->features : last_or(o.encoder_hidden, o.dimensions);
}

std::variant<Sequential, ImageStack> make_encoder(ParameterStore& store, const DeepVaeOptions& o,
                                                  const std::optional<ConvPlan>& plan) {
  if (plan) return ImageStack(store, "encoder", 0, o.conv->image, plan->encoder, o.weights);
  return Sequential(store, "encoder", widths(o.dimensions, o.encoder_hidden), o.encoder_activation, o.weights,
                    true);
}

/// All but the decoder's last layer.
std::variant<Sequential, ImageStack> make_decoder(ParameterStore& store, const DeepVaeOptions& o,
                                                  const std::optional<ConvPlan>& plan) {
  if (!plan)
    return Sequential(store, "decoder", widths(o.latent, o.decoder_hidden), o.decoder_activation, o.weights,
                      true);
  const std::vector<ImageLayerPlan> hidden(plan->decoder.begin(), plan->decoder.end() - 1);
  return ImageStack(store, "decoder", 0, {1, 1, o.latent}, hidden, o.weights);
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

const char* name(Likelihood likelihood) {
  switch (likelihood) {
    case Likelihood::gaussian:
      return "gaussian";
    case Likelihood::diagonal_gaussian:
      return "diagonal";
    case Likelihood::bernoulli:
      break;
  }
  return "bernoulli";
}

Likelihood parse_likelihood(std::string_view text) {
  std::string known;
  for (Likelihood likelihood : kLikelihoods) {
    if (text == name(likelihood)) return likelihood;
    known += (known.empty() ? "" : ", ") + std::string(name(likelihood));
  }
  fail("[likelihood] unknown likelihood {}; there are {}", quote(text), known);
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
    : options_(checked(options)),
      store_(options.dtype, options.members, options.device),
      plan_(planned(options)),
      encoder_(make_encoder(store_, options, plan_)),
      mean_head_(store_, "encoder.mean", features_of(options, plan_), options.latent, kSmall),
      log_variance_head_(store_, "encoder.log_variance", features_of(options, plan_), options.latent, {}),
      decoder_(make_decoder(store_, options, plan_)) {
  const bool diagonal = options.likelihood == Likelihood::diagonal_gaussian;
  if (plan_) {
    const ImageStack& body = std::get<ImageStack>(decoder_);
    const std::vector<ImageLayerPlan> last{plan_->decoder.back()};
    outputs_.emplace_back(ImageStack(store_, "decoder", body.next(), body.out(), last, options.weights));
    if (diagonal)
      outputs_.emplace_back(ImageStack(store_, "decoder.log_variance", 0, body.out(), last, options.weights));
  } else {
    const int64_t hidden = last_or(options.decoder_hidden, options.latent);
    outputs_.emplace_back(Linear(store_, "decoder." + std::to_string(options.decoder_hidden.size()), hidden,
                                 options.dimensions, options.weights));
    if (diagonal)
      outputs_.emplace_back(
          Linear(store_, "decoder.log_variance", hidden, options.dimensions, options.weights));
  }
  if (has_scalar_sigma2()) log_sigma2_ = &store_.add("log_sigma2", {1}, {});
  store_.initialise(seed, options.first_member);
  if (!has_scalar_sigma2()) return;
  learned_ = Tensor::empty(log_sigma2_->value.shape(), options.dtype, options.device);
  held_ = Tensor::empty(log_sigma2_->value.shape(), options.dtype, options.device);
  all_learned_ = true;
  for (int64_t m = 0; m < models(); ++m) {
    all_learned_ = all_learned_ && learns_sigma2(m);
    const double log_sigma2 = std::log(entry(options.sigma2, m));
    const bool learned = learns_sigma2(m);
    learned_.slice(m, m + 1).fill(learned ? 1 : 0);
    held_.slice(m, m + 1).fill(learned ? 0 : log_sigma2);
    log_sigma2_->value.slice(m, m + 1).fill(log_sigma2);
  }
}

Posterior DeepVae::encode(const Tensor& x, Mode mode) const {
  const Variable hidden = apply(encoder_, x, mode);
  return {mean_head_(hidden), log_variance_head_(hidden)};
}

Observation DeepVae::decode(const Variable& z, Mode mode) const {
  const Variable hidden = apply(decoder_, z, mode);
  Observation observation{apply(outputs_[0], hidden, mode), {}};
  if (outputs_.size() > 1) observation.log_variance = apply(outputs_[1], hidden, mode);
  // A sigma^2 that is not learned gets a gradient of exactly zero, and Adam leaves it where it is.
  if (has_scalar_sigma2())
    observation.log_variance =
        all_learned_ ? Variable(*log_sigma2_) : Variable(*log_sigma2_) * learned_ + held_;
  return observation;
}

Variable DeepVae::log_likelihood(const Tensor& x, const Observation& observation) const {
  switch (options_.likelihood) {
    case Likelihood::diagonal_gaussian:
      return diagonal_gaussian_log_likelihood(x, observation.mean, observation.log_variance);
    case Likelihood::bernoulli:
      return bernoulli_log_likelihood(x, observation.mean);
    case Likelihood::gaussian:
      break;
  }
  const bool has_samples = observation.mean.rank() == (options_.members > 0 ? 4 : 3);
  const Variable log_sigma2 = options_.members > 0 && has_samples
                                  ? reshape(observation.log_variance, {options_.members, 1, 1})
                                  : observation.log_variance;
  return gaussian_log_likelihood(x, observation.mean, log_sigma2);
}

void DeepVae::centre_encoder(const Tensor& mean) {
  if (!(mean.shape() == Shape{options_.dimensions}))
    fail("[deep vae] the mean must be ({}), got {}", options_.dimensions, mean.shape().str());
  Tensor of_inputs = mean.to(options_.dtype).to(options_.device);
  const auto centre = [&](const std::string& layer) {  // W x + b = W (x - mean)
    const Tensor weight = store_.at(layer + ".weight").value, bias = store_.at(layer + ".bias").value;
    const Shape rows = bias.shape().concatenated({of_inputs.elements()});
    gemm(bias.reshape(bias.shape().concatenated({1})), weight.reshape(rows), Op::none,
         of_inputs.reshape({-1, 1}), Op::none, false, -1);
  };
  if (plan_) {
    const ImageSize& image = options_.conv->image;
    const int64_t pixels = image.height * image.width,
                  taps = plan_->encoder[0].kernel * plan_->encoder[0].kernel;
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

bool DeepVae::has_batch_norm() const {
  return plan_ && std::any_of(plan_->encoder.begin(), plan_->encoder.end(),
                              [](const ImageLayerPlan& layer) { return layer.batch_norm; });
}

int64_t DeepVae::models() const { return std::max<int64_t>(options_.members, 1); }

double DeepVae::sigma2(int64_t member) const {
  if (!has_scalar_sigma2()) return std::nan("");
  return std::exp(log_sigma2_->value.at(member));
}

bool DeepVae::learns_sigma2(int64_t member) const { return entry(options_.learn_sigma2, member); }

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

RandomKey for_members_of(const DeepVae& vae, RandomKey key) {
  key.member += static_cast<uint32_t>(vae.options().first_member);
  return key;
}

ElboTerms elbo_terms(const DeepVae& vae, const Tensor& x, const RandomKey& key, int64_t samples) {
  const Posterior q = vae.encode(x);
  const PosteriorTerms drawn =
      reparameterize_kl(q.mean, q.log_variance, for_members_of(vae, key), vae.models(), samples);
  const Variable log_likelihood = vae.log_likelihood(x, vae.decode(drawn.z));
  return {samples > 1 ? mean(log_likelihood, {-2}) : log_likelihood, drawn.kl};
}

}  // namespace elbo
