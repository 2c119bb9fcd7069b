#include "datasets/generators.h"
#include "datasets/toys.h"

namespace elbo {

Dataset make_toy_data(const Toy& toy, int64_t points, Split split) {
  if (points < 1 || points > kMostGeneratedPoints)
    fail("[{}] cannot make {} points; ask for 1 to {}", toy.name, points, kMostGeneratedPoints);
  Dataset data;
  data.name = toy.name;
  data.x = toy.draw(points, split);
  data.truth = toy.truth;
  data.fingerprint = fingerprint(data.x);
  return data;
}

Dataset make_ppca_data(int64_t points, uint64_t seed, Split split) {
  return make_toy_data(pca_toy(seed, 0), points, split);
}

Dataset make_ring_data(int64_t points, uint64_t seed, Split split) {
  return make_toy_data(ring_toy(seed, 0), points, split);
}

}  // namespace elbo
