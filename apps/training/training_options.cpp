#include "apps/training/training_options.h"

#include <charconv>
#include <cstdio>

#include "apps/support/arguments.h"
#include "apps/support/log.h"
#include "apps/training/model_input.h"
#include "datasets/batch_loader.h"
#include "nn/optimizer.h"
#include "tensor/file.h"

namespace elbo {

void add_network_options(Arguments& arguments, TrainingOptions& o) {
  arguments.begin_group("Model");
  const auto text = [&](const char* name, std::string& value, const char* help) {
    arguments.add_text(name, value, help).show_default();
  };
  text("--network", o.network,
       "conv: higgins (images of 64, 32 or 28 pixels) or asperti (28 pixels, batch normalisation)");
  arguments
      .add_number("--channels", o.channels, "conv: channels of the first layer, which the others follow from",
                  kCount)
      .show_default();
  const auto widths = [&](const char* name, std::string& value, const char* help) {
    arguments.add_widths(name, value, help).show_default(value);
  };
  widths("--hidden", o.hidden, "Widths of the encoder's hidden layers, which the decoder mirrors, or none");
  widths("--encoder-hidden", o.encoder_hidden, "Widths of the encoder's, where they differ");
  widths("--decoder-hidden", o.decoder_hidden, "Widths of the decoder's, from z on, where they differ");
  text("--activation", o.activation, "none, relu, leaky_relu, elu, softplus, sigmoid, tanh, cbrt or cube");
  arguments.add_text("--encoder-activation", o.encoder_activation, "The encoder's, where it differs");
  text("--likelihood", o.likelihood,
       "gaussian (one sigma^2), diagonal (sigma^2 from a second head) or bernoulli");
}

void add_optimisation_options(Arguments& arguments, TrainingOptions& o) {
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  const auto text = [&](const char* name, std::string& value, const char* help) {
    arguments.add_text(name, value, help).show_default();
  };
  arguments.begin_group("Model");
  number("--latent,--latent-dim", o.latent, kCount, "Latent dimension k");
  number("--sigma2", o.sigma2, kPositive,
         "Observation noise to start from, or to keep; a list makes an ensemble");
  text("--init", o.initializer, "normal:S, xavier_uniform, kaiming_normal, ...");
  arguments.begin_group("Optimisation");
  number("--epochs", o.epochs, kCount, "Passes over the data");
  number("--batch,--batch-size", o.batch, kCount, "Points in a minibatch");
  number("--samples", o.samples, kCount, "Draws of z for each point");
  number("--lr,--learning-rate", o.rates, kPositive,
         "Adam's learning rate, the highest of its schedule; a list makes an ensemble");
  text("--schedule", o.schedule,
       "Learning rate over time: constant, step or cosine; linear: after up to 32 steps of rising");
  number("--clip", o.clip, kNotNegative, "Bound on the gradient's norm; 0 means none");
  arguments.begin_group("Objective");
  text("--penalty", o.penalty, "What of the KL is optimised: kl, free-bits or capacity");
  number("--annealing-epochs", o.annealing_epochs, kNotNegative, "linear: epochs until the weight is whole");
  number("--free-nats", o.free_nats, kNotNegative, "free-bits: nats that each unit has for nothing");
  number("--capacity", o.capacity, kNotNegative, "capacity: nats of KL at the end");
  number("--capacity-epochs", o.capacity_epochs, kNotNegative, "capacity: epochs until then");
  arguments.begin_group("Ensemble");
  number("--members,--trials", o.trials, kCount, "Models of each setting, with random numbers of their own");
  arguments.begin_group("Run");
  arguments.add_number("--evaluate-at", o.evaluate_at, "Epochs after which all metrics are written", kCount);
  number("--checkpoint-seconds", o.checkpoint_seconds, kNotNegative, "Time between checkpoints");
}

void add_member_options(Arguments& arguments, TrainingOptions& o) {
  arguments.begin_group("Model");
  arguments.add_flag("--learn-sigma2,!--fix-sigma2", o.learn_sigma2,
                     "Learn sigma^2 (default), or keep it fixed");
  arguments.begin_group("Objective");
  arguments.add_number("--beta", o.betas, "Weight of the penalty; a list makes an ensemble", kNotNegative)
      .show_default();
  arguments
      .add_texts("--annealing", o.annealings,
                 "The weight over time: none, linear or cyclical; a list makes an ensemble")
      .show_default();
  arguments.add_number("--cycles", o.cycles, "cyclical: how often", kCount).show_default();
  arguments.begin_group("Ensemble");
  arguments.add_number("--only-member", o.only_member, "Of the ensemble, train this member alone", kIndex);
}

void set_model_defaults(TrainingOptions& o, const Arguments& arguments) {
  const bool conv = o.model == "conv";
  for (const char* option :
       {"--hidden", "--encoder-hidden", "--decoder-hidden", "--activation", "--encoder-activation"})
    if (conv && arguments.given(option))
      fail("[{}] is for --model mlp; --network says what layers there are", option);
  for (const char* option : {"--network", "--channels"})
    if (!conv && arguments.given(option)) fail("[{}] is for --model conv", option);
  if (!conv) return;
  const auto unless_given = [&](const char* option, auto& value, auto preset) {
    if (!arguments.given(option)) value = preset;
  };
  unless_given("--latent", o.latent, 32);
  unless_given("--batch", o.batch, 64);
  unless_given("--lr", o.rates, std::vector<double>{1e-4});
  unless_given("--init", o.initializer, std::string("kaiming_normal"));
}

void check_used(const TrainingOptions& o, const Arguments& arguments) {
  const auto check_one = [&](const char* option, const char* of, bool used) {
    if (!used && arguments.given(option)) fail("[{}] is for {}, which is not asked for", option, of);
  };
  const auto anneals = [&](const char* how) {
    return std::find(o.annealings.begin(), o.annealings.end(), how) != o.annealings.end();
  };
  check_one("--free-nats", "--penalty free-bits", o.penalty == "free-bits");
  for (const char* option : {"--capacity", "--capacity-epochs"})
    check_one(option, "--penalty capacity", o.penalty == "capacity");
  check_one("--annealing-epochs", "--annealing linear", anneals("linear"));
  check_one("--cycles", "--annealing cyclical", anneals("cyclical"));
  for (const char* option : {"--sigma2", "--learn-sigma2"})
    check_one(option, "--likelihood gaussian", o.likelihood == name(Likelihood::gaussian));
}

namespace {

/// Throws Error where a list that makes an ensemble has something twice.
void check_once(const TrainingOptions& o) {
  const auto check = [](const char* option, auto list) {
    std::sort(list.begin(), list.end());
    const auto twice = std::adjacent_find(list.begin(), list.end());
    if (twice != list.end())
      fail("[{}] {} stands twice; --members makes more models of one setting", option, *twice);
  };
  check("--sigma2", o.sigma2);
  check("--lr", o.rates);
  check("--beta", o.betas);
  check("--annealing", o.annealings);
}

}  // namespace

Json to_json(const TrainingOptions& o) {
  Json config;
  each_training_option(o, [&](const char* name, const auto& value) { config[name] = value; });
  // Where there is no validation, no word of it.
  if (o.validation.every > 0) config["validate_every"] = o.validation.every;
  if (o.validation.patience > 0) config["patience"] = o.validation.patience;
  return config;
}

void restore(TrainingOptions& o, const Json& config) {
  // A run of an earlier version lacks the options that were new since; their defaults are what it did.
  each_training_option(o, [&](const char* name, auto& value) {
    if (config.contains(name)) config.at(name).get_to(value);
  });
  o.validation = {config.value("validate_every", int64_t{0}), config.value("patience", int64_t{0})};
}

void set_default_preprocess(DataOptions& data, const TrainingOptions& o) {
  data.preprocess = o.likelihood == name(Likelihood::bernoulli) ? "scale" : "logit";
  data.preprocess_is_default = true;
}

void check_training(const TrainingOptions& o, const std::vector<Member>& members, const LoadedData& data) {
  check_once(o);
  const DeepVaeOptions network = network_of(o, members, data.dataset);
  check_fits(input_of(network), data);
  check(network);
  objective_of(o, members);
  parse_schedule(o.schedule);
  check(o.validation, o.epochs);
  for (int64_t epoch : o.evaluate_at)
    if (epoch > o.epochs) fail("[--evaluate-at] there is no epoch {}; training has {}", epoch, o.epochs);
  const int64_t steps =
      o.epochs * batches_per_epoch(data.dataset, data.preprocessing, {.batch = o.batch, .seed = 0});
  // A cycle of one step has the weight it begins with, which is 0.
  for (const Member& member : members)
    if (member.weight.annealing == KlWeight::Annealing::cyclical && member.weight.cycles > steps / 2)
      fail("[--cycles] {} cycles need at least {} steps, training has {}", member.weight.cycles,
           2 * member.weight.cycles, steps);
  if (!data.dataset.no_images.empty())
    log_line(fmt::format("elbo: {} is taken as points of {} numbers, not as images: {}",
                         quote(data.dataset.name), data.dataset.dimensions(), data.dataset.no_images));
  if (const std::string warning = range_warning(data, false); !warning.empty()) log_line("elbo: " + warning);
}

std::vector<int64_t> parse_widths(const std::string& text) {
  std::vector<int64_t> widths;
  if (text == "none") return widths;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int64_t width = 0;
    const auto [next, error] = std::from_chars(at, end, width);
    if (error != std::errc{} || width < 1 || (next != end && *next != ','))
      fail("[--hidden] cannot read '{}'; give widths such as 1024,512, or none", text);
    widths.push_back(width);
    if (next == end) return widths;
    at = next + 1;
  }
}

