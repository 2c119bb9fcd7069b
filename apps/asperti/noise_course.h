// The course of one unit under noise (Asperti 2019, section 5): the noise grows, epoch by epoch, until the
// unit is worth less than its KL; it stays until the unit has collapsed; then it is removed, and the unit may
// come back. What happens next follows from what was measured after each epoch, and from nothing else.
#pragma once

#include <cstdint>

#include "vae/unit_noise.h"

namespace elbo::asperti {

struct NoiseRule {
  double increment = 0.25;  ///< of the noise's standard deviation, after each epoch
  int64_t settle = 3;       ///< epochs that the noise stays once the unit has collapsed
  int64_t patience = 25;    ///< and at most where it does not
};

class NoiseCourse {
 public:
  explicit NoiseCourse(const NoiseRule& rule) : rule_(rule) {}

  /// What was found after an epoch, 0 being before the first; in this order.
  void take(int64_t epoch, const NoisyUnit& found);
  /// Of the noise, in the epoch that follows.
  double deviation() const { return deviation_; }

  // Epochs after which something was seen; -1: it was not.
  int64_t crossed() const { return crossed_; }      ///< gain below KL
  int64_t collapsed() const { return collapsed_; }  ///< Var mu below 0.1, after that
  int64_t removed() const { return removed_; }      ///< the noise; at the end of this epoch
  int64_t revived() const { return revived_; }      ///< Var mu above 0.5 again, of one that had collapsed
  double largest_deviation() const { return largest_; }
  double widest() const { return widest_; }  ///< largest Var mu until the gain fell below the KL
  const NoisyUnit& first() const { return first_; }
  const NoisyUnit& latest() const { return latest_; }

 private:
  NoiseRule rule_;
  double deviation_ = 0, largest_ = 0, widest_ = 0;
  int64_t crossed_ = -1, collapsed_ = -1, removed_ = -1, revived_ = -1;
  NoisyUnit first_{}, latest_{};
};

}  // namespace elbo::asperti
