#include "apps/training/deep_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/progress.h"
#include "apps/support/text.h"
#include "apps/training/agreement.h"
#include "apps/training/deep_metrics_json.h"
#include "apps/training/deep_progress.h"
#include "apps/training/epochs.h"
#include "apps/training/evaluations.h"
#include "apps/training/run_batches.h"
#include "nn/checkpoint.h"
#include "tensor/file.h"
#include "vae/captured_steps.h"
#include "vae/elbo_loss.h"

namespace elbo {
namespace {

class Run {
 public:
  Run(const TrainingOptions& options, const std::vector<Member>& members, const LoadedData& data,
      const RunDirectory& run, const DeepRunOptions& how)
      : o_(options),
        data_(data),
        directory_(run),
        how_(how),
        batches_{.batch = options.batch,
                 .seed = how.seed,
                 .part = how.all_reduce ? how.all_reduce->rank() : 0,
                 .parts = how.all_reduce ? how.all_reduce->count() : 1} {
    run_.members = members;
    DeepVaeOptions network = network_of(options, members, data.dataset);
    network.device = how.device;
    run_.vae = std::make_unique<DeepVae>(network, how.seed);
    run_.vae->centre_encoder(mean_of(data).to(network.dtype));
    run_.history.resize(members.size());
    if (options.validation.every > 0)
      validation_.emplace(options.validation, run_.vae->parameters(), run, how.folder);
    per_epoch_ = batches_per_epoch(data.dataset, data.preprocessing, batches_);
    run_.steps_total = options.epochs * per_epoch_;
    const std::vector<Phase> phases =
        phases_of(options, members, *run_.vae, {data, how.validation, batches_}, run_.steps_total);
    columns_ = columns_for(probes_of(phases), options.method != "vae");
    training_.emplace(run_.vae->parameters(), phases, batches_of(data, batches_, how.device),
                      TrainingSettings{.seed = how.seed, .all_reduce = how.all_reduce});
    sums_ = fresh_sums();
  }

  /// Whether the curves have all epochs of the members that went on to the last.
  void check_history(const std::string& file, int64_t epochs) const {
    for (size_t m = 0; m < run_.history.size(); ++m) {
      const auto member = static_cast<int64_t>(m);
      if (run_.stop_of(member) || (validation_ && validation_->members()[m].ended > 0)) continue;
      const std::vector<double>& epoch = run_.history[m].epoch;
      bool whole = static_cast<int64_t>(epoch.size()) == epochs;
      for (size_t i = 0; i < epoch.size(); ++i) whole = whole && epoch[i] == static_cast<double>(i + 1);
      if (!whole)
        fail("[resume] {} does not have the epochs 1 to {} of member {}; was it edited by hand?", quote(file),
             epochs, member);
    }
  }

  DeepRun run() {
    const std::string checkpoint = directory_.file(how_.folder + "checkpoint/state.safetensors");
    const std::string metrics = directory_.file(how_.folder + "metrics.csv");
    const bool continues = how_.resume && std::filesystem::exists(checkpoint);
    if (continues) take_up(training_->load(checkpoint), checkpoint);
    const int64_t begun = training_->steps();
    if (begun > run_.steps_total)
      fail("[--epochs] the run has done {} epochs already, more than {}", begun / per_epoch_, o_.epochs);
    if (continues) {
      csv_.emplace(metrics, columns_, static_cast<double>(begun / per_epoch_));
      read_history(metrics, columns_, run_.history);
      check_history(metrics, begun / per_epoch_);
      run_.evaluations = read_evaluations(directory_, how_.folder, o_.evaluate_at, begun / per_epoch_,
                                          begun % per_epoch_ != 0, run_.members.size());
    } else {
      csv_.emplace(metrics, columns_);
      if (validation_) validation_->begin();
    }
    if (how_.resume && how_.resumed) how_.resumed();
    begin(begun);
    // A run may have been interrupted while it was at this.
    if (begun > 0 && begun % per_epoch_ == 0) end_of_epoch(begun / per_epoch_);
    Progress progress(run_.steps_total, how_.name,
                      {.quiet = how_.quiet || how_.progress != nullptr || !keeps_record(), .begun = begun});
    double saved_at = seconds(), points = 0;  // of this process
    const auto save = [&] {
      if (!keeps_record()) return;
      receive(true);
      csv_->save();
      if (how_.may_break && !has_finite_member(run_.vae->parameters(), training_->adam())) {
        saved_at = seconds();
        return;  // the older checkpoint stays
      }
      std::map<std::string, std::string> extra{
          {"epoch", to_json(sums_, probes(), run_.stopped, seconds()).dump()}};
      if (validation_) extra["validation"] = validation_->save(training_->steps());
      training_->save(checkpoint, extra);
      if (validation_) validation_->saved();
      saved_at = seconds();
    };
    if (begun == 0) save();  // from here on the run can always be resumed
    int64_t step = begun;
    const auto text = [&](double rate) {
      return progress_text(run_, *training_, per_epoch_) + (validation_ ? validation_->text() : "") +
             fmt::format(", {:.0f} points/s", rate);
    };
    while (step < run_.steps_total && !all_ended() && !stops()) {
      const int64_t from = step;
      step += take(step);
      points += static_cast<double>(points_before(step) - points_before(from)) *
                static_cast<double>(run_.members.size());
      receive(false);
      if (step % per_epoch_ == 0) end_of_epoch(step / per_epoch_);
      if (seconds() - saved_at > o_.checkpoint_seconds) save();
      const auto now = [&] { return text(points / (seconds() - before_)); };
      progress.update(step, now);
      if (how_.progress)
        how_.progress(static_cast<double>(step) / static_cast<double>(run_.steps_total), now);
    }
    receive(true);
    run_.steps_done = step;
    run_.seconds = seconds();
    run_.points_per_second = run_.seconds > before_ ? points / (run_.seconds - before_) : 0;
    if (!all_stopped()) save();  // a checkpoint without a finite member is refused
    progress.finish(text(run_.points_per_second));
    if (all_stopped()) {
      run_.metrics.assign(run_.members.size(), deep_metrics_from({{"stopped", true}}));
      for (int64_t epoch : o_.evaluate_at) run_.evaluations.try_emplace(epoch, run_.metrics);
    } else if (keeps_record() && (step == run_.steps_total || all_ended()) && !stops())
      run_.metrics = evaluate(data_);
    if (run_.finished()) stop_broken();
    run_.method = outcome_of(o_, *training_);
    if (run_.finished() && validation_) keep_best();
    return std::move(run_);
  }

