// Toys: small distributions that are known in full. Each can be drawn from, and says the log density of any
// point, so that a model's likelihood has the truth beside it.
//
// A paper draws a new one for each run. Toy number `run` of a seed is a function of the two alone, and its
// point i of the split and i besides: neither how many runs there are nor how many points are made changes
// them.
//
//   const ToySets data = draw_sets(pca_toys(), {.sets = 10, .seed = 7});     // data.train (10, 10000, 10)
//   data.log_likelihoods(Split::test)[3];                          // of set 3 under its own truth
//
// Those of one paper that are fixed but for their points are in yacoby_toys.h. Knows no models.
#pragma once

#include <functional>

#include "datasets/dataset.h"

namespace elbo {

struct Toy {
  std::string name;
  int64_t dimensions = 0;               ///< D
  std::map<std::string, Tensor> truth;  ///< its own parameters by name, f64
  /// So many points of a split, but not of all: (N, D) f64.
  std::function<Tensor(int64_t points, Split split)> draw;
  /// The z that made these points: (N, k) f64.
  std::function<Tensor(int64_t points, Split split)> latents;
  /// ln p(x) of each point: x (N, D) f64 -> (N) f64, nats; -infinity where the density is 0.
  std::function<Tensor(const Tensor& x)> log_density;
};

/// The data of Lücke et al. (appendix C.1): 10 dimensions, of 2 latent ones.
struct PcaToyOptions {
  int64_t dimensions = 10, latent = 2;
  double sigma = 0.1;
};
/// x = W z + mu + sigma noise, the elements of W and mu uniform on (0, 1) (Eqs. 77 and 78). truth: "weights"
/// (D, k), "mean" (D), "sigma" ().
Toy pca_toy(uint64_t seed, int64_t run, const PcaToyOptions& options = {});
/// The same x without mu, bent to a ring: mu + x/10 + x/|x| (Eqs. 79 to 81). Its density is that of x times
/// the volume that x/10 + x/|x| makes of it: in the direction of x 1/10, in the D - 1 others (|x|/10 + 1) /
/// |x|.
Toy ring_toy(uint64_t seed, int64_t run, const PcaToyOptions& options = {});

using MakeToy = std::function<Toy(uint64_t seed, int64_t run)>;
/// They, with these options, for draw_sets.
MakeToy pca_toys(const PcaToyOptions& options = {});
MakeToy ring_toys(const PcaToyOptions& options = {});

/// One of them as a data set of so many points. Throws for a number of points that makes no sense.
Dataset make_toy_data(const Toy& toy, int64_t points, Split split = Split::train);

/// Several sets at once, as an ensemble takes them whose members have data of their own.
struct ToySets {
  std::vector<Toy> toys;
  Tensor train, validation, test;  ///< (M, N, D)

  /// (M): of the truth on a split's points as they were drawn, nats per data point; empty where there are
  /// none. Taken anew at each call, as densities by quadrature cost more than points.
  std::vector<double> log_likelihoods(Split split) const;
};
struct ToySetsOptions {
  int64_t sets = 1, first = 0;                          ///< runs first .. first + sets - 1
  int64_t train = 10000, validation = 0, test = 10000;  ///< points; 0 for validation: there are none
  uint64_t seed = 0;
  DType dtype = DType::f32;
};
/// Throws for fewer than one set or point.
ToySets draw_sets(const MakeToy& make, const ToySetsOptions& options);

}  // namespace elbo
