#include "apps/training/deep_progress.h"

#include <algorithm>
#include <cmath>

#include "apps/support/best.h"

namespace elbo {
namespace {

/// The name of the present phase and the members' lowest loss, which may be another in each.
std::string phase_text(const Training& training) {
  double lowest = std::nan("");
  const LossTerms& terms = training.terms();
  for (int64_t m = 0; terms.cost.defined() && m < terms.cost.elements(); ++m)
    if (training.stopped(m) < 0 && !(terms.cost.at(m) >= lowest)) lowest = terms.cost.at(m);
  return fmt::format("{}, loss {:.4g}", training.phase().name, lowest);
}

}  // namespace

std::string progress_text(const DeepRun& run, const Training& training, int64_t steps_per_epoch) {
  if (training.phase().name != Phase{}.name)
    return fmt::format("epoch {}, {}", std::max<int64_t>(training.steps() - 1, 0) / steps_per_epoch + 1,
                       phase_text(training));
  const MemberHistory* best = nullptr;
  for (const MemberHistory& h : run.history)
    if (!h.elbo.empty() && (!best || beats(h.elbo.back(), best->elbo.back()))) best = &h;
  if (!best) return "epoch 1";
  std::string text = fmt::format("epoch {:.0f}: {}ELBO {:.1f}, KL {:.1f} nats", best->epoch.back(),
                                 run.history.size() > 1 ? "best " : "", best->elbo.back(), best->kl.back());
  if (run.vae->has_scalar_sigma2()) text += fmt::format(", sigma^2 {:.3g}", best->sigma2.back());
  if (!run.stopped.empty()) text += fmt::format(", {} stopped", run.stopped.size());
  return text;
}

}  // namespace elbo
