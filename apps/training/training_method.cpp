#include "apps/training/training_method.h"

#include <algorithm>

#include "apps/support/arguments.h"
#include "apps/support/log.h"
#include "apps/training/run_batches.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

constexpr const char* kOfLibi[] = {"--libi-repetitions", "--eps-hz", "--eps-sigma", "--eps-mu"};
constexpr const char* kOfLagging[] = {"--lagging-segments"};

bool in_segments(const TrainingOptions& o) { return o.method == "lagging" && o.lagging_segments > 0; }

/// The first points of the split that a method looks at, as the model takes them.
const LoadedData& looked_at(const MethodData& data) {
  return data.validation ? *data.validation : data.training;
}

void check_libi(const TrainingOptions& o, const std::vector<Member>& members, const LoadedData& data) {
  if (o.validation.patience > 0)
    fail("[--patience] is not for --method libi: its first step does not make the ELBO better");
  if (variance_per_dimension(data) == 0)
    fail("[--method] the points are all the same: libi has nothing to make codes of");
  const int64_t points = data.dataset.points(), batch = std::min(o.batch, points),
                last = points % batch == 0 ? batch : points % batch, k = o.latent;
  if (last <= k)
    fail(
        "[--batch] the last batch of an epoch has {} points, and LiBI needs more than the {} latent "
        "dimensions "
        "for its statistics, which are of the batch; choose another --batch",
        last, k);
  // Of n points from N(0, I) the expected |Sigma - I|_F^2 is k (k + 1) / n.
  double least = members[0].eps_sigma;
  for (const Member& member : members) least = std::min(least, member.eps_sigma);
  const double expected = static_cast<double>(k * (k + 1)) / static_cast<double>(last);
  if (expected > least)
    log_line(fmt::format(
        "elbo: batches of {} points are small for LiBI in {} latent dimensions: its statistics are of "
        "the batch, and of as many points from N(0, I) |Σ - I|² is {:.2g}, above --eps-sigma {:g}; "
        "a larger --batch or fewer --latent would help",
        last, k, expected, least));
}

}  // namespace

void add_method_options(Arguments& arguments, TrainingOptions& o) {
  arguments.begin_group("Method");
  arguments
      .add_text(
          "--method", o.method,
          "vae: the objective alone; libi: likelihood before inference (Yacoby et al.); lagging: lagging "
          "inference networks (He et al. 2019)")
      .show_default();
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--libi-repetitions", o.libi_repetitions, kCount,
         "libi: how often the generative and the inference model are trained in turn; the best is kept");
  number("--eps-hz", o.eps_hz, kNotNegative,
         "libi: weight of exp(Henze-Zirkler statistic); a list makes an ensemble, as of the next two");
  number("--eps-sigma", o.eps_sigma, kPositive,
         "libi: divides the squared distance of the codes' covariance from I");
  number("--eps-mu", o.eps_mu, kPositive, "libi: divides the squared length of the codes' mean");
  number("--lagging-segments", o.lagging_segments, kCountOrNone,
         "lagging: segments of encoder alone, then all (Yacoby et al.); 0: as He et al., whose decisions are "
         "made on the way");
}

void check_method_options(const TrainingOptions& o, const Arguments& arguments) {
  for (const char* option : kOfLibi)
    if (o.method != "libi" && arguments.given(option)) fail("[{}] is for --method libi", option);
  for (const char* option : kOfLagging)
    if (o.method != "lagging" && arguments.given(option)) fail("[{}] is for --method lagging", option);
}

