// elbo luecke-streaming: Lücke et al., appendix A. A linear VAE says the log-likelihood of its data by its
// variances alone, without data, and with it the likelihood of every smaller latent dimension: enough to
// choose one while data stream by. Beside the exact likelihood, on PCA data and on images; and on streams
// that change (stream.h).
#include <chrono>
#include <numeric>

#include "apps/command.h"
#include "apps/experiment/linear_unit.h"
#include "apps/luecke/setting.h"
#include "apps/luecke/stream.h"
#include "apps/support/interrupt.h"
#include "apps/training/model_folder.h"
#include "tensor/memory.h"
#include "vae/linear_polish.h"
#include "vae/linear_training.h"
#include "vae/linear_vae_file.h"
#include "vae/streaming_likelihood.h"

namespace elbo {
namespace {

using namespace luecke;

struct Options : ExperimentOptions {
  int64_t points = 10000, latent = 6, image_latent = 200, steps = 3000, sweeps = 300, stream_steps = 3000;
  double rate = 3e-3;
  template <class F>
  void each(F f) {
    f("points", points);
    f("latent", latent);
    f("image_latent", image_latent);
    f("steps", steps);
    f("sweeps", sweeps);
    f("stream_steps", stream_steps);
    f("lr", rate);
  }
};

void prepare(Options& o, const Arguments& arguments) {
  quicken(arguments, o.quick, "--points", o.points, 2000);
  quicken(arguments, o.quick, "--image-latent", o.image_latent, 20);
  quicken(arguments, o.quick, "--steps", o.steps, 1000);
  quicken(arguments, o.quick, "--stream-steps", o.stream_steps, 1000);
}

/// Data, and what is to be found out of them.
struct Source {
  std::string key, title;
  Tensor x;                            // (N, D)
  int64_t latent;                      // of the VAE that is trained
  std::optional<int64_t> true_latent;  // that the data were made of
  ModelCard card;                      // of its model
};

double seconds_of(const std::function<void()>& work) {
  using std::chrono::steady_clock;
  const auto begin = steady_clock::now();
  int64_t times = 0;
  do {
    work();
    ++times;
  } while (steady_clock::now() - begin < std::chrono::milliseconds(50));
  return std::chrono::duration<double>(steady_clock::now() - begin).count() / static_cast<double>(times);
}

/// Bytes that tensors take at most at a time while the work is done, beyond those that are there before: it
/// makes its own copies of what it reads.
size_t bytes_of(const std::function<void()>& work) {
  reset_peak_memory();
  const size_t before = memory_counters().peak;
  work();
  return memory_counters().peak - before;
}

std::string bytes_text(double bytes) {
  if (bytes < 1e4) return fmt::format("{:.0f} bytes", bytes);
  return bytes < 1e6 ? fmt::format("{:.3g} kB", bytes / 1e3) : fmt::format("{:.3g} MB", bytes / 1e6);
}

FullBatchOptions training_of(const Options& o) { return cosine_training(o.steps, o.rate, o.run.seed); }

LinearVae model_of(const Options& o, const Source& source) {
  return LinearVae({.dimensions = source.x.size(1), .latent = source.latent, .device = device_of(o.run)},
                   o.run.seed);
}

Json study(const Options& o, const Source& source, const UnitPlace& place) {
  const DataMoments moments = data_moments(source.x.to(DType::f64));
  const Tensor x = centred(source.x, moments.mean, DType::f32);
  LinearVae vae = model_of(o, source);
  FullBatchOptions training = training_of(o);
  training.checkpoint = place.directory.file(place.folder + "checkpoint.safetensors");
  train_full_batch(vae, x, moments, training, [&](int64_t step, const auto& elbo) {
    place.progress(static_cast<double>(step) / static_cast<double>(o.steps),
                   [&] { return fmt::format("ELBO {:.3f} nats", elbo[0]); });
    return !interrupted();
  });
  if (interrupted()) return {};
  const int64_t dimensions = source.x.size(1);
  const auto likelihoods_of = [&](const LinearVaeWeights& w) -> Json {
    return {
        {"of_variances",
         streaming_log_likelihood(dimensions, w.log_sigma2, w.log_variance.to(DType::f64).to_vector())},
        {"log_likelihood", ppca_log_likelihood({w.decoder, moments.mean, std::exp(w.log_sigma2)}, moments)}};
  };
  // Gradients are slow at the last nats, which closed forms of the covariance are not.
  LinearVaeWeights weights = linear_vae_weights(vae);
  const Json by_gradients = likelihoods_of(weights);
  for (int64_t sweep = 0; sweep < o.sweeps && !interrupted(); ++sweep)
    weights = polish(weights, moments, true);
  if (interrupted()) return {};
  const Json at_optimum = likelihoods_of(weights);
  set_linear_vae_weights(vae, weights);
  save_linear_vae(place.directory.file(place.folder + model_name(true, 0)), vae, 0, metadata_of(source.card));
  const std::vector<double> variances = weights.log_variance.to(DType::f64).to_vector();
  const std::vector<double> streaming = streaming_log_likelihoods(dimensions, weights.log_sigma2, variances);
  const Eigen eigen = principal_components(moments);
  std::vector<double> exact;
  for (size_t k = 1; k <= streaming.size(); ++k)
    exact.push_back(ppca_max_log_likelihood(eigen.values, static_cast<int64_t>(k)));
  const Ppca model{weights.decoder, moments.mean, std::exp(weights.log_sigma2)};
  const auto by_variances = [&](const Tensor& log_variance) {
    return streaming_log_likelihood(dimensions, weights.log_sigma2, log_variance.span<double>());
  };
  const auto by_data = [&](const Tensor& x_of_data) {
    return ppca_log_likelihood(model, data_moments(x_of_data.to(DType::f64)));
  };
  const Tensor log_variance = weights.log_variance.to(DType::f64).to(Device::cpu);
  return {{"points", source.x.size(0)},
          {"dimensions", dimensions},
          {"by_gradients", by_gradients},
          {"log_likelihood", at_optimum.at("log_likelihood")},
          {"of_variances", at_optimum.at("of_variances")},
          {"streaming", streaming},
          {"exact", exact},
          {"chosen", choose_latent(streaming, dimensions, source.x.size(0))},
          {"chosen_exact", choose_latent(exact, dimensions, source.x.size(0))},
          {"true_latent", source.true_latent ? Json(*source.true_latent) : Json()},
          {"seconds_of_variances", seconds_of([&] { by_variances(log_variance); })},
          {"seconds_of_data", seconds_of([&] { by_data(source.x); })},
          {"bytes_of_variances", bytes_of([&] { by_variances(log_variance.clone()); })},
          {"bytes_of_data", bytes_of([&] { by_data(source.x.clone()); })}};
}

StreamOptions stream_of(const Options& o) {
  return {.points = o.points, .steps = o.stream_steps, .seed = o.run.seed};
}

/// Why a claim is not judged; empty: it is.
std::string unlike_defaults(const Options& o, bool shorter) {
  if (shorter) return "a shorter training than the command's own";
  return o.points < Options().points ? "fewer points than the command's own" : "";
}

void present(const Options& o, const std::vector<std::string>& keys, const Outcomes& outcomes,
             Presentation& p) {
  FigureGrid grid{.name = "latent", .title = "Likelihood over the latent dimension", .columns = 0};
  Table table({"data", Table::number("N"), Table::number("D"), Table::number("exact ln p(x)"),
               Table::number("of variances"), Table::number("k chosen"), Table::number("by exact"),
               Table::number("true k")});
  Table costs({"data", Table::number("time: data"), Table::number("time: variances"),
               Table::number("memory: data"), Table::number("memory: variances")});
  for (const std::string& key : keys) {
    if (!outcomes.has(key)) continue;
    const Json& found = outcomes.at(key);
    const std::vector<double> streaming = numbers_or_nan(found.at("streaming")),
                              exact = numbers_or_nan(found.at("exact"));
    std::vector<double> ks(streaming.size());
    std::iota(ks.begin(), ks.end(), 1.0);
    ++grid.columns;
    grid.cells.push_back(
        {.title = key,
         .x = {"latent dimension k"},
         .y = {"nats per data point"},
         .series =
             {{.name = "probabilistic PCA, of the data's covariance", .x = ks, .y = exact},
              {.name = "of one linear VAE's variances", .x = ks, .y = streaming, .style = Style::points}},
         .lines = {{.at = number_or_nan(found.at("chosen")), .label = "chosen", .vertical = true}}});
    const double likelihood = number_or_nan(found.at("log_likelihood")),
                 of_variances = number_or_nan(found.at("of_variances"));
    const double of_data = number_or_nan(found.at("seconds_of_data")),
                 fast = number_or_nan(found.at("seconds_of_variances"));
    const double all_bytes = number_or_nan(found.at("bytes_of_data")),
                 few_bytes = number_or_nan(found.at("bytes_of_variances"));
    const Json& true_latent = found.at("true_latent");
    table.row({key, std::to_string(found.at("points").get<int64_t>()),
               std::to_string(found.at("dimensions").get<int64_t>()), fmt::format("{:.4f}", likelihood),
               fmt::format("{:.4f}", of_variances), std::to_string(found.at("chosen").get<int64_t>()),
               std::to_string(found.at("chosen_exact").get<int64_t>()),
               true_latent.is_null() ? "unknown" : std::to_string(true_latent.get<int64_t>())});
    costs.row({key, fmt::format("{:.2g} s", of_data), fmt::format("{:.2g} s", fast), bytes_text(all_bytes),
               bytes_text(few_bytes)});
    Json kept = found;
    for (const char* cost :
         {"seconds_of_data", "seconds_of_variances", "bytes_of_data", "bytes_of_variances"})
      kept.erase(cost);
    p.result.set(key, kept, kNatsPerPoint);
    p.result.set(key + "_seconds", {{"of_variances", fast}, {"of_data", of_data}}, "seconds");
    p.result.set(key + "_bytes", {{"of_variances", few_bytes}, {"of_data", all_bytes}}, "bytes");
    const std::string unlike = unlike_defaults(o, o.steps < Options().steps || o.sweeps < Options().sweeps);
    const auto claim = [&](const std::string& why_not, const std::string& rule, bool holds, Claim own) {
      own.claim = key + ": " + own.claim;
      p.claims.push_back(judged(why_not, rule, holds, std::move(own)));
    };
    claim(unlike, "they are within 0.05 nats", std::abs(of_variances - likelihood) < 0.05,
          {.claim = "the variances alone give the log-likelihood (Eq. 44)",
           .paper = "exact at the optimum",
           .here = fmt::format("{:.4f} and {:.4f} nats; before the sweeps {:.4f} and {:.4f}", of_variances,
                               likelihood, number_or_nan(found.at("by_gradients").at("of_variances")),
                               number_or_nan(found.at("by_gradients").at("log_likelihood")))});
    claim(unlike, "they are within 0.05 nats", std::abs(of_variances - exact.back()) < 0.05,
          {.claim = "that is the maximum over all linear VAEs, as pPCA has it (Eq. 45)",
           .paper = "at the ML solution",
           .here = fmt::format("{:.4f} and {:.4f} nats", of_variances, exact.back())});
    const auto chosen = found.at("chosen").get<int64_t>(), by_exact = found.at("chosen_exact").get<int64_t>();
    const auto largest = static_cast<int64_t>(exact.size());
    claim(!unlike.empty()                         ? unlike
          : std::min(chosen, by_exact) == largest ? fmt::format("{} is the largest k that was tried", largest)
                                                  : "",
          fmt::format("that is the same k by Schwarz's criterion{}",
                      true_latent.is_null() ? "" : ", that which the data were made of"),
          chosen == by_exact && (true_latent.is_null() || chosen == true_latent.get<int64_t>()),
          {.claim = "they choose the latent dimension that the exact likelihood does",
           .paper = "can be used so",
           .here = fmt::format("k = {} and {}", chosen, by_exact)});
  }
  Report& report = p.report.emplace(
      "A log-likelihood without data",
      "Lücke et al., appendix A. At the optimum of a linear VAE its entropies are ln p(x), so that sigma and "
      "the k variances of the encoder tell the likelihood of the data it was trained on, in O(k). Adam alone "
      "is slow to get there; sweeps of closed-form steps, which take the data's covariance, go the rest of "
      "the way (--sweeps 0 leaves them out).");
  if (grid.columns > 0) {
    report.section("Likelihoods");
    report.figure(
        draw(grid, p.directory.figures()),
        "Points: from the variances of one VAE of the largest k. Line: the closed form, from the data.");
    report.table(table, "Nats per data point; k by Schwarz's criterion.");
    report.table(
        costs,
        "Of one evaluation on this machine: of the variances, and of the usual estimate, which reads all "
        "data. Memory is what tensors take at most meanwhile, with the variances, or the data, themselves.");
    p.text = table.text() + "\n" + costs.text();
  }
  if (outcomes.has(kStream))
    present_stream(stream_of(o), outcomes.at(kStream),
                   unlike_defaults(o, o.stream_steps < Options().stream_steps), p);
}

ExperimentPlan plan(Options& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  const ToySets toys = draw_sets(pca_toys(), {.train = o.points, .test = 1, .seed = o.run.seed});
  if (o.latent >= toys.train.size(2))
    fail("[--latent] must be below the {} dimensions of PCA data, got {}", toys.train.size(2), o.latent);
  if (o.image_latent >= data->dataset.dimensions())
    fail("[--image-latent] must be below the {} dimensions of the data, got {}", data->dataset.dimensions(),
         o.image_latent);
  ExperimentPlan plan{.what = "Trains a linear VAE on PCA data, one on images, and some on streams.",
                      .data = data};
  std::vector<std::string> keys;
  ModelCard pca_card = card_of_toy("ppca", 0, o.points, o.run.seed), image_card = card_of(o.data, *data);
  pca_card.entropies_obstacle = image_card.entropies_obstacle = "";
  for (const Source& source :
       {Source{"pca", "PCA data", toys.train.slice(0), o.latent, 2, pca_card},
        Source{"images", kind_of(data->dataset.name), data->all(), o.image_latent, {}, image_card}}) {
    keys.push_back(source.key);
    // An early word where the data do not span so many dimensions.
    ppca_mle_sigma2(principal_components(data_moments(source.x.to(DType::f64))).values, source.latent);
    plan.units.push_back(
        {.key = source.key,
         .title = "linear VAE on " + source.title,
         .cost = static_cast<double>(o.steps) * static_cast<double>(source.x.size(1) * source.x.size(1)) *
                 static_cast<double>(source.latent),
         .measure =
             [o, source] {
               const DataMoments moments = data_moments(source.x.to(DType::f64));
               LinearVae vae = model_of(o, source);
               return seconds_of_full_batch(vae, centred(source.x, moments.mean, DType::f32), moments,
                                            training_of(o));
             },
         .run = [o, source](const UnitPlace& place) { return study(o, source, place); }});
  }
  plan.units.push_back(stream_unit(stream_of(o)));
  plan.present = [o, keys](const Outcomes& outcomes, Presentation& p) { present(o, keys, outcomes, p); };
  return plan;
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_experiment_options(arguments, *o, "Fewer points, units and steps");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--points", o->points, kCount, "Points of PCA data");
  arguments.begin_group("Model");
  number("--latent", o->latent, kCount, "Largest latent dimension on PCA data");
  number("--image-latent", o->image_latent, kCount, "The same on images");
  arguments.begin_group("Optimisation");
  number("--steps", o->steps, kCount, "Full-batch Adam steps");
  number("--sweeps", o->sweeps, kCountOrNone, "Closed-form sweeps after them, to the optimum");
  number("--lr", o->rate, kPositive, "Highest learning rate; it falls along a cosine");
  number("--stream-steps", o->stream_steps, kCount, "Batches of each of a stream's two sets of PCA data");
  arguments.run([o, &arguments] {
    run_experiment<Options>({"luecke-streaming", prepare, plan}, *o, arguments);
  });
}

}  // namespace

const Command luecke_streaming_command{"luecke-streaming", "The log-likelihood of a linear VAE without data",
                                       "App. A", "2 min (--quick: 20 s)", add_options};

}  // namespace elbo
