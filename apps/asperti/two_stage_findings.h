// What is measured of ensembles of two-stage VAEs: how far z is from the prior it should follow and from what
// the second stage makes of it, how far pictures are from held-out ones, and the units of both stages. What
// is found goes through JSON.
#pragma once

#include "apps/asperti/setting.h"
#include "vae/aggregate_posterior.h"
#include "vae/two_stage.h"

namespace elbo::asperti {

/// Points of a latent space beside others. Every number is larger the further they are apart.
struct LatentMatch {
  double hz = 0, hz_p_value = 0;  ///< of the points alone: how far from any Gaussian
  double knn = 0, knn_error = 0;  ///< smooth k-NN statistic, 0 where alike, and its error of drawing
  double mmd_squared = 0, mmd_p_value = 0;
};
/// Pictures beside held-out ones.
struct PictureMatch {
  double knn = 0, knn_error = 0;  ///< as above, in pixels
  double frechet = 0;             ///< squared, in the features of an encoder that is neither stage's
};
/// Of each unit, over the training points.
struct StageUnits {
  std::vector<double> variance, sigma2, law, law_error, kl;  ///< Var mu, mean sigma^2, their sum; nats
};

/// What is known of one member.
struct TwoStageMember {
  LatentMatch prior,  ///< z ~ q(z|x) of held-out points beside draws of the prior
      second,         ///< draws of the second stage beside those z
      floor,          ///< z of other held-out points beside those z: no model can be nearer
      u;              ///< u ~ q(u|z) of those z beside draws of the prior
  PictureMatch one,   ///< decoded draws of the prior
      two,            ///< decoded draws of the second stage
      codes,          ///< decoded z of held-out points: what a perfect second stage would give
      real;           ///< held-out pictures themselves
  StageUnits first_units, second_units;
  double squared_error = 0;  ///< of the first stage, per picture
  double gamma = 0;          ///< of the second
  double second_elbo = 0;    ///< nats per z, of the training points
};

struct TwoStageFindings {
  std::vector<TwoStageMember> members;
  int64_t points = 0, pictures = 0;       ///< of each side
  std::vector<double> one, two, decoded;  ///< pictures of the first member, 0 to 255
  /// The first member's z in the plane of two units in use, the one that is furthest from Gaussian.
  int64_t across = 0, up = 0;
  std::vector<double> z[2], drawn[2], prior[2];
  std::vector<int64_t> classes;  ///< of z; empty where there are none
  struct Look {
    int64_t step = 0;
    std::vector<double> gamma;  ///< of each member
  };
  std::vector<Look> looks;  ///< along the second stage's training
  ImageSize image{};        ///< of the data; none: no pictures
  std::string setting;      ///< that the verdicts hold for
};

/// Three ensembles of as many members.
struct TwoStageModels {
  std::unique_ptr<Vae> judge, first;  ///< the judge's members are encoders of their own, of the same data
  std::unique_ptr<DeepVae> second;
};
struct TwoStageMeasures {
  int64_t points = 0, pictures = 0;  ///< at most, of each side
  int64_t shown = 0;                 ///< pictures of each kind that are kept
  uint64_t seed = 0;
  AggregateOptions distances{};
};

/// z of points, for training the second stage on them and measuring it.
RandomKey key_of_codes(const Vae& first, uint64_t seed);

/// codes are those of the training points, `of_first` what the first stages' members are on these, held (H,
/// D) other points, and `labels` (H) theirs or undefined. Null where the run was interrupted. Numbers of
/// members in `broken` are NaN.
Json measure_two_stages(const TwoStageModels& models, const Codes& codes,
                        const std::vector<DeepVaeMetrics>& of_first, const Tensor& held, const Tensor& labels,
                        const std::vector<bool>& broken, const TwoStageMeasures& how);
TwoStageFindings two_stage_findings_from(const Json& json);

}  // namespace elbo::asperti
