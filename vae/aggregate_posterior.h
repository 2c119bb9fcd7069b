// The aggregated posterior q(z) = mean over points of q(z|x): how far it is from the prior that it should be.
// Where it is far, draws from the prior decode to what no data are like, and where the ELBO is high all the
// same, the model has bent its likelihood to the posterior's form (Yacoby et al., section 4). Everything is
// in the prior's units, in which it is N(0, I).
#pragma once

#include "vae/henze_zirkler.h"
#include "vae/points.h"
#include "vae/two_sample.h"
#include "vae/vae.h"

namespace elbo {

struct AggregateOptions {
  uint64_t seed = 0;
  RepeatedKnnOptions knn{.repetitions = 100};
  int64_t permutations = 199;  ///< for the p-value of MMD
};

struct AggregatePosterior {
  int64_t points = 0;
  /// Of one z ~ q(z|x) for each point, and of the means of q(z|x): whether they are any Gaussian's. The means
  /// of a good model are not the prior's draws: their variances are below 1.
  HenzeZirklerTest z, means;
  /// The length of the mean of q(z), and the Frobenius norm of its covariance less I, both from the means and
  /// variances of q(z|x). As many draws from the prior would have about sqrt(k / N) and sqrt(k (k + 1) / N).
  double mean_distance = 0, covariance_distance = 0;
  /// Those z against as many draws from the prior: smaller is better.
  Mmd mmd;
  RepeatedKnn knn;
};
/// Of every member, on the points of x (N, D) or (M, N, D): a few thousand at most, as all pairs are looked
/// at. Throws unless there are two or more.
std::vector<AggregatePosterior> aggregate_posterior(const Vae& vae, const Points& x,
                                                    const AggregateOptions& options = {});

/// n draws x ~ p(x|z) with z from the prior, noise and all: (M?, n, D) on the model's device.
Tensor draw_points(const Vae& vae, int64_t n, uint64_t seed);

}  // namespace elbo
