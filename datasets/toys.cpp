#include "datasets/toys.h"

#include <cmath>
#include <limits>

#include "datasets/toy_parts.h"
#include "tensor/map.h"

namespace elbo {
namespace {

// What a draw of stream kSynthesis is for: its step. Each split draws its own points.
enum Draw : uint64_t {
  kWeights,
  kMean,
  kTrainLatents,
  kTrainNoise,
  kTestLatents,
  kTestNoise,
  kValidationLatents,
  kValidationNoise
};

Draw of_split(Split split, Draw train, Draw validation, Draw test) {
  return split == Split::train ? train : split == Split::validation ? validation : test;
}

/// N(mean, W W^T + sigma^2 I), by what it is made from.
struct LinearGaussian {
  RandomKey key;
  Tensor weights, mean, root;  // W (D, k), (D), L of L L^T = W W^T + sigma^2 I
  double sigma;

  LinearGaussian(uint64_t seed, int64_t run, const PcaToyOptions& o)
      : key{.seed = seed, .member = static_cast<uint32_t>(run), .stream = kSynthesis},
        weights(uniform({o.dimensions, o.latent}, DType::f64, of(kWeights))),
        mean(uniform({o.dimensions}, DType::f64, of(kMean))),
        root(cholesky(outer_plus(weights, o.sigma * o.sigma))),
        sigma(o.sigma) {}

  RandomKey of(Draw draw) const {
    RandomKey own = key;
    own.step = draw;
    return own;
  }

  Tensor latents(int64_t points, Split split) const {
    check_drawn(points, split);
    return normal({points, weights.size(1)}, DType::f64,
                  of(of_split(split, kTrainLatents, kValidationLatents, kTestLatents)));
  }

  /// W z + sigma noise + offset (D).
  Tensor draw(int64_t points, Split split, const Tensor& offset) const {
    const int64_t dimensions = weights.size(0), latent = weights.size(1);
    const Tensor z_of_points = latents(points, split);
    const Tensor all = normal({points, dimensions}, DType::f64,
                              of(of_split(split, kTrainNoise, kValidationNoise, kTestNoise)));
    // Plain loops: a matrix product could round differently for another number of points.
    const double *w = weights.data<double>(), *z = z_of_points.data<double>(), *mu = offset.data<double>();
    double* x = all.data<double>();
    for (int64_t n = 0; n < points; ++n)
      for (int64_t d = 0; d < dimensions; ++d, ++x) {
        *x = mu[d] + sigma * *x;
        for (int64_t k = 0; k < latent; ++k) *x += w[d * latent + k] * z[n * latent + k];
      }
    return all;
  }
};

double length(const double* x, int64_t d) {
  double squares = 0;
  for (int64_t j = 0; j < d; ++j) squares += x[j] * x[j];
  return std::sqrt(squares);
}

void scale(double* x, int64_t d, double factor) {
  for (int64_t j = 0; j < d; ++j) x[j] *= factor;
}

Toy toy_of(const char* name, const LinearGaussian& p) {
  return {.name = name,
          .dimensions = p.weights.size(0),
          .truth = {{"weights", p.weights}, {"mean", p.mean}, {"sigma", Tensor::scalar(p.sigma, DType::f64)}},
          .draw = {},
          .latents = [p](int64_t points, Split split) { return p.latents(points, split); },
          .log_density = {}};
}

double mean_of(const Tensor& values) {
  return map_reduce<Sum>({}, Identity{}, values).item() / static_cast<double>(values.elements());
}

}  // namespace

Toy pca_toy(uint64_t seed, int64_t run, const PcaToyOptions& options) {
  const LinearGaussian p(seed, run, options);
  Toy toy = toy_of("ppca", p);
  toy.draw = [p](int64_t points, Split split) { return p.draw(points, split, p.mean); };
  toy.log_density = [p](const Tensor& x) {
    return each_point(x, p.mean, [&](const double* at, std::vector<double>& scratch) {
      return log_density_of_root(p.root, at, scratch);
    });
  };
  return toy;
}

Toy ring_toy(uint64_t seed, int64_t run, const PcaToyOptions& options) {
  const LinearGaussian p(seed, run, options);
  Toy toy = toy_of("ppca-ring", p);
  toy.draw = [p](int64_t points, Split split) {
    const int64_t d = p.mean.elements();
    const Tensor x = p.draw(points, split, Tensor::zeros({d}, DType::f64));
    double* at = x.data<double>();
    for (int64_t n = 0; n < points; ++n, at += d) {
      scale(at, d, 0.1 + 1 / length(at, d));
      for (int64_t j = 0; j < d; ++j) at[j] += p.mean.data<double>()[j];
    }
    return x;
  };
  toy.log_density = [p](const Tensor& bent) {
    return each_point(bent, p.mean, [&](double* at, std::vector<double>& scratch) {
      const int64_t d = p.mean.elements();
      const double outer = length(at, d), inner = 10 * (outer - 1);  // |x'| = |x|/10 + 1
      if (!(inner > 0)) return -std::numeric_limits<double>::infinity();
      scale(at, d, inner / outer);
      return log_density_of_root(p.root, at, scratch) + std::log(10.0) -
             static_cast<double>(d - 1) * std::log(outer / inner);
    });
  };
  return toy;
}

MakeToy pca_toys(const PcaToyOptions& options) {
  return [options](uint64_t seed, int64_t run) { return pca_toy(seed, run, options); };
}

MakeToy ring_toys(const PcaToyOptions& options) {
  return [options](uint64_t seed, int64_t run) { return ring_toy(seed, run, options); };
}

ToySets draw_sets(const MakeToy& make, const ToySetsOptions& o) {
  if (o.sets < 1) fail("[toys] at least one set is needed, got {}", o.sets);
  ToySets all;
  for (int64_t m = 0; m < o.sets; ++m) {
    all.toys.push_back(make(o.seed, o.first + m));
    const Toy& toy = all.toys.back();
    const auto draw = [&](Split split, int64_t points, Tensor& sets) {
      const Tensor x = toy.draw(points, split);
      if (!sets.defined()) sets = Tensor::empty({o.sets, points, toy.dimensions}, o.dtype);
      sets.slice(m).copy_from(x.to(o.dtype));
    };
    draw(Split::train, o.train, all.train);
    if (o.validation > 0) draw(Split::validation, o.validation, all.validation);
    draw(Split::test, o.test, all.test);
  }
  return all;
}

std::vector<double> ToySets::log_likelihoods(Split split) const {
  const Tensor& sets = split == Split::train ? train : split == Split::validation ? validation : test;
  std::vector<double> means;
  if (!sets.defined()) return means;
  for (const Toy& toy : toys) means.push_back(mean_of(toy.log_density(toy.draw(sets.size(1), split))));
  return means;
}

}  // namespace elbo
