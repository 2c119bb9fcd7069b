#include "vae/lagging.h"

#include <algorithm>
#include <limits>

#include "vae/deep_metrics.h"

namespace elbo {
namespace {

constexpr const char* kEncoder = "encoder.";

// Of the noise of the encoder's own steps: beyond the streams of tensor/random.h.
constexpr uint32_t kInnerNoise = 100;

// Notes of a training, one number of each member, but for the moments.
constexpr const char* kFirst = "lagging.first_moment";
constexpr const char* kSecond = "lagging.second_moment";
constexpr const char* kTaken = "lagging.encoder_steps";
constexpr const char* kJointFrom = "lagging.joint_from";
constexpr const char* kInformation = "lagging.mutual_information";

class Lagging {
 public:
  Lagging(Vae& vae, LaggingOptions options, const Phase& whole)
      : vae_(vae), o_(std::move(options)), loss_(whole.loss), clip_(whole.clip) {}

  void before(Training& training) {
    begin(training);
    const int64_t step = training.time().step;
    if (step > 0 && step % o_.per_epoch == 0) look_at_information(training);
    std::vector<double> rates = training.rates_now();
    for (size_t m = 0; m < rates.size(); ++m)
      if (joint_from(training)[m] >= 0) rates[m] = 0;
    take_inner_steps(training, rates);
  }

  /// Of members that are trained jointly the encoder takes a step by the same gradient as the rest.
  void beside(Training& training) {
    std::vector<double> rates = training.rates_now();
    for (size_t m = 0; m < rates.size(); ++m)
      if (joint_from(training)[m] < 0) rates[m] = 0;
    move_encoder(training, rates);
  }

 private:
  static std::span<int64_t> joint_from(Training& t) { return t.notes().at(kJointFrom).span<int64_t>(); }
  static std::span<int64_t> taken(Training& t) { return t.notes().at(kTaken).span<int64_t>(); }

  /// Makes the notes, or takes up those of a checkpoint; from then on they are the optimiser's own tensors.
  void begin(Training& training) {
    TrainingNotes& notes = training.notes();
    const int64_t models = vae_.models();
    if (!notes.contains(kTaken)) {
      notes[kTaken] = Tensor::zeros({models}, DType::i64);
      notes[kInformation] = Tensor::zeros({models}, DType::f64);
      notes[kJointFrom] = Tensor::zeros({models}, DType::i64);
      std::fill(joint_from(training).begin(), joint_from(training).end(), -1);
    }
    Tensor &first = notes[kFirst], &second = notes[kSecond];
    if (encoder_ && first.defined() && first.shares_storage(encoder_->first_moment())) return;
    encoder_ = std::make_unique<Adam>(training.parameters(), training.settings().adam,
                                      std::vector<std::string>{kEncoder});
    if (first.defined()) encoder_->restore(0, first, second);
    first = encoder_->first_moment();
    second = encoder_->second_moment();
  }

  void look_at_information(Training& training) {
    if (std::none_of(joint_from(training).begin(), joint_from(training).end(),
                     [](int64_t from) { return from < 0; }))
      return;
    const std::vector<double> now = mutual_information(vae_, o_.information_on, training.settings().seed);
    const std::span<double> last = training.notes().at(kInformation).span<double>();
    for (size_t m = 0; m < now.size(); ++m) {
      if (joint_from(training)[m] >= 0) continue;
      if (!(now[m] > last[m])) joint_from(training)[m] = training.steps();
      last[m] = now[m];
    }
  }

  /// Rates of 0 are those of members that take none.
  void take_inner_steps(Training& training, std::vector<double> rates) {
    const size_t models = rates.size();
    std::vector<double> sum(models), last(models, std::numeric_limits<double>::infinity());
    const auto goes_on = [&](double rate) { return rate != 0; };
    for (int64_t i = 0; i < kInnerMost && std::any_of(rates.begin(), rates.end(), goes_on); ++i) {
      const int64_t number = training.steps() * kInnerMost + i;
      const RandomKey key{
          .seed = training.settings().seed, .stream = kInnerNoise, .step = static_cast<uint64_t>(number)};
      const LossTerms terms = on_cpu(differentiate(loss_, o_.fresh(number), training.time(), key));
      for (int64_t m : members_not_finite(terms)) {
        double& rate = rates[static_cast<size_t>(m)];
        if (rate != 0) training.stop(m, training.steps());
        rate = 0;
      }
      move_encoder(training, rates);
      training.parameters().consume_gradients();
      for (size_t m = 0; m < models; ++m) sum[m] += terms.cost.at(static_cast<int64_t>(m));
      if ((i + 1) % kInnerCheck != 0) continue;
      for (size_t m = 0; m < models; ++m) {
        if (!(sum[m] < last[m])) rates[m] = 0;
        last[m] = sum[m];
        sum[m] = 0;
      }
    }
  }

  void move_encoder(Training& training, const std::vector<double>& rates) {
    if (std::none_of(rates.begin(), rates.end(), [](double rate) { return rate != 0; })) return;
    const std::span<int64_t> t = taken(training);
    for (size_t m = 0; m < rates.size(); ++m) t[m] += rates[m] != 0;
    if (clip_ > 0) clip_gradient_norm(training.parameters(), clip_, {kEncoder});
    encoder_->step_at(t, rates);
  }

  Vae& vae_;
  LaggingOptions o_;
  Loss loss_;
  double clip_;
  std::unique_ptr<Adam> encoder_;
};

}  // namespace

std::vector<Phase> lagging_segments(const Phase& whole, int64_t segments, int64_t unit) {
  if (segments < 1) fail("[lagging] there must be at least one segment, got {}", segments);
  const std::vector<int64_t> lengths = equal_lengths(whole.steps, 2 * segments, unit);
  std::vector<Phase> phases;
  for (int64_t s = 0; s < 2 * segments; ++s) {
    Phase phase = whole;
    phase.name = fmt::format("{} {}", s % 2 == 0 ? "encoder" : "joint", s / 2 + 1);
    phase.steps = lengths[static_cast<size_t>(s)];
    if (s % 2 == 0) phase.moves = {kEncoder};
    phases.push_back(std::move(phase));
  }
  return phases;
}

Phase lagging_phase(Vae& vae, const LaggingOptions& options, const Phase& whole) {
  if (!options.fresh) fail("[lagging] the encoder's own steps need batches");
  if (options.per_epoch < 1)
    fail("[lagging] an epoch must have at least one step, got {}", options.per_epoch);
  Phase phase = whole;
  phase.name = "lagging";
  for (const Parameter* parameter : vae.parameters().trained())
    if (!parameter->name.starts_with(kEncoder)) phase.moves.push_back(parameter->name);
  const auto lagging = std::make_shared<Lagging>(vae, options, whole);
  phase.before = [lagging](Training& training) { lagging->before(training); };
  phase.beside = [lagging](Training& training) { lagging->beside(training); };
  return phase;
}

LaggingOutcome lagging_outcome(const Training& training) {
  const TrainingNotes& notes = training.notes();
  if (!notes.contains(kTaken)) return {};
  const auto numbers = [&](const char* name) {
    const std::span<int64_t> of = notes.at(name).span<int64_t>();
    return std::vector<int64_t>(of.begin(), of.end());
  };
  return {numbers(kJointFrom), numbers(kTaken), notes.at(kInformation).to_vector()};
}

}  // namespace elbo
