// elbo yacoby-mobius: fits the network that stands for the Moebius transform (Yacoby et al., appendix E) and
// says how well, and how well the stored one does, which made the data that elbo calls Mobius. The bits of a
// fit depend on the BLAS and the processor, so that another machine's has another fingerprint.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "apps/command.h"
#include "apps/support/interrupt.h"
#include "apps/support/progress.h"
#include "apps/support/table.h"
#include "apps/training/options.h"
#include "datasets/mobius_network.h"
#include "tensor/file.h"
#include "vae/parts.h"
#include "vae/set_batches.h"

namespace elbo {
namespace {

constexpr int64_t kHidden = 50;

struct Options {
  int64_t points = 100000, batch = 500, steps = 50000;
  double rate = 1e-2;
  std::string write;
  RunOptions run;
};

Tensor prior_samples(int64_t points, uint64_t seed, uint64_t step) {
  return normal({points, 2}, DType::f64, {.seed = seed, .stream = kEvaluation, .step = step});
}

/// The error of each row, |f(z) - m(z)|: its root mean square, and its largest.
struct FitError {
  double root_mean_square = 0, largest = 0;
};
FitError error_of(const ReluNet& net, const Tensor& z) {
  const std::vector<double> ours = apply(net, z).to_vector(), exact = mobius_transform(z).to_vector();
  FitError error;
  for (size_t i = 0; i < ours.size(); i += 2) {
    const double off = std::hypot(ours[i] - exact[i], ours[i + 1] - exact[i + 1]);
    error.root_mean_square += off * off;
    error.largest = std::max(error.largest, off);
  }
  error.root_mean_square = std::sqrt(error.root_mean_square / (0.5 * static_cast<double>(ours.size())));
  return error;
}

std::optional<ReluNet> fit(const Options& o) {
  ParameterStore store(DType::f64);
  const auto add = [&](const std::string& name, int64_t in, int64_t out) -> std::array<Parameter*, 2> {
    const Initializer drawn{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(in))};
    return {&store.add(name + ".weight", {out, in}, drawn), &store.add(name + ".bias", {out}, drawn)};
  };
  const auto first = add("0", 2, kHidden), second = add("1", kHidden, 2);
  store.initialise(o.run.seed);
  const Tensor z = prior_samples(o.points, o.run.seed, 0);
  const Tensor pairs = concat({Variable(z), Variable(mobius_transform(z))}, -1).value();
  const Loss loss{.value = [&](const LossInput& in) {
    const Variable x = in.x;
    const Variable hidden = linear(slice(x, -1, 0, 2), *first[0], *first[1], Activation::relu);
    const Variable off = linear(hidden, *second[0], *second[1]) - slice(x, -1, 2, 4);
    return LossValue{mean(square(off)), {}};
  }};
  Training training(store,
                    {{.loss = loss,
                      .steps = o.steps,
                      .rates = {o.rate},
                      .schedule = {.kind = Schedule::Kind::cosine, .base = 1, .total_steps = o.steps}}},
                    shuffled_batches(pairs, o.batch, o.run.seed), {.seed = o.run.seed});
  const InterruptGuard guard;
  Progress progress(o.steps, "fit", {.quiet = o.run.json});
  while (training.step()) {
    if (interrupted()) return {};
    progress.update(training.steps(), [&] {
      return fmt::format("root mean square error {:.1e}", std::sqrt(2 * training.terms().cost.item()));
    });
  }
  if (training.stopped(0) >= 0) fail("[yacoby-mobius] the fit diverged; try a smaller --lr");
  return ReluNet{first[0]->value.clone(), first[1]->value.clone(), second[0]->value.clone(),
                 second[1]->value.clone()};
}

void fit_mobius(Options o) {
  apply_on_cpu(o.run);
  const std::optional<ReluNet> net = fit(o);
  if (!net) return;
  const Tensor fresh = prior_samples(100000, o.run.seed, 1);
  Table table(
      {"network", Table::number("root mean square error"), Table::number("largest error"), "fingerprint"});
  Json found;
  for (const auto& [name, which] : {std::pair{"fitted", *net}, {"stored", mobius_network()}}) {
    const FitError error = error_of(which, fresh);
    const std::string print = fingerprint(which);
    table.row({name, fmt::format("{:.2e}", error.root_mean_square), fmt::format("{:.2e}", error.largest),
               print.substr(0, 16)});
    found[name] = {{"root_mean_square_error", error.root_mean_square},
                   {"largest_error", error.largest},
                   {"fingerprint", print}};
  }
  found["same_bits"] = fingerprint(*net) == fingerprint(mobius_network());
  if (!o.write.empty()) write_file_again(o.write, mobius_network_source(*net));
  if (o.run.json) {
    fmt::print("{}", json_text(found));
    return;
  }
  fmt::print(
      "|f(z) - m(z)| of a 2-{}-2 ReLU network over 100000 new z of the prior; the noise of the data has the "
      "deviation 3.16e-03.\n{}\nThe data are made by the stored network. A fit on this machine has {} "
      "bits.\n",
      kHidden, table.text(), found["same_bits"] ? "the same" : "other");
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_run_options(arguments, o->run, false);
  arguments.begin_group("Fit");
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--points", o->points, kCount, "Draws of z from the prior to fit on");
  number("--batch", o->batch, kCount, "Of them a step");
  number("--steps", o->steps, kCount, "Steps of Adam");
  number("--lr", o->rate, kPositive, "Highest learning rate; it falls along a cosine");
  arguments.add_text("--write", o->write, "Write the network there, as datasets/mobius_network.cpp is");
  arguments.run([o] { fit_mobius(*o); });
}

}  // namespace

const Command yacoby_mobius_command{
    "yacoby-mobius", "Fit the network that stands for the Moebius transform in the data Mobius", "App. E",
    "15 s", add_options};

}  // namespace elbo