 private:
  /// Of training, with earlier processes'.
  double seconds() const {
    return before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_at_).count();
  }
  bool keeps_record() const { return !how_.all_reduce || how_.all_reduce->rank() == 0; }
  /// The same in all processes.
  bool stops() const { return how_.all_reduce ? how_.all_reduce->stops() : interrupted(); }

  /// Points of all batches before a step.
  int64_t points_before(int64_t step) const {
    const int64_t points = data_.dataset.points(), batch = std::min(o_.batch, points);
    return step / per_epoch_ * points + step % per_epoch_ * batch;
  }

  /// What the checkpoint holds beside the model: the sums of the epoch, who was stopped, the time.
  void take_up(const std::map<std::string, std::string>& extra, const std::string& checkpoint) {
    try {
      const Json state = Json::parse(extra.at("epoch"));
      sums_ = fresh_sums();
      from_json(state, probes(), sums_, run_.stopped);
      before_ = state.at("seconds");
      for (const StoppedMember& stopped : run_.stopped) training_->stop(stopped.member, stopped.step);
      if (validation_) validation_->resume(extra.at("validation"));
    } catch (const Error&) {
      throw;
    } catch (const std::exception&) {  // of the map, or of the JSON library
      fail("[resume] {} is not a checkpoint of this training", quote(checkpoint));
    }
  }

  /// Makes what takes the steps.
  void begin(int64_t begun) {
    begun_at_ = std::chrono::steady_clock::now();
    steps_.emplace(*training_, run_.vae->has_scalar_sigma2() ? "log_sigma2" : "");
    if (begun % per_epoch_ != 0) steps_->begin_sums(sums_.probes);
  }

  /// Takes in what captured steps have measured.
  void receive(bool all) {
    for (const CapturedSteps::Result& result : steps_->receive(all)) {
      for (int64_t m = 0; m < run_.vae->models(); ++m)
        if (const int64_t step = result.sums.stopped[static_cast<size_t>(m)];
            step >= 0 && !ended(m) && !run_.stop_of(m))
          stop(m, step, training_->batches().batch(step));
      sums_.probes = result.sums.probes;
      const bool ends_epoch = result.step % per_epoch_ == 0;
      sums_.points =
          static_cast<double>(ends_epoch ? data_.dataset.points() : points_before(result.step % per_epoch_));
      if (!ends_epoch) continue;
      std::vector<double> sigma2(run_.members.size(), std::nan(""));
      for (size_t m = 0; m < result.sums.watched.size(); ++m) sigma2[m] = std::exp(result.sums.watched[m]);
      end_epoch(result.step - 1, sigma2);
    }
  }