void check_method(const TrainingOptions& o, const std::vector<Member>& members, const LoadedData& data,
                  const LoadedData* validation) {
  if (o.method == "vae") return;
  if (o.method == "libi" && validation && validation->dataset.points() <= o.latent)
    fail(
        "[--validation] LiBI compares its repetitions on more points than there are latent dimensions; {} "
        "for {}",
        validation->dataset.points(), o.latent);
  if (o.method != "libi" && o.method != "lagging")
    fail("[--method] unknown method '{}'; there are vae, libi, lagging", o.method);
  for (const Member& member : members)
    if (member.weight.annealing != KlWeight::Annealing::none)
      fail("[--annealing] is for --method vae: {} has an objective that stays", o.method);
  if (parse_penalty(o.penalty) == Objective::Penalty::capacity)
    fail("[--penalty] capacity changes over time, which is for --method vae");
  const int64_t phases = 2 * (o.method == "libi" ? o.libi_repetitions : o.lagging_segments);
  if (o.epochs < phases)
    fail("[--epochs] --method {} with {} has {} phases of at least an epoch each, and {} epochs are fewer",
         o.method,
         o.method == "libi" ? fmt::format("--libi-repetitions {}", o.libi_repetitions)
                            : fmt::format("--lagging-segments {}", o.lagging_segments),
         phases, o.epochs);
  if (o.method == "libi") check_libi(o, members, data);
}

bool has_one_phase(const TrainingOptions& o) { return o.method != "libi" && !in_segments(o); }

Schedule schedule_of(const TrainingOptions& o, int64_t steps) {
  return {.kind = parse_schedule(o.schedule),
          .base = 1,
          .warmup_steps = o.schedule == "constant" ? 0 : std::min<int64_t>(32, steps / 10),
          .total_steps = steps,
          .step_every = std::max<int64_t>(steps / 3, 1)};
}

std::vector<Phase> phases_of(const TrainingOptions& o, const std::vector<Member>& members, DeepVae& vae,
                             const MethodData& data, int64_t steps) {
  const int64_t per_epoch =
      batches_per_epoch(data.training.dataset, data.training.preprocessing, data.batches);
  Phase whole{.loss = elbo_loss(vae, objective_of(o, members), o.samples),
              .steps = steps,
              .rates = {},
              .clip = o.clip};
  for (const Member& member : members) whole.rates.push_back(member.rate);
  std::vector<Phase> phases{whole};
  const int64_t points = std::min(looked_at(data).dataset.points(), kPointsOfMethod);
  if (o.method == "libi") {
    LibiOptions libi{.repetitions = o.libi_repetitions, .eps_hz = {}, .eps_sigma = {}, .eps_mu = {}};
    for (const Member& member : members) {
      libi.eps_hz.push_back(member.eps_hz);
      libi.eps_sigma.push_back(member.eps_sigma);
      libi.eps_mu.push_back(member.eps_mu);
    }
    libi.chosen_on = looked_at(data).rows(0, points);
    phases = libi_phases(vae, libi, whole, per_epoch);
  } else if (in_segments(o)) {
    phases = lagging_segments(whole, o.lagging_segments, per_epoch);
  } else if (o.method == "lagging") {
    phases = {lagging_phase(vae,
                            {.fresh = batches_of(data.training, data.batches, vae.device()).batch,
                             .information_on = points_of(looked_at(data), points),
                             .per_epoch = per_epoch},
                            whole)};
  }
  for (Phase& phase : phases) phase.schedule = schedule_of(o, phase.steps);
  return phases;
}

std::vector<std::string> probes_of(const std::vector<Phase>& phases) {
  std::vector<std::string> names;
  for (const Phase& phase : phases)
    for (const std::string& name : phase.loss.probes)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  return names;
}

std::string phase_of(const Training& training, int64_t member) {
  const LaggingOutcome lagging = lagging_outcome(training);
  if (lagging.joint_from.empty()) return training.phase().name;
  const int64_t joint_from = lagging.joint_from.at(static_cast<size_t>(member));
  return joint_from < 0 ? "aggressive" : "joint";
}

MethodOutcome outcome_of(const TrainingOptions& o, const Training& training) {
  MethodOutcome outcome;
  if (o.method == "libi" && o.libi_repetitions > 1) outcome.libi = libi_outcome(training);
  if (o.method == "lagging" && !in_segments(o)) outcome.lagging = lagging_outcome(training);
  return outcome;
}

}  // namespace elbo
