// elbo trace: one training step, op by op: what it records, what that costs, and where gradients meet.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/command.h"
#include "apps/commands/train.h"
#include "apps/experiment/experiment.h"
#include "apps/reports/tape_report.h"
#include "apps/support/log.h"
#include "apps/support/run_directory.h"
#include "apps/support/statistics.h"
#include "apps/training/run_batches.h"
#include "apps/training/training_method.h"
#include "autograd/ops.h"
#include "autograd/trace.h"
#include "datasets/batch_loader.h"
#include "tensor/parallel.h"
#include "vae/linear_training.h"
#include "vae/training.h"

namespace elbo {
namespace {

/// Steps that are not counted: the first ask the system for memory.
constexpr int kWarmUp = 3;

struct Options : TrainOptions {
  int64_t repeats = 9;
};

/// What the steps of a training did: a trace of each, and how long they took.
struct TracedSteps {
  std::vector<std::vector<TapeTrace::Recorded>> tapes;
  std::vector<double> seconds;
  int64_t rows = 0;
};

/// Takes steps on one batch, over and over, so that nothing else is at work.
TracedSteps take_steps(ParameterStore& parameters, const std::vector<Phase>& phases,
                       const BatchSource& batches, const Options& o) {
  const Tensor x = batches.batch(0).clone();
  Training training(parameters, phases, {batches.per_epoch, [x](int64_t) { return x; }},
                    {.seed = o.run.seed});
  for (int i = 0; i < kWarmUp; ++i) training.step();
  TracedSteps steps{.tapes = {}, .seconds = {}, .rows = x.size(-2)};
  for (int64_t i = 0; i < o.repeats; ++i) {
    TapeTrace trace;
    const auto begin = std::chrono::steady_clock::now();
    if (!training.step()) break;
    steps.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    steps.tapes.push_back(trace.tapes());
  }
  if (steps.tapes.empty()) fail("[trace] the model broke in its first {} steps; try a smaller --lr", kWarmUp);
  return steps;
}

/// Long enough for every step that is taken here.
int64_t steps_for(const Options& o, int64_t per_epoch) {
  return std::max(o.training.epochs * per_epoch, kWarmUp + o.repeats);
}

TracedSteps linear_steps(Options& o, const LoadedData& data) {
  const ElboGradient gradient = parse_elbo_gradient(o.gradient);
  const Tensor mean = mean_of(data).to(DType::f64);
  LinearVae vae(linear_vae_of(o, data.dataset.dimensions()), o.run.seed);
  LoadedData centred = data;
  centred.preprocessing = followed_by(data.preprocessing, mean, Tensor::full(mean.shape(), 1, DType::f64));
  const BatchSource batches =
      batches_of(centred, {.batch = o.training.batch, .seed = o.run.seed}, vae.options().device);
  const Loss loss{.probes = {"elbo"}, .value = [&](const LossInput& in) {
                    const Variable elbo = elbo_of_batch(vae, gradient, in.x, in.key);
                    return LossValue{-elbo, {elbo}};
                  }};
  return take_steps(vae.parameters(),
                    {{.loss = loss,
                      .steps = steps_for(o, batches.per_epoch),
                      .rates = o.training.rates,
                      .clip = o.training.clip}},
                    batches, o);
}

TracedSteps deep_steps(Options& o, const LoadedData& data) {
  const std::vector<Member> members = members_of(o.training);
  check_training(o.training, members, data);
  check_method(o.training, members, data, nullptr);
  DeepVaeOptions network = network_of(o.training, members, data.dataset);
  network.device = device_of(o.run);
  DeepVae vae(network, o.run.seed);
  vae.centre_encoder(mean_of(data).to(network.dtype));
  const BatchLoader::Options loading{.batch = o.training.batch, .seed = o.run.seed};
  const BatchSource batches = batches_of(data, loading, network.device);
  return take_steps(
      vae.parameters(),
      phases_of(o.training, members, vae, {data, nullptr, loading}, steps_for(o, batches.per_epoch)), batches,
      o);
}

std::string tape_title(const std::vector<TracedTape>& tapes, size_t t) {
  std::string title =
      tapes.size() == 1 ? "The tape of a training step" : fmt::format("Tape {} of a training step", t + 1);
  if (tapes[t].count != 1) title += fmt::format(", recorded {:.4g} times", tapes[t].count);
  return title;
}

/// Where the time of a step goes, medians over the steps; and what its tapes come to.
std::string account(const std::vector<TracedTape>& tapes, const TracedSteps& steps) {
  std::vector<double> forward, backward, rest;
  for (size_t i = 0; i < steps.tapes.size(); ++i) {
    TapeTotals step;
    for (const TapeTrace::Recorded& tape : steps.tapes[i]) {
      const TapeTotals totals = totals_of(tape.ops);
      step.forward_seconds += totals.forward_seconds;
      step.backward_seconds += totals.backward_seconds;
    }
    forward.push_back(step.forward_seconds);
    backward.push_back(step.backward_seconds);
    rest.push_back(steps.seconds[i] - step.forward_seconds - step.backward_seconds);
  }
  int64_t saved = 0;
  double meetings = 0;
  for (const TracedTape& tape : tapes) {
    const TapeTotals totals = totals_of(tape.ops);
    saved = std::max(saved, totals.saved_bytes);
    meetings += tape.count * static_cast<double>(totals.meetings);
  }
  const auto median = [](const std::vector<double>& values) {
    return seconds_text(statistics_of(values).median);
  };
  return fmt::format(
      "A step on {} points takes {}: forward {}, backward {}, and {} for the optimiser and all else. The "
      "rules keep {} of memory until they run. {}",
      steps.rows, median(steps.seconds), median(forward), median(backward), median(rest), bytes_text(saved),
      meetings == 0   ? "No gradient meets another."
      : meetings == 1 ? "One gradient is added to another."
                      : fmt::format("{:.4g} gradients are added to others.", meetings));
}

constexpr const char* kHowToRead =
    "Each box is an entry of the tape: an op with its parameters and the shape of what it made. Values go "
    "down, gradients come up the same ways. saved: memory that came free once the op's rule had run. "
    "forward: time from the entry before to this one. backward: time of the rule.";

void trace(Options o, const Arguments& arguments, const std::vector<Argument>& training) {
  fill_in_defaults(o, arguments, training);
  apply(o.run);
  if (o.training.samples > 1 && o.run.threads == 0) {
    log_line(
        "elbo: traced with one thread: others would take shares of the samples, with tapes of their own");
    set_threads(1);
  }
  const LoadedData data = load_data(o.data, o.run.seed);
  o.data.preprocess = name(data.preprocessing.kind);
  const TracedSteps steps = o.training.model == "linear" ? linear_steps(o, data) : deep_steps(o, data);
  const std::vector<TracedTape> tapes = traced_tapes(steps.tapes);

  Json config = to_json(static_cast<const TrainOptions&>(o));
  config["repeats"] = o.repeats;
  RunDirectory run("trace", o.run.out);
  run.write_config(config);
  Result result("trace", config, provenance_of(o.run, data));
  const std::string summary = account(tapes, steps);
  Report report("A training step, op by op", fmt::format("One step of --model {} on {}. {}", o.training.model,
                                                         data.dataset.name, summary));
  report.paragraph(fmt::format("{} Times are medians of {} steps.", kHowToRead, steps.tapes.size()));
  Json list = Json::array();
  std::string text;
  for (size_t t = 0; t < tapes.size(); ++t) {
    const std::string title = tape_title(tapes, t),
                      file = fmt::format("tape{}", tapes.size() > 1 ? std::to_string(t + 1) : "");
    const Table table = tape_table(tapes[t].ops);
    const Drawing drawing{run.figures(), file, tape_svg(tapes[t].ops, title), ""};
    run.write_text("figures/" + file + ".svg", drawing.svg);
    report.begin_fold(fmt::format("{}: {} entries, drawn", title, tapes[t].ops.size()), t == 0);
    report.figure(drawing, title + ". Forward from the top to the loss, backward from there to the top.");
    report.end_fold();
    report.begin_fold("The same as a table", false);
    report.table(
        table,
        title + ". #3 is the output of entry 3; + marks a gradient that was added to one that was there.");
    report.end_fold();
    text += title + "\n" + table.text() + "\n";
    list.push_back(to_json(tapes[t]));
  }
  run.write_text("tape.txt", text + summary + "\n");
  result.set("step_seconds", statistics_of(steps.seconds).median, "s");
  result.set("tapes", list);
  conclude(run, result, report, config, o.run, text + kHowToRead + "\n" + summary);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  const std::vector<Argument> training = add_train_options(arguments, *o);
  arguments.begin_group("Trace");
  arguments.add_number("--repeats", o->repeats, "Steps whose times are taken; the medians count", {1, 10000})
      .show_default();
  arguments.footer(
      "The options of model, data and training are those of elbo train, so that a step of any training can "
      "be looked\n"
      "at: put trace in the place of train. The defaults are train's, too.");
  arguments.run([o, &arguments, training] { trace(*o, arguments, training); });
}

}  // namespace

const Command trace_command{"trace",
                            "Draw the tape of one training step: ops, shapes, memory, time, gradients", "",
                            "2 s on digits", add_options};

}  // namespace elbo
