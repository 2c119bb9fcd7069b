// Convolutional VAEs: the papers' networks by their own numbers, members, samples and element types against
// each other, and files.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "nn/optimizer.h"
#include "tensor/map.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"
#include "tests/thread_count.h"
#include "tests/vae/deep_setting.h"
#include "vae/deep_vae_file.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

DeepVaeOptions conv_options(ConvDesign design, const ImageSize& image, int64_t width, int64_t latent = 3) {
  return {.dimensions = image.pixels(),
          .latent = latent,
          .conv = ConvNetwork{.design = design, .image = image, .width = width},
          .weights = {Initializer::Kind::kaiming_normal},
          .dtype = DType::f64};
}

DeepVaeOptions small_higgins() { return conv_options(ConvDesign::higgins, {28, 28, 2}, 2); }
DeepVaeOptions small_asperti() { return conv_options(ConvDesign::asperti, {28, 28, 1}, 4); }

std::vector<DeepVaeOptions> both_designs() { return {small_higgins(), small_asperti()}; }

Tensor images_for(const DeepVaeOptions& o, int64_t n, uint64_t seed) {
  return data_for(o.likelihood, n, o.dimensions, seed).to(o.dtype);
}

/// height, width and channels of every layer's result, in one line.
std::string sizes(const std::vector<ImageLayerPlan>& plan, const ImageSize& first) {
  std::string text;
  for (const ImageSize& size : sizes_along(plan, first))
    text += fmt::format("{}x{}x{} ", size.height, size.width, size.channels);
  return text;
}

