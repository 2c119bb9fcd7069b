#include "apps/luecke/stream.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "apps/luecke/setting.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/statistics.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_models.h"
#include "vae/set_batches.h"
#include "vae/streaming_likelihood.h"
#include "vae/training.h"

namespace elbo::luecke {
namespace {

constexpr int64_t kBatch = 500, kSamples = 20, kLooks = 400;
constexpr double kRate = 3e-3;  // which does not fall: a stream has no end

/// One model on all of the stream, by minibatches: Adam and sampled z, no closed form. Small enough for one
/// sitting, on any processor.
Json follow(const StreamOptions& o, const ShowProgress& progress) {
  const ToySets data = draw_sets(pca_toys(), {.sets = 2, .train = o.points, .test = 1, .seed = o.seed});
  const std::vector<double> truths = data.log_likelihoods(Split::train);
  const auto vae = luecke_vae(LueckeModel::linear, {.dimensions = data.train.size(2), .latent = 2}, o.seed);
  std::array<BatchSource, 2> sources;
  std::array<DataMoments, 2> moments;
  for (size_t i = 0; i < 2; ++i) {
    const Tensor x = data.train.slice(static_cast<int64_t>(i));
    sources[i] = shuffled_batches(x, kBatch, o.seed);
    moments[i] = data_moments(x.to(DType::f64));
  }
  const auto source_at = [&](int64_t step) { return static_cast<size_t>(step < o.steps ? 0 : 1); };
  const BatchSource stream{.per_epoch = sources[0].per_epoch, .batch = [&](int64_t step) {
                             return sources[source_at(step)].batch(step % o.steps);
                           }};
  Training training(vae->parameters(),
                    {{.loss = elbo_loss(*vae, {}, kSamples), .steps = 2 * o.steps, .rates = {kRate}}}, stream,
                    {.seed = o.seed});
  const int64_t every = std::max<int64_t>(2 * o.steps / kLooks, 1);
  Json found{{"points", o.points}, {"steps", o.steps}, {"truth", truths}};
  for (const char* curve : {"step", "of_variances", "log_likelihood"}) found[curve] = Json::array();
  const Tensor any = data.train.slice(0).slice(0, 1);  // tau is the same for all points
  while (training.step()) {
    if (interrupted()) return {};
    const int64_t done = training.steps();
    if (done % every != 0) continue;
    const Ppca decoder = linear_decoder(*vae, 0);
    const std::vector<double> log_variance = vae->encode(any).log_variance.value().to(DType::f64).to_vector();
    found["step"].push_back(done);
    found["of_variances"].push_back(
        finite_or_null(streaming_log_likelihood(data.train.size(2), std::log(decoder.sigma2), log_variance)));
    found["log_likelihood"].push_back(
        finite_or_null(ppca_log_likelihood(decoder, moments[source_at(done - 1)])));
    progress(static_cast<double>(done) / static_cast<double>(2 * o.steps),
             [&] { return fmt::format("batch {} of {}", done, 2 * o.steps); });
  }
  return found;
}

}  // namespace

Unit stream_unit(const StreamOptions& o) {
  constexpr double kOfNetworks = 100;  // numbers that a draw is worth, beside other units'
  return {.key = kStream,
          .title = "linear VAE on a stream of PCA data",
          .cost = static_cast<double>(2 * o.steps * kBatch * kSamples) * kOfNetworks,
          .measure =
              [o] {
                return seconds_for_steps(2 * o.steps, [&](int64_t n) {
                  follow({.points = o.points, .steps = std::max<int64_t>(n / 2, 1), .seed = o.seed},
                         [](double, const auto&) {});
                });
              },
          .run = [o](const UnitPlace& place) { return follow(o, place.progress); }};
}

void present_stream(const Json& found, const std::string& unlike, Presentation& p) {
  const std::vector<double> steps = numbers_or_nan(found.at("step")),
                            of_variances = numbers_or_nan(found.at("of_variances")),
                            exact = numbers_or_nan(found.at("log_likelihood")),
                            truth = numbers_or_nan(found.at("truth"));
  const auto change = found.at("steps").get<double>();
  // The last tenth of either half.
  std::vector<double> before, after;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] > 0.9 * change && steps[i] <= change) before.push_back(of_variances[i] - exact[i]);
    if (steps[i] > 1.9 * change) after.push_back(of_variances[i] - exact[i]);
  }
  const double off_before = statistics_of(before).mean, off_after = statistics_of(after).mean;
  Figure figure{.name = "stream",
                .title = "A stream that changes",
                .x = {"batch"},
                .y = {"nats per data point"},
                .series = {{.name = "exact ln p(x) of the data that come now", .x = steps, .y = exact},
                           {.name = "of the variances alone, Eq. 44",
                            .x = steps,
                            .y = of_variances,
                            .style = Style::dashed},
                           {.name = "ground truth",
                            .x = {0, change, change, 2 * change},
                            .y = {truth[0], truth[0], truth[1], truth[1]},
                            .colour = kBlack}},
                .lines = {{.at = change, .label = "other data", .vertical = true}}};
  const double top = std::max(truth[0], truth[1]), bottom = std::min(truth[0], truth[1]);
  figure.y.low = bottom - 6, figure.y.high = top + 2;  // the first batches, of either, are far below
  Report& report = *p.report;
  report.section("Data that change");
  report.figure(
      draw(figure, p.directory.figures()),
      fmt::format("A linear VAE of its own, trained on batches of {} points by Adam with {} draws of z. "
                  "After {:.0f} batches they come from another set of PCA data.",
                  kBatch, kSamples, change));
  p.result.set(kStream, {{"before", finite_or_null(off_before)}, {"after", finite_or_null(off_after)}},
               "nats per data point: of the variances minus exact, over the last tenth of either half");
  Claim claim{
      .claim = "stream: the variances track data that change",
      .paper = "without any effort",
      .here = fmt::format("off by {:+.4f} nats before the change, {:+.4f} at the end", off_before, off_after),
      .note = note_of(unlike, "both are within 0.05 nats, over the last tenth of either half")};
  if (unlike.empty()) claim.holds = std::abs(off_before) < 0.05 && std::abs(off_after) < 0.05;
  p.claims.push_back(std::move(claim));
}

}  // namespace elbo::luecke
