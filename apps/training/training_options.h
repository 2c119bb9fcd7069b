// What a person can choose about training a VAE, and what follows from it: the members of the ensemble and
// the model.
//
// Several sigma^2, learning rates, betas, annealings or epsilons of LiBI make an ensemble of every
// combination, times the number of trials; they train together.
#pragma once

#include "apps/training/options.h"
#include "apps/training/validation.h"
#include "vae/deep_vae.h"
#include "vae/objective.h"

namespace elbo {

/// The defaults are those of the deep VAE of Lucas et al. 2019.
struct TrainingOptions {
  std::string model = "mlp";        ///< "linear", "mlp" or "conv"
  std::string network = "higgins";  ///< conv: the design
  int64_t channels = 32;            ///< conv: of the first layer; the others follow from it
  std::string hidden = "1024,512";  ///< of the encoder; the decoder mirrors it. "none": no hidden layer
  std::string encoder_hidden, decoder_hidden;  ///< where they differ; empty: as `hidden` says
  std::string activation = "relu", encoder_activation;
  std::string likelihood = "gaussian", initializer = "xavier_uniform";
  int64_t latent = 200, epochs = 100, batch = 128, samples = 1;
  std::string method = "vae";  ///< apps/training/training_method.h; what follows is of one method each
  int64_t libi_repetitions = 1;
  std::vector<double> eps_hz{1}, eps_sigma{0.5}, eps_mu{0.5};
  int64_t lagging_segments = 0;  ///< 0: as He et al.
  std::vector<double> sigma2{1};
  bool learn_sigma2 = true;
  std::vector<double> rates{1e-3};
  std::string schedule = "constant";
  double clip = 0;
  std::string penalty = "kl";
  std::vector<double> betas{1};
  std::vector<std::string> annealings{"none"};
  double annealing_epochs = 100, free_nats = 0.1, capacity = 25, capacity_epochs = 100;
  int64_t cycles = 4;
  int64_t trials = 1;
  int64_t only_member = -1;  ///< -1: all
  std::vector<int64_t> evaluate_at;
  double checkpoint_seconds = 60;
  ValidationOptions validation;
};

/// What two models of an ensemble differ in, beside their random numbers.
struct Member {
  int64_t index = 0;  ///< in the whole ensemble; the random numbers follow from it
  double sigma2 = 1;
  bool learn_sigma2 = true;
  double rate = 1e-3;
  KlWeight weight{};
  double eps_hz = 1, eps_sigma = 0.5, eps_mu = 0.5;  ///< LiBI's
  int64_t trial = 0;
};

/// Options of the network, the objective and the optimisation that every deep model has.
void add_network_options(Arguments& arguments, TrainingOptions& options);
/// Takes the defaults of convolutional models for what was not given, where the model is one; refuses options
/// that the model does not have.
void set_model_defaults(TrainingOptions& options, const Arguments& arguments);
void add_optimisation_options(Arguments& arguments, TrainingOptions& options);
/// What else makes a member, for commands that do not choose it themselves.
void add_member_options(Arguments& arguments, TrainingOptions& options);

/// Calls f(name, value) for each of them; reading and writing config.json are two such f.
template <class Options, class F>
void each_training_option(Options& o, F f) {
  f("model", o.model);
  f("network", o.network);
  f("channels", o.channels);
  f("hidden", o.hidden);
  f("encoder_hidden", o.encoder_hidden);
  f("decoder_hidden", o.decoder_hidden);
  f("activation", o.activation);
  f("encoder_activation", o.encoder_activation);
  f("likelihood", o.likelihood);
  f("init", o.initializer);
  f("latent", o.latent);
  f("epochs", o.epochs);
  f("batch", o.batch);
  f("samples", o.samples);
  f("method", o.method);
  f("libi_repetitions", o.libi_repetitions);
  f("eps_hz", o.eps_hz);
  f("eps_sigma", o.eps_sigma);
  f("eps_mu", o.eps_mu);
  f("lagging_segments", o.lagging_segments);
  f("sigma2", o.sigma2);
  f("learn_sigma2", o.learn_sigma2);
  f("lr", o.rates);
  f("schedule", o.schedule);
  f("clip", o.clip);
  f("penalty", o.penalty);
  f("beta", o.betas);
  f("annealing", o.annealings);
  f("annealing_epochs", o.annealing_epochs);
  f("cycles", o.cycles);
  f("free_nats", o.free_nats);
  f("capacity", o.capacity);
  f("capacity_epochs", o.capacity_epochs);
  f("members", o.trials);
  f("only_member", o.only_member);
  f("evaluate_at", o.evaluate_at);
  f("checkpoint_seconds", o.checkpoint_seconds);
}
Json to_json(const TrainingOptions& options);
void restore(TrainingOptions& options, const Json& config);
/// Throws Error for options that were given and say nothing beside the others, such as --capacity without
/// that penalty.
void check_used(const TrainingOptions& options, const Arguments& arguments);

/// Every combination, trials slowest; all of them, or the one that --only-member names. Throws for values
/// that make no sense.
std::vector<Member> members_of(const TrainingOptions& options);

/// What distinguishes a member from the others: "σ² = 10 fixed, lr 0.001, trial 2".
std::string describe(const Member& member);

/// The network for these data, with one member for each of `members`; without a member axis when there is
/// one.
DeepVaeOptions network_of(const TrainingOptions& options, const std::vector<Member>& members,
                          const Dataset& data);
Objective objective_of(const TrainingOptions& options, const std::vector<Member>& members);

/// Pixels as a deep VAE takes them unless told otherwise: in logit space (Lucas et al. 2019, section 6.2), or
/// for the Bernoulli likelihood scaled to 0..1.
void set_default_preprocess(DataOptions& data, const TrainingOptions& options);

/// Throws for options that training would refuse, so that nothing is written before.
void check_training(const TrainingOptions& options, const std::vector<Member>& members,
                    const LoadedData& data);

/// "1024,512" or "none" as widths.
std::vector<int64_t> parse_widths(const std::string& text);

}  // namespace elbo
