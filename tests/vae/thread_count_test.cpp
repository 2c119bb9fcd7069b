// Training does not depend on the number of threads, to the bit, for every kind of network: those whose
// products are our own and BLAS's, those that are one pass, convolutions, and samples that threads share.
#include <doctest/doctest.h>

#include <vector>

#include "nn/optimizer.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"
#include "tests/vae/deep_setting.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

struct TrainedNetwork {
  const char* name;
  DeepVaeOptions options;
  int64_t batch, samples;
};

/// The parameters after a few training steps in f32.
std::vector<Tensor> train(const TrainedNetwork& network) {
  DeepVae vae(network.options, 7);
  Adam adam(vae.parameters());
  const Tensor x =
      data_for(network.options.likelihood, network.batch, network.options.dimensions, 3).to(DType::f32);
  for (uint64_t step = 0; step < 3; ++step) {
    differentiate(elbo_loss(vae, {}, network.samples), x, {},
                  {.seed = 5, .stream = kLatentNoise, .step = step});
    adam.step(1e-3);
  }
  std::vector<Tensor> values;
  for (const Parameter& parameter : vae.parameters().all()) values.push_back(parameter.value);
  return values;
}

}  // namespace

TEST_SUITE("vae") {
  TEST_CASE("training steps in f32: the same bits with 1 to 5 threads, whatever the network") {
    const ConvNetwork images{.design = ConvDesign::higgins, .image = {32, 32, 3}, .width = 16};
    ConvNetwork few = images;  // few enough weights for threads to share the samples
    few.width = 2;
    const std::vector<TrainedNetwork> networks{
        {"wide layers, and one that BLAS multiplies",
         {.dimensions = 196, .latent = 17, .encoder_hidden = {256, 130}, .decoder_hidden = {130, 256}},
         100,
         1},
        {"one pass",
         {.dimensions = 10, .latent = 2, .encoder_hidden = {50, 50}, .decoder_hidden = {50, 50}},
         70,
         9},
        {"one pass for each member",
         {.dimensions = 2, .latent = 2, .encoder_hidden = {50}, .decoder_hidden = {50}, .members = 7},
         90,
         1},
        {"convolutions", {.dimensions = images.image.pixels(), .latent = 6, .conv = images}, 21, 1},
        {"convolutions, six samples",
         {.dimensions = images.image.pixels(), .latent = 3, .conv = few},
         21,
         6}};
    for (const TrainedNetwork& network : networks) {
      CAPTURE(network.name);
      std::vector<Tensor> first;
      for (const int count : {1, 2, 3, 4, 5}) {
        CAPTURE(count);
        const ThreadCount scope(count);
        const std::vector<Tensor> values = train(network);
        if (first.empty()) first = values;
        REQUIRE(values.size() == first.size());
        for (size_t i = 0; i < values.size(); ++i) CHECK(same_bits(values[i], first[i]));
      }
    }
  }
}

}  // namespace elbo