  /// Takes steps from this one on, and adds up what one measured that was not captured. Returns how many; one
  /// that moves nothing where every member was stopped.
  int64_t take(int64_t step) {
    const int64_t taken = steps_->take();
    if (taken == 0) return 1;
    if (steps_->captured()) return taken;
    const LossTerms& terms = training_->terms();
    if (sums_.points == 0) sums_ = fresh_sums();  // perhaps another phase has begun
    const auto n = static_cast<double>(training_->rows());
    for (size_t m = 0; m < run_.members.size(); ++m) {
      const auto member = static_cast<int64_t>(m);
      if (ended(member)) continue;
      if (training_->stopped(member) >= 0) {
        stop(member, step, how_.all_reduce ? whole_batch(step) : training_->x());
        continue;
      }
      for (size_t i = 0; i < terms.probes.size(); ++i) sums_.probes[i][m] += n * terms.probes[i].at(member);
    }
    sums_.points += n;
    if ((step + 1) % per_epoch_ == 0) {
      std::vector<double> sigma2;
      for (int64_t m = 0; m < run_.vae->models(); ++m) sigma2.push_back(run_.vae->sigma2(m));
      end_epoch(step, sigma2);
    }
    return 1;
  }

  /// What the present phase's loss measures.
  const std::vector<std::string>& probes() const { return training_->phase().loss.probes; }

  /// Of which each process has made a part.
  Tensor whole_batch(int64_t step) const {
    BatchLoader::Options options = batches_;
    options.part = 0;
    options.parts = 1;
    return batches_of(data_, options, how_.device).batch(step);
  }

  bool all_stopped() const { return run_.stopped.size() == run_.members.size(); }

  EpochSums fresh_sums() const { return EpochSums(probes().size(), run_.members.size()); }

  /// At a step whose batch was x.
  void stop(int64_t member, int64_t step, const Tensor& x) {
    if (run_.stop_of(member)) return;
    const std::string tensor = first_not_finite(*run_.vae, x, training_->noise_at(step), member);
    stop({member, step / per_epoch_ + 1, step, tensor});
  }

  void stop(const StoppedMember& stopped) {
    const std::string text = fmt::format(
        "member {} stopped in epoch {}, step {}: its objective is not finite; the first tensor that is "
        "not is {}; try a smaller learning rate",
        run_.members[static_cast<size_t>(stopped.member)].index, stopped.epoch, stopped.step, stopped.tensor);
    if (run_.members.size() == 1 && !how_.may_break) fail("[train] {}", text);
    run_.stopped.push_back(stopped);
    training_->stop(stopped.member, stopped.step);
    log_line("\n" + text);
    if (all_stopped() && !how_.may_break) fail("[train] every member was stopped; see above");
  }

  /// After the last step nothing else finds out whether it broke a member: that is stopped there.
  void stop_broken() {
    std::vector<std::string> broken = first_not_finite(run_.vae->parameters(), training_->adam());
    for (size_t m = 0; m < broken.size(); ++m) {
      const auto member = static_cast<int64_t>(m);
      if (broken[m].empty() && !std::isfinite(run_.metrics[m].elbo)) broken[m] = "the ELBO";
      if (!broken[m].empty() && !run_.stop_of(member))
        stop({member, run_.steps_done / per_epoch_, run_.steps_done - 1, broken[m]});
    }
  }

  /// Records the epoch that ends with a step, at which the models had these sigma^2.
  void end_epoch(int64_t step, const std::vector<double>& sigma2s) {
    const int64_t epoch = (step + 1) / per_epoch_;
    const Phase& phase = training_->phase();
    const int64_t in_phase = step - (training_->steps() - training_->steps_in_phase());
    const TrainingTime time{in_phase, per_epoch_, phase.steps};
    for (size_t m = 0; m < run_.members.size(); ++m) {
      if (run_.stop_of(static_cast<int64_t>(m)) || ended(static_cast<int64_t>(m))) continue;
      EpochRow row{.epoch = epoch,
                   .member = m,
                   .sigma2 = sigma2s[m],
                   .kl_weight = run_.members[m].weight.at(time),
                   .learning_rate = run_.members[m].rate * phase.schedule.at(in_phase),
                   .seconds = seconds(),
                   .phase = phase_of(*training_, static_cast<int64_t>(m))};
      for (const std::vector<double>& sums : sums_.probes) row.probes.push_back(sums[m] / sums_.points);
      add(run_.history[m], row, probes());
      csv_->row(cells_of(row, probes(), columns_));
    }
    sums_ = fresh_sums();
  }

  bool ended(int64_t member) const { return validation_ && validation_->ended(member); }
  /// Whether patience has ended the members that did not break.
  bool all_ended() const {
    for (int64_t m = 0; m < run_.vae->models(); ++m)
      if (!ended(m) && !run_.stop_of(m)) return false;
    return true;
  }

  void end_of_epoch(int64_t epoch) {
    const bool due = validation_ && validation_->due(epoch);
    std::optional<FoundHeldOut> found = FoundHeldOut(run_.members.size());
    if (keeps_record()) {
      evaluate_if_asked(epoch);
      if (due) found = held_out();
    }
    if (how_.all_reduce) agree(*how_.all_reduce, due || asked_for(epoch), run_.vae->parameters(), found);
    if (!due || !found) return;
    validation_->take_in(epoch, *found, seconds());
    for (int64_t m = 0; m < run_.vae->models(); ++m)
      if (ended(m)) training_->stop(m, training_->steps());
  }

