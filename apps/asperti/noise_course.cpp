#include "apps/asperti/noise_course.h"

#include <algorithm>

namespace elbo::asperti {
namespace {

constexpr double kCollapsed = 0.1, kActive = 0.5;

}  // namespace

void NoiseCourse::take(int64_t epoch, const NoisyUnit& found) {
  if (epoch == 0) first_ = found;
  latest_ = found;
  if (removed_ >= 0) {
    if (collapsed_ >= 0 && revived_ < 0 && found.variance_of_mean > kActive) revived_ = epoch;
    return;
  }
  if (crossed_ < 0) {
    widest_ = std::max(widest_, found.variance_of_mean);
    if (epoch > 0 && found.gain < found.kl)
      crossed_ = epoch;
    else
      deviation_ += rule_.increment;
    largest_ = deviation_;
    if (crossed_ < 0) return;
  }
  if (collapsed_ < 0 && found.variance_of_mean < kCollapsed) collapsed_ = epoch;
  const bool settled = collapsed_ >= 0 && epoch >= collapsed_ + rule_.settle;
  if (!settled && epoch < crossed_ + rule_.patience) return;
  removed_ = epoch;
  deviation_ = 0;
}

}  // namespace elbo::asperti
