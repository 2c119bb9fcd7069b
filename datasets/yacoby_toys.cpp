#include "datasets/yacoby_toys.h"

#include <cmath>

#include "datasets/cubic_density.h"
#include "datasets/mobius_network.h"
#include "datasets/toy_parts.h"

namespace elbo {
namespace {

// Steps of stream kSynthesis, apart from those of toys.cpp and draws.h; each takes two for each split.
enum Draw : uint64_t { kLinear = 32, kCubic = 38, kGaussian = 44, kMobius = 50 };

constexpr int64_t kLatent = 2;

/// f of each row: z (N, 2) -> (N, D).
using Map = std::function<Tensor(const Tensor& z)>;

/// What makes its points: z and noise of a run.
struct Source {
  uint64_t seed;
  int64_t run;
  Draw draw;

  RandomKey key(Split split, uint64_t part) const {
    const uint64_t which = split == Split::train ? 0 : split == Split::validation ? 1 : 2;
    return {.seed = seed,
            .member = static_cast<uint32_t>(run),
            .stream = kSynthesis,
            .step = draw + 2 * which + part};
  }
  Tensor latents(int64_t points, Split split) const {
    check_drawn(points, split);
    return normal({points, kLatent}, DType::f64, key(split, 0));
  }
};

Toy toy_of(const char* name, int64_t dimensions, const Source& source, double noise_variance, const Map& f,
           std::map<std::string, Tensor> truth) {
  truth["noise_variance"] = Tensor::scalar(noise_variance, DType::f64);
  Toy toy{.name = name,
          .dimensions = dimensions,
          .truth = std::move(truth),
          .draw = {},
          .latents = [source](int64_t points, Split split) { return source.latents(points, split); },
          .log_density = {}};
  toy.draw = [=, deviation = std::sqrt(noise_variance)](int64_t points, Split split) {
    const Tensor x = f(source.latents(points, split));
    const Tensor noise = normal(x.shape(), DType::f64, source.key(split, 1));
    for (int64_t i = 0; i < x.elements(); ++i) x.data<double>()[i] += deviation * noise.data<double>()[i];
    return x;
  };
  return toy;
}

/// W z. Plain loops: a matrix product could round differently for another number of points.
Map linear_map(const Tensor& w) {
  return [w](const Tensor& z) {
    const int64_t d = w.size(0), k = w.size(1);
    const Tensor x = Tensor::zeros({z.size(0), d}, DType::f64);
    double* to = x.data<double>();
    for (int64_t n = 0; n < z.size(0); ++n)
      for (int64_t i = 0; i < d; ++i, ++to)
        for (int64_t j = 0; j < k; ++j) *to += w.at(i * k + j) * z.at(n * k + j);
    return x;
  };
}

/// The density of W z + noise.
std::function<Tensor(const Tensor&)> linear_density(const Tensor& w, double noise_variance) {
  return [root = cholesky(outer_plus(w, noise_variance))](const Tensor& x) {
    return each_point(x, Tensor::zeros({root.size(0)}, DType::f64),
                      [&](const double* at, std::vector<double>& scratch) {
                        return log_density_of_root(root, at, scratch);
                      });
  };
}

/// A, A A^T + B and its root, as the two have them.
struct Jtex {
  Tensor factor = Tensor::from<double>({2, 2}, {0.75, 0.25, 1.5, -1.0});
  Tensor covariance, root;
  double noise_variance;

  explicit Jtex(const JtexOptions& o)
      : covariance(outer_plus(factor, o.floor)),
        root(cholesky(covariance)),
        noise_variance(o.sigma2 - o.floor) {
    if (!(o.floor >= 0 && noise_variance > 0))
      fail("[toys] the floor must be from 0 to below sigma^2, got {} and {}", o.floor, o.sigma2);
  }
  std::map<std::string, Tensor> truth(const JtexOptions& o) const {
    return {{"factor", factor}, {"floor", Tensor::scalar(o.floor, DType::f64)}};
  }
};

}  // namespace

Toy linear_jtex_toy(uint64_t seed, int64_t run, const JtexOptions& o) {
  const Jtex p(o);
  Toy toy = toy_of("linear-jtex", 2, {seed, run, kLinear}, p.noise_variance, linear_map(p.root), p.truth(o));
  toy.log_density = linear_density(p.root, p.noise_variance);
  return toy;
}

Toy cubic_jtex_toy(uint64_t seed, int64_t run, const JtexOptions& o) {
  const Jtex p(o);
  const Map cubes = [straight = linear_map(p.root)](const Tensor& z) {
    const Tensor x = straight(z);
    for (double& value : x.span<double>()) value = value * value * value;
    return x;
  };
  Toy toy = toy_of("cubic-jtex", 2, {seed, run, kCubic}, p.noise_variance, cubes, p.truth(o));
  toy.log_density = [p](const Tensor& x) { return cubic_log_density(p.covariance, p.noise_variance, x); };
  return toy;
}

Toy gaussian_toy(uint64_t seed, int64_t run) {
  const double noise_variance = 1e-6;
  const Tensor w =
      Tensor::from<double>({4, 2}, {-0.7074, 0.7074, 0.0995, 0.9948, 0.0286, -0.9995, 0.1240, 0.9920});
  Toy toy = toy_of("gaussian", 4, {seed, run, kGaussian}, noise_variance, linear_map(w), {{"weight", w}});
  toy.log_density = linear_density(w, noise_variance);
  return toy;
}

Toy mobius_toy(uint64_t seed, int64_t run) {
  const double noise_variance = 1e-5;
  const ReluNet net = mobius_network();
  Toy toy = toy_of("mobius", 2, {seed, run, kMobius}, noise_variance,
                   [net](const Tensor& z) { return apply(net, z); },
                   {{"0.weight", net.hidden_weight},
                    {"0.bias", net.hidden_bias},
                    {"1.weight", net.output_weight},
                    {"1.bias", net.output_bias}});
  toy.log_density = [=](const Tensor& x) { return relu_log_density(net, noise_variance, x); };
  return toy;
}

MakeToy linear_jtex_toys(const JtexOptions& options) {
  return [options](uint64_t seed, int64_t run) { return linear_jtex_toy(seed, run, options); };
}

MakeToy cubic_jtex_toys(const JtexOptions& options) {
  return [options](uint64_t seed, int64_t run) { return cubic_jtex_toy(seed, run, options); };
}

MakeToy gaussian_toys() { return gaussian_toy; }

MakeToy mobius_toys() { return mobius_toy; }

}  // namespace elbo