  /// What the members are worth on the validation split; nothing where this was broken off.
  std::optional<FoundHeldOut> held_out() {
    receive(true);
    const std::vector<DeepVaeMetrics> metrics = evaluate(*how_.validation, false);
    if (metrics.empty()) return std::nullopt;
    FoundHeldOut found(metrics.size());
    for (size_t m = 0; m < metrics.size(); ++m)
      if (const DeepVaeMetrics& x = metrics[m];  // the next step finds out who is broken
          !run_.stop_of(static_cast<int64_t>(m)) && std::isfinite(x.elbo))
        found[m] = {x.elbo, x.elbo_standard_error, x.expected_log_likelihood, x.kl};
    return found;
  }

  void keep_best() {
    DeepVaeOptions network = run_.vae->options();
    network.device = Device::cpu;
    run_.best = std::make_unique<DeepVae>(network, how_.seed);
    validation_->copy_best(run_.best->parameters());
    run_.validation = validation_->members();
    for (int64_t m = 0; m < run_.vae->models(); ++m) {
      const int64_t steps = run_.validation[static_cast<size_t>(m)].best_epoch * per_epoch_;
      run_.best_obstacles.push_back(obstacle_after(steps, m));
    }
  }

  bool asked_for(int64_t epoch) const {
    return std::find(o_.evaluate_at.begin(), o_.evaluate_at.end(), epoch) != o_.evaluate_at.end();
  }

  void evaluate_if_asked(int64_t epoch) {
    if (!asked_for(epoch) || run_.evaluations.contains(epoch)) return;
    receive(true);
    std::vector<DeepVaeMetrics> metrics = evaluate(data_);
    if (metrics.empty()) return;
    const std::vector<UnitGains> gains =
        unit_gains(*run_.vae, points_of(data_, points_for_gains(run_.vae->latent())), how_.seed);
    write_evaluation(directory_, how_.folder, epoch, metrics, gains, run_.stopped);
    run_.evaluations[epoch] = std::move(metrics);
  }

  std::vector<DeepVaeMetrics> evaluate(const LoadedData& data, bool second_draw = true) {
    std::vector<DeepVaeMetrics> metrics =
        evaluate_deep_vae(*run_.vae, points_of(data),
                          {.seed = how_.seed, .second_draw = second_draw, .progress = [](int64_t, int64_t) {
                             return !interrupted();
                           }});
    for (size_t m = 0; m < metrics.size(); ++m)
      if (std::string& obstacle = metrics[m].entropies.obstacle; obstacle.empty())
        obstacle = obstacle_after(steps_of(m), static_cast<int64_t>(m));
    return metrics;
  }

  /// Those that a member has taken: patience may have ended it before the others.
  int64_t steps_of(size_t m) const {
    const int64_t ended = validation_ ? validation_->members()[m].ended : 0;
    return ended > 0 ? ended * per_epoch_ : training_->steps();
  }

  /// Why the ELBO of a member after so many steps need not be the sum of its entropies; empty where it must.
  std::string obstacle_after(int64_t steps, int64_t member) const {
    if (!run_.vae->learns_sigma2(member)) return kSigma2IsFixed;
    if (o_.method == "libi") return "the generative model was not learned by the ELBO";
    return why_not_elbo(objective_of(o_, run_.members),
                        {std::max<int64_t>(steps - 1, 0), per_epoch_, run_.steps_total}, member);
  }

  const TrainingOptions& o_;
  const LoadedData& data_;
  const RunDirectory& directory_;
  const DeepRunOptions& how_;
  std::vector<std::string> columns_;
  const BatchLoader::Options batches_;
  std::optional<Training> training_;
  std::optional<CapturedSteps> steps_;  // of it
  std::optional<CsvFile> csv_;
  std::optional<Validation> validation_;
  EpochSums sums_{0, 0};
  DeepRun run_;
  int64_t per_epoch_ = 1;
  double before_ = 0;  // seconds of training that earlier processes spent
  std::chrono::steady_clock::time_point begun_at_ = std::chrono::steady_clock::now();
};

}  // namespace

DeepRun run_deep(const TrainingOptions& options, const std::vector<Member>& members, const LoadedData& data,
                 const RunDirectory& run, const DeepRunOptions& how) {
  return Run(options, members, data, run, how).run();
}

void say_interrupted(const DeepRun& run, const char* command, const std::string& directory) {
  log_line(fmt::format("stopped after {} of {} steps; continue with: elbo {} --resume {}", run.steps_done,
                       run.steps_total, command, shell_word(directory)));
}

}  // namespace elbo
