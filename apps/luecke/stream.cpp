#include "apps/luecke/stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "apps/luecke/recorded.h"
#include "apps/luecke/setting.h"
#include "apps/support/figure.h"
#include "apps/support/interrupt.h"
#include "apps/support/statistics.h"
#include "apps/support/table.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_models.h"
#include "vae/set_batches.h"
#include "vae/streaming_likelihood.h"
#include "vae/training.h"

namespace elbo::luecke {
namespace {

constexpr int64_t kStreams = 10, kBatch = 500, kSamples = 20, kLooks = 400;
constexpr double kRate = 3e-3;  // which does not fall: a stream has no end

/// Linear VAEs, each on a stream of its own, by minibatches: Adam and sampled z, no closed form. Small enough
/// for one sitting, on any processor.
class Followers {
 public:
  explicit Followers(const StreamOptions& o) : steps_(o.steps) {
    const ToySets data =
        draw_sets(pca_toys(), {.sets = 2 * kStreams, .train = o.points, .test = 1, .seed = o.seed});
    truths_ = data.log_likelihoods(Split::train);
    vae_ = luecke_vae(LueckeModel::linear,
                      {.dimensions = data.train.size(2), .latent = 2, .members = kStreams}, o.seed);
    for (size_t half = 0; half < 2; ++half) {
      const auto first = static_cast<int64_t>(half) * kStreams;
      const Tensor x = data.train.slice(first, first + kStreams);
      sources_[half] = shuffled_batches(x, kBatch, o.seed);
      for (int64_t m = 0; m < kStreams; ++m)
        moments_[half].push_back(data_moments(x.slice(m).to(DType::f64)));
    }
    any_ = data.train.slice(0).slice(0, 1);  // tau is the same for all points
    training_.emplace(
        vae_->parameters(),
        std::vector<Phase>{{.loss = elbo_loss(*vae_, {}, kSamples), .steps = 2 * o.steps, .rates = {kRate}}},
        BatchSource{.per_epoch = sources_[0].per_epoch,
                    .batch = [this](int64_t step) { return sources_[half_at(step)].batch(step % steps_); }},
        TrainingSettings{.seed = o.seed});
  }

  bool step() { return training_->step(); }
  int64_t steps() const { return training_->steps(); }
  double truth(int64_t stream, int64_t half) const {
    return truths_[static_cast<size_t>(half * kStreams + stream)];
  }
  /// What a model's variances say now, and the exact ln p(x) of the set that its batches come from.
  std::pair<double, double> look(int64_t stream) const {
    const Ppca decoder = linear_decoder(*vae_, stream);
    const Tensor log_variance = vae_->encode(any_).log_variance.value().slice(stream).to(DType::f64);
    return {streaming_log_likelihood(any_.size(-1), std::log(decoder.sigma2), log_variance.to_vector()),
            ppca_log_likelihood(decoder, moments_[half_at(steps() - 1)][static_cast<size_t>(stream)])};
  }

 private:
  size_t half_at(int64_t step) const { return step < steps_ ? 0 : 1; }