std::vector<Member> members_of(const TrainingOptions& o) {
  std::vector<Member> members;
  Member member{.learn_sigma2 = o.learn_sigma2};
  member.weight.epochs = o.annealing_epochs;
  member.weight.cycles = o.cycles;
  for (member.trial = 0; member.trial < o.trials; ++member.trial)
    for (double rate : o.rates)
      for (const std::string& annealing : o.annealings)
        for (double beta : o.betas)
          for (double eps_mu : o.eps_mu)
            for (double eps_sigma : o.eps_sigma)
              for (double eps_hz : o.eps_hz)
                for (double sigma2 : o.sigma2) {
                  member.index = static_cast<int64_t>(members.size());
                  member.rate = rate;
                  member.weight.annealing = parse_annealing(annealing);
                  member.weight.beta = beta;
                  member.eps_mu = eps_mu;
                  member.eps_sigma = eps_sigma;
                  member.eps_hz = eps_hz;
                  member.sigma2 = sigma2;
                  members.push_back(member);
                }
  if (o.only_member < 0) return members;
  if (o.only_member >= static_cast<int64_t>(members.size()))
    fail("[--only-member] there is no member {}; the ensemble has {}", o.only_member, members.size());
  return {members[static_cast<size_t>(o.only_member)]};
}