std::vector<double> bits_of(const ParameterStore& store, bool gradients) {
  std::vector<double> all;
  for (const Parameter& parameter : store.all())
    for (double value : (gradients ? parameter.gradient : parameter.value).to_vector()) all.push_back(value);
  return all;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("conv VAE: the Higgins networks have the papers' layers, and decoders that mirror them") {
    const auto plan = [](const ImageSize& image, int64_t width) {
      return plan_of({.design = ConvDesign::higgins, .image = image, .width = width}, 10);
    };
    const ImageSize z{1, 1, 10};
    CHECK(sizes(plan({64, 64, 3}, 32).encoder, {64, 64, 3}) ==
          "64x64x3 32x32x32 16x16x32 8x8x64 4x4x64 1x1x256 ");
    CHECK(sizes(plan({64, 64, 3}, 32).decoder, z) ==
          "1x1x10 1x1x256 4x4x64 8x8x64 16x16x32 32x32x32 64x64x3 ");
    CHECK(sizes(plan({32, 32, 3}, 16).encoder, {32, 32, 3}) == "32x32x3 16x16x16 8x8x32 4x4x32 1x1x128 ");
    CHECK(sizes(plan({32, 32, 3}, 16).decoder, z) == "1x1x10 1x1x128 4x4x32 8x8x32 16x16x16 32x32x3 ");
    CHECK(sizes(plan({28, 28, 1}, 32).encoder, {28, 28, 1}) == "28x28x1 14x14x32 7x7x64 4x4x64 1x1x256 ");
    CHECK(sizes(plan({28, 28, 1}, 32).decoder, z) == "1x1x10 1x1x256 4x4x64 7x7x64 14x14x32 28x28x1 ");
    // As often printed for 64x64x3 and 10 units, without the heads: 4x4 kernels, and linear layers of 256.
    DeepVaeOptions o = conv_options(ConvDesign::higgins, {64, 64, 3}, 32, 10);
    const int64_t encoder = (48 + 1) * 32 + (512 + 1) * 32 + (512 + 1) * 64 + (1024 + 1) * 64 + 1025 * 256;
    const int64_t decoder = (10 + 1) * 256 + (256 * 1024 + 64) + (64 * 1024 + 64) + (64 * 512 + 32) +
                            (32 * 512 + 32) + (32 * 48 + 3);
    CHECK(DeepVae(o, 1).parameters().count() == encoder + 2 * (256 + 1) * 10 + decoder + 1);
    // Every weight once for each pixel of the smaller image; the first layer without a gradient of its input.
    const double first = 1024 * 48 * 32, heads = 2 * 256 * 10;
    const double middle = 256 * 512 * 32 + 64 * 512 * 64 + 16 * 1024 * 64 + 1024 * 256;
    CHECK(training_flops(o, 3) ==
          6 * (first + middle + heads) - 2 * first + 3 * 6 * (middle + first + 10 * 256));
    CHECK(widest_activation(o) == 32 * 32 * 32);
  }

  TEST_CASE("conv VAE: Asperti's network has the numbers of parameters and the sizes of his Fig. 4") {
    const ConvPlan plan = plan_of({.design = ConvDesign::asperti, .image = {28, 28, 1}, .width = 32}, 16);
    CHECK(sizes(plan.encoder, {28, 28, 1}) ==
          "28x28x1 14x14x16 14x14x32 7x7x32 4x4x32 4x4x32 2x2x32 2x2x32 1x1x32 ");
    CHECK(sizes(plan.decoder, {1, 1, 16}) ==
          "1x1x16 1x1x32 2x2x32 2x2x32 4x4x32 4x4x32 7x7x32 14x14x32 14x14x16 28x28x1 ");
    const DeepVae vae(conv_options(ConvDesign::asperti, {28, 28, 1}, 32, 16), 1);
    std::vector<int64_t> counts;  // of each layer, those of batch normalisation with its running averages
    std::string last;
    for (const Parameter& parameter : vae.parameters().all()) {
      if (!parameter.name.starts_with("encoder.")) continue;
      const std::string layer = parameter.name.substr(0, parameter.name.rfind('.'));
      if (layer != last) counts.push_back(0);
      last = layer;
      counts.back() += parameter.value.elements();
    }
    CHECK(counts ==
          std::vector<int64_t>{160, 64, 4640, 9248, 128, 9248, 9248, 128, 4128, 4128, 128, 4128, 528, 528});
  }

  TEST_CASE("conv VAE: the gradient is that of finite differences, batch normalisation and all") {
    for (const bool higgins : {true, false}) {
      DeepVae vae(higgins ? conv_options(ConvDesign::higgins, {28, 28, 1}, 1, 2) : small_asperti(), 3);
      randomise(vae, 0.3, 5);
      const Tensor x = images_for(vae.options(), 2, 8);
      const RandomKey key{.seed = 4, .stream = kLatentNoise};
      const Loss loss = elbo_loss(vae);
      const auto cost = [&] { return -elbo_in(differentiate(loss, x, {}, key)); };
      cost();
      std::vector<std::vector<double>> gradients;
      double largest = 0;
      for (Parameter* parameter : vae.parameters().trained()) {
        gradients.push_back(parameter->gradient.to_vector());
        for (double value : gradients.back()) largest = std::max(largest, std::abs(value));
      }
      size_t which = 0;
      int64_t checked = 0;
      for (Parameter* parameter : vae.parameters().trained()) {
        CAPTURE(parameter->name);
        const std::span<double> values = parameter->value.span<double>();
        // A few of each parameter: the goldens and the ops' own checks have every one.
        for (size_t i = 0; i < values.size(); i += std::max<size_t>(1, values.size() / 7), ++checked) {
          const double before = values[i], h = 1e-6;
          const auto at = [&](double value) {
            values[i] = value;
            vae.parameters().consume_gradients();
            return cost();
          };
          const double slope = (at(before + h) - at(before - h)) / (2 * h);
          values[i] = before;
          CHECK(slope == doctest::Approx(gradients[which][i]).epsilon(2e-5).scale(largest * 1e-3));
        }
        ++which;
      }
      CHECK(checked > 80);
    }
  }

  TEST_CASE("conv VAE: members together are what they are alone on another number of threads, bit for bit") {
    for (const DType dtype : {DType::f64, DType::f32})
      for (DeepVaeOptions o : both_designs()) {
        o.dtype = dtype;
        o.sigma2 = {0.5, 1, 2};
        o.members = 3;
        DeepVae together(o, 7);
        const Tensor x = images_for(o, 5, 2);
        const auto train = [&](DeepVae& vae) {
          Adam adam(vae.parameters());
          for (uint64_t step = 0; step < 3; ++step) {
            differentiate(elbo_loss(vae, {}, 2), x, {}, {.seed = 5, .stream = kLatentNoise, .step = step});
            adam.step(1e-2);
          }
        };
        {
          const ThreadCount many(3);
          train(together);
        }
        const ThreadCount one(1);
        for (int64_t m = 0; m < o.members; ++m) {
          DeepVaeOptions own = o;
          own.members = 0;
          own.first_member = m;
          own.sigma2 = {o.sigma2[static_cast<size_t>(m)]};
          DeepVae alone(own, 7);
          train(alone);
          CHECK(bits_of(alone.parameters(), false) ==
                bits_of(member_alone(together, m)->parameters(), false));
        }
      }
  }

  TEST_CASE("conv VAE: f32, through oneDNN, has the results and gradients of f64") {
    std::vector<DeepVaeOptions> all = both_designs();
    all.push_back(conv_options(ConvDesign::higgins, {64, 64, 3}, 8, 5));
    all.push_back(conv_options(ConvDesign::higgins, {32, 32, 3}, 8, 5));
    for (DeepVaeOptions o : all) {
      DeepVae exact(o, 3);
      o.dtype = DType::f32;
      DeepVae rounded(o, 3);
      auto from = exact.parameters().all().begin();
      for (Parameter& to : rounded.parameters().all()) {
        to.value.copy_from(from->value.to(DType::f32));
        from->value.copy_from(to.value.to(DType::f64));
        ++from;
      }
      const Tensor x = images_for(o, 4, 2);
      const RandomKey key{.seed = 5, .stream = kLatentNoise};
      const LossTerms a = differentiate(elbo_loss(exact), x.to(DType::f64), {}, key),
                      b = differentiate(elbo_loss(rounded), x, {}, key);
      CHECK(b.probes[0].item() == doctest::Approx(a.probes[0].item()).epsilon(1e-5));
      CHECK(b.probes[1].item() == doctest::Approx(a.probes[1].item()).epsilon(1e-4));
      const std::vector<double> as = bits_of(exact.parameters(), true),
                                bs = bits_of(rounded.parameters(), true);
      REQUIRE(as.size() == bs.size());
      double largest = 0, worst = 0;
      for (size_t i = 0; i < as.size(); ++i) {
        largest = std::max(largest, std::abs(as[i]));
        worst = std::max(worst, std::abs(as[i] - bs[i]));
      }
      CHECK(worst < 1e-4 * largest);
    }
  }

  TEST_CASE("conv VAE: members and samples of z are decoded as each of them alone") {
    for (DeepVaeOptions o : both_designs())
      for (const int64_t members : {0, 2}) {
        o.members = members;
        DeepVae vae(o, 3);
        randomise(vae, 0.3, 5);
        Shape shape{4, 3, o.latent};
        if (members > 0) shape = Shape{members}.concatenated(shape);
        const Tensor z = draw(shape, 9);
        const Tensor all = vae.decode(z).mean.value().reshape({-1, 4, 3, o.dimensions});
        for (int64_t m = 0; m < vae.models(); ++m) {
          const auto alone = member_alone(vae, m);
          for (int64_t sample = 0; sample < 4; ++sample) {
            const Tensor own = z.reshape({-1, 4, 3, o.latent}).slice(m).slice(sample);
            const Numbers together = all.slice(m).slice(sample).to_vector();
            const Numbers one = alone->decode(own).mean.value().to_vector();
            for (size_t i = 0; i < one.size(); i += 37)
              CHECK(together[i] == doctest::Approx(one[i]).epsilon(1e-12));
          }
        }
      }
  }

  TEST_CASE("conv VAE: batch normalisation sees all samples of a step at once, however many they are") {
    const DeepVaeOptions o = small_asperti();
    DeepVae stepped(o, 3), plain(o, 3);
    const Tensor x = images_for(o, 8, 2);
    const RandomKey key{.seed = 5, .stream = kLatentNoise};
    const LossTerms terms = differentiate(elbo_loss(stepped, {}, 64), x, {}, key);
    const Posterior q = plain.encode(x, Mode::train);
    const Variable z = reparameterize_kl(q.mean, q.log_variance, key, 1, 64).z;
    const Variable log_likelihood = mean(plain.log_likelihood(x, plain.decode(z, Mode::train)));
    CHECK(terms.probes[0].item() == doctest::Approx(log_likelihood.item()).epsilon(1e-12));
    for (const char* name : {"encoder.1.running_mean", "decoder.2.running_var"})
      CHECK(stepped.parameters().at(name).value.to_vector() == plain.parameters().at(name).value.to_vector());
  }

  TEST_CASE("conv VAE: what batch normalisation learns is used outside of training, and only changed in it") {
    DeepVae vae(small_asperti(), 3);
    const Tensor x = images_for(vae.options(), 6, 2);
    const auto averages = [&] { return vae.parameters().at("encoder.1.running_mean").value.to_vector(); };
    const std::vector<double> before = averages();
    const std::vector<double> mean = vae.encode(x).mean.value().to_vector();
    CHECK(averages() == before);
    // A point's code is its own: without the others it is the same, but for the order in which BLAS adds up,
    // which may change with the number of rows. Some 10 layers add up at most 36 products of order 1; a mean
    // over other points would change the first digits.
    const std::vector<double> alone = vae.encode(x.slice(0, 1)).mean.value().to_vector();
    REQUIRE(alone.size() == static_cast<size_t>(vae.options().latent));
    for (size_t i = 0; i < alone.size(); ++i)
      CHECK(alone[i] ==
            doctest::Approx(mean[i]).epsilon(10 * 36 * std::numeric_limits<double>::epsilon()).scale(1));
    vae.encode(x, Mode::train);
    CHECK(averages() != before);
  }

  TEST_CASE("conv VAE file: a model comes back as it was, in PyTorch's layout meanwhile") {
    std::vector<DeepVaeOptions> all = both_designs();
    all.push_back(conv_options(ConvDesign::higgins, {32, 32, 3}, 2));
    for (DeepVaeOptions o : all) {
      o.likelihood = o.dimensions == 784 ? Likelihood::diagonal_gaussian : Likelihood::gaussian;
      DeepVae vae(o, 3);
      randomise(vae, 0.5, 7);
      const TemporaryDirectory directory;
      save_deep_vae(directory / "model.safetensors", vae);
      const SafetensorsFile file = read_safetensors(directory / "model.safetensors");
      CHECK(is_deep_vae(file));
      const auto loaded = load_deep_vae(file);
      CHECK(bits_of(loaded->parameters(), false) == bits_of(vae.parameters(), false));
      const Tensor own = vae.parameters().at("encoder.0.weight").value, stored = file.at("encoder.0.weight");
      REQUIRE(stored.shape() == Shape{own.size(0), own.size(3), own.size(1), own.size(2)});
      const int64_t taps = own.size(1) * own.size(2), channels = own.size(3);
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t c = 0; c < channels; ++c) CHECK(stored.at(c * taps + tap) == own.at(tap * channels + c));

      SafetensorsFile other = file;
      other.metadata["width"] = "64";
      CHECK(mentions(error_of([&] { load_deep_vae(other); }), "encoder.mean.weight must be"));
      other.metadata["width"] = "many";
      CHECK(mentions(error_of([&] { load_deep_vae(other); }), "'width' must be a positive number"));
      other = file;
      other.metadata["network"] = "resnet";
      CHECK(mentions(error_of([&] { load_deep_vae(other); }), "unknown design 'resnet'"));
      other.metadata.erase("network");
      CHECK(mentions(error_of([&] { load_deep_vae(other); }), "do not say 'network'"));
    }
  }

  TEST_CASE(
      "conv VAE: centring the encoder makes its first layer give zero where all pixels are the mean's") {
    DeepVae vae(small_higgins(), 3);
    Tensor mean = Tensor::empty({28, 28, 2}, DType::f64);
    map_into(mean, Identity{}, Tensor::from<double>({2}, {-3, 5}));
    mean = mean.reshape({-1});
    vae.centre_encoder(mean);
    const auto value = [&](const char* name) { return vae.parameters().at(name).value; };
    const Tensor first = conv2d(mean.reshape({1, 28, 28, 2}), value("encoder.0.weight"),
                                value("encoder.0.bias"), {.stride = 2, .padding = 1})
                             .value();
    for (int64_t c = 0; c < 2; ++c)  // a pixel in the middle, which sees no padding
      CHECK(first.at((7 * 14 + 7) * 2 + c) == doctest::Approx(0).scale(1));
  }

  TEST_CASE("conv VAE: impossible networks are told in one line") {
    const auto refusal = [](const DeepVaeOptions& o) { return error_of([&] { const DeepVae vae(o, 1); }); };
    CHECK(refusal(conv_options(ConvDesign::higgins, {48, 48, 3}, 32)) ==
          "[network] higgins is for images of 64 x 64, 32 x 32 or 28 x 28 pixels, these have 48 x 48 with 3 "
          "channels");
    CHECK(mentions(refusal(conv_options(ConvDesign::higgins, {64, 32, 3}, 32)), "64 x 32"));
    CHECK(mentions(refusal(conv_options(ConvDesign::asperti, {32, 32, 3}, 32)),
                   "asperti is for images of 28 x 28"));
    CHECK(mentions(refusal(conv_options(ConvDesign::asperti, {28, 28, 1}, 5)),
                   "asperti cannot have 5 channels"));
    CHECK(mentions(refusal(conv_options(ConvDesign::higgins, {28, 28, 1}, 0)),
                   "higgins cannot have 0 channels"));
    DeepVaeOptions o = small_higgins();
    o.dimensions = 784;
    CHECK(mentions(refusal(o), "28 x 28 with 2 channels do not have 784 dimensions"));
    CHECK(mentions(error_of([] { parse_conv_design("resnet"); }), "there are higgins, asperti"));
  }
}

}  // namespace elbo