  int64_t steps_;
  std::vector<double> truths_;
  std::unique_ptr<Vae> vae_;
  std::array<BatchSource, 2> sources_;
  std::array<std::vector<DataMoments>, 2> moments_;
  Tensor any_;
  std::optional<Training> training_;
};

Json follow(const StreamOptions& o, const UnitPlace& place) {
  Followers followers(o);
  const int64_t every = std::max<int64_t>(2 * o.steps / kLooks, 1);
  std::vector<double> steps;
  std::vector<std::vector<double>> of_variances(kStreams), exact(kStreams);
  while (followers.step()) {
    if (interrupted()) return {};
    const int64_t done = followers.steps();
    if (done % every != 0) continue;
    steps.push_back(static_cast<double>(done));
    for (int64_t m = 0; m < kStreams; ++m) {
      const auto [said, is] = followers.look(m);
      of_variances[static_cast<size_t>(m)].push_back(said);
      exact[static_cast<size_t>(m)].push_back(is);
    }
    place.progress(static_cast<double>(done) / static_cast<double>(2 * o.steps),
                   [&] { return fmt::format("batch {} of {}", done, 2 * o.steps); });
  }
  Json found{{"change", o.steps}, {"step", steps}, {"streams", Json::array()}};
  for (int64_t m = 0; m < kStreams; ++m)
    found["streams"].push_back({{"of_variances", finite_or_null(of_variances[static_cast<size_t>(m)])},
                                {"exact", finite_or_null(exact[static_cast<size_t>(m)])},
                                {"truth", {followers.truth(m, 0), followers.truth(m, 1)}}});
  return found;
}

}  // namespace

Unit stream_unit(const StreamOptions& o) {
  constexpr double kOfDraw = 450;  // the cost of a draw of z, beside other units' flops
  return {.key = kStream,
          .title = fmt::format("linear VAEs on {} streams of PCA data", kStreams),
          .cost = static_cast<double>(2 * o.steps * kStreams * kBatch * kSamples) * kOfDraw,
          .measure =
              [o] {
                StreamOptions longer = o;
                ++longer.steps;  // seconds_for_steps takes a step more, to warm up
                Followers followers(longer);
                return seconds_for_steps(2 * o.steps, [&](int64_t n) {
                  for (int64_t i = 0; i < n; ++i) followers.step();
                });
              },
          .run = [o](const UnitPlace& place) { return follow(o, place); }};
}

void present_stream(const StreamOptions& o, const Json& found, const std::string& unlike, Presentation& p) {
  const std::vector<double> steps = numbers_or_nan(found.at("step"));
  const auto change = found.at("change").get<double>();
  std::vector<double> before, after, until_near;
  for (const Json& stream : found.at("streams")) {
    const Tracking own = tracking_of(steps, change, numbers_or_nan(stream.at("of_variances")),
                                     numbers_or_nan(stream.at("exact")));
    before.push_back(own.before);
    after.push_back(own.after);
    until_near.push_back(own.until_near);
  }
  const auto median_size = [](std::vector<double> values) {
    for (double& value : values) value = std::abs(value);
    return statistics_of(values).median;
  };
  const double off_before = median_size(before), off_after = median_size(after),
               batches = median_of_all(until_near);
  const auto never = std::ranges::count_if(until_near, [](double until) { return std::isinf(until); });

  const Json& first = found.at("streams").at(0);
  const std::vector<double> truth = numbers_or_nan(first.at("truth"));
  Figure figure{.name = "stream",
                .title = "A stream that changes",
                .x = {"batch"},
                .y = {"nats per data point"},
                .series = {{.name = "exact ln p(x) of the data that come now",
                            .x = steps,
                            .y = numbers_or_nan(first.at("exact"))},
                           {.name = "of the variances alone, Eq. 44",
                            .x = steps,
                            .y = numbers_or_nan(first.at("of_variances")),
                            .style = Style::dashed},
                           {.name = "ground truth",
                            .x = {0, change, change, 2 * change},
                            .y = {truth[0], truth[0], truth[1], truth[1]},
                            .colour = kBlack}},
                .lines = {{.at = change, .label = "other data", .vertical = true}}};
  // The first batches, of either half, are far below.
  figure.y.low = std::min(truth[0], truth[1]) - 6;
  figure.y.high = std::max(truth[0], truth[1]) + 2;
  Report& report = *p.report;
  report.section("Data that change");
  report.figure(
      draw(figure, p.directory.figures()),
      fmt::format("The first of {} linear VAEs, each on a stream of its own: batches of {} points, Adam "
                  "with {} draws of z. After batch {:.0f} they come from another set of PCA data.",
                  kStreams, std::min(kBatch, o.points), kSamples, change));
  Table table({"streams", Table::number("off before the change"), Table::number("off at the end"),
               Table::number(fmt::format("batches until off by less than {:g}", kNear)),
               Table::number("streams that never are")});
  table.row({std::to_string(before.size()), fmt::format("{:.4f}", off_before),
             fmt::format("{:.4f}", off_after),
             std::isfinite(batches) ? fmt::format("{:.0f}", batches) : "not reached", std::to_string(never)});
  report.table(
      table,
      "Medians over the streams, nats per data point: how far what the variances say is from the exact "
      "likelihood, on average over the last tenth of either half; and after how many batches of other "
      "data it is near for good; and how many streams are not at the last look.");
  p.text += (p.text.empty() ? "" : "\n") + table.text();
  p.result.set(
      kStream,
      {{"before", finite_or_null(before)},
       {"after", finite_or_null(after)},
       {"batches_until_near", finite_or_null(until_near)}},
      "of each stream: of the variances minus exact, nats per data point, over the last tenth of either "
      "half; batches of the second until that is below 0.05 for good, null where it is not at the last look");
  p.claims.push_back(judged(
      unlike, fmt::format("both are below {:g} nats in the median over {} streams", kNear, kStreams),
      off_before < kNear && off_after < kNear,
      {.claim = "stream: the variances track data that change",
       .paper = "without any effort",
       .here = fmt::format(
           "off by {:.4f} nats before the change and {:.4f} at the end; {} of {} streams are within "
           "{:g} there{}",
           off_before, off_after, until_near.size() - static_cast<size_t>(never), until_near.size(), kNear,
           std::isfinite(batches) ? fmt::format(", after {:.0f} batches in the median of all", batches)
                                  : "")}));
}

}  // namespace elbo::luecke
