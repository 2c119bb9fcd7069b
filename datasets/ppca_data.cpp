#include "datasets/generators.h"
#include "tensor/random.h"

namespace elbo {
namespace {

// What a draw of stream kSynthesis is for: its step. The test split draws its own points.
enum Draw : uint64_t { kWeights, kMean, kTrainLatents, kTrainNoise, kTestLatents, kTestNoise };

}  // namespace

Dataset make_ppca_data(int64_t points, uint64_t seed, Split split) {
  constexpr int64_t kDimensions = 10, kLatents = 2;
  constexpr double kSigma = 0.1;
  if (points < 1 || points > kMostGeneratedPoints)
    fail("[ppca] cannot make {} points; ask for 1 to {}", points, kMostGeneratedPoints);
  const auto key = [seed](Draw draw) { return RandomKey{.seed = seed, .stream = kSynthesis, .step = draw}; };
  const bool train = split == Split::train;
  const Tensor weights = uniform({kDimensions, kLatents}, DType::f64, key(kWeights));
  const Tensor mean = uniform({kDimensions}, DType::f64, key(kMean));
  const Tensor latents = normal({points, kLatents}, DType::f64, key(train ? kTrainLatents : kTestLatents));
  Dataset data;
  data.name = "ppca";
  data.x = normal({points, kDimensions}, DType::f64, key(train ? kTrainNoise : kTestNoise));
  // Plain loops: a matrix product could round differently for another number of points.
  const double *w = weights.data<double>(), *mu = mean.data<double>(), *z = latents.data<double>();
  double* x = data.x.data<double>();
  for (int64_t n = 0; n < points; ++n)
    for (int64_t d = 0; d < kDimensions; ++d, ++x) {
      *x = mu[d] + kSigma * *x;
      for (int64_t k = 0; k < kLatents; ++k) *x += w[d * kLatents + k] * z[n * kLatents + k];
    }
  data.truth = {{"weights", weights}, {"mean", mean}, {"sigma", Tensor::scalar(kSigma, DType::f64)}};
  data.fingerprint = fingerprint(data.x);
  return data;
}

}  // namespace elbo