DeepVaeOptions network_of(const TrainingOptions& o, const std::vector<Member>& members, const Dataset& data) {
  const std::string encoder = o.encoder_hidden.empty() ? o.hidden : o.encoder_hidden;
  std::vector<int64_t> mirrored = parse_widths(o.hidden);
  std::reverse(mirrored.begin(), mirrored.end());
  DeepVaeOptions model{.dimensions = data.dimensions(),
                       .latent = o.latent,
                       .encoder_hidden = parse_widths(encoder),
                       .decoder_hidden = o.decoder_hidden.empty() ? mirrored : parse_widths(o.decoder_hidden),
                       .encoder_activation = parse_activation(
                           o.encoder_activation.empty() ? o.activation : o.encoder_activation),
                       .decoder_activation = parse_activation(o.activation),
                       .likelihood = parse_likelihood(o.likelihood),
                       .sigma2 = {},
                       .learn_sigma2 = {},
                       .weights = parse_initializer(o.initializer),
                       .members = members.size() > 1 ? static_cast<int64_t>(members.size()) : 0,
                       .first_member = members[0].index};
  if (o.model == "conv")
    model.conv = {.design = parse_conv_design(o.network),
                  .image = {.height = data.height, .width = data.width, .channels = data.channels},
                  .width = o.channels};
  for (const Member& member : members) {
    model.sigma2.push_back(member.sigma2);
    model.learn_sigma2.push_back(member.learn_sigma2);
  }
  return model;
}

Objective objective_of(const TrainingOptions& o, const std::vector<Member>& members) {
  Objective objective{.penalty = parse_penalty(o.penalty),
                      .free_nats = o.free_nats,
                      .capacity = o.capacity,
                      .capacity_epochs = o.capacity_epochs,
                      .weights = {}};
  for (const Member& member : members) objective.weights.push_back(member.weight);
  return objective;
}

std::string describe(const Member& member) {
  // Blanks within a setting do not break a line.
  std::string text =
      fmt::format("σ²\u00a0=\u00a0{:g}{}", member.sigma2, member.learn_sigma2 ? "" : "\u00a0fixed");
  if (member.weight.beta != 1) text += fmt::format(", β\u00a0=\u00a0{:g}", member.weight.beta);
  if (member.weight.annealing != KlWeight::Annealing::none)
    text += fmt::format(", {}\u00a0annealing", name(member.weight.annealing));
  const Member usual;
  const auto epsilon = [&](const char* of, double value, double otherwise) {
    if (value != otherwise) text += fmt::format(", ε\u00a0{}\u00a0{:g}", of, value);
  };
  epsilon("HZ", member.eps_hz, usual.eps_hz);
  epsilon("Σ", member.eps_sigma, usual.eps_sigma);
  epsilon("μ", member.eps_mu, usual.eps_mu);
  text += fmt::format(", lr\u00a0{:g}", member.rate);
  if (member.trial > 0) text += fmt::format(", trial\u00a0{}", member.trial + 1);
  return text;
}

}  // namespace elbo
