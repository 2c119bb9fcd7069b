#include "vae/linear_polish.h"

#include <algorithm>
#include <cmath>

#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

/// sigma^2 below this share of the variance per dimension is rounding error.
constexpr double kSmallestShare = 1e-28;

/// W with its columns turned to be orthogonal, longest first, from its transpose: (k, D) -> (D, k).
Tensor orthogonal_columns(const Tensor& transposed) {
  const Eigen axes = symmetric_eigen(matmul(transposed, Transpose::no, transposed, Transpose::yes));
  return matmul(transposed, Transpose::yes, axes.vectors, Transpose::no);
}

/// |rows - w codes|^2, of rows (D, n), w (D, k) and codes (k, n), a part of the rows at a time. A difference
/// of squares would lose what is small beside the widest dimension.
double squared_error(const Tensor& rows, const Tensor& w, const Tensor& codes) {
  constexpr int64_t kRows = 256;
  double total = 0;
  for (int64_t begin = 0; begin < rows.size(0); begin += kRows) {
    const int64_t end = std::min(begin + kRows, rows.size(0));
    const Tensor rest = rows.slice(begin, end).clone();
    gemm(rest, w.slice(begin, end), Transpose::no, codes, Transpose::no, true, -1);
    total += map_reduce<Sum>({}, SquareOf{}, rest).item();
  }
  return total;
}

}  // namespace

LinearVaeWeights polish(const LinearVaeWeights& weights, const DataMoments& data, bool learn_sigma2) {
  const int64_t d = weights.decoder.size(0), k = weights.decoder.size(1);
  const PpcaPosterior posterior =
      ppca_posterior({weights.decoder, weights.mean, std::exp(weights.log_sigma2)});
  // S = F F^T + o o^T, as it is about the model's mean.
  const Tensor& f = data.root;
  const Tensor o = map(Difference{}, data.mean, weights.mean).reshape({d, 1});
  const Tensor vf = matmul(posterior.projection, Transpose::no, f, Transpose::no);
  const Tensor vo = matmul(posterior.projection, Transpose::no, o, Transpose::no);
  const Tensor vs = matmul(vf, Transpose::no, f, Transpose::yes);  // V S (k, D)
  gemm(vs, vo, Transpose::no, o, Transpose::yes, true);
  const Tensor g = posterior.covariance.clone();
  gemm(g, vf, Transpose::no, vf, Transpose::yes, true);
  gemm(g, vo, Transpose::no, vo, Transpose::yes, true);
  // With G = L L^T, the best W is S V^T L^-T L^-1. Measured so that G is the identity, it is S V^T L^-T.
  const Tensor l = cholesky(g);
  const Tensor transposed = solve_triangular(l, vs);

  LinearVaeWeights better = weights;
  if (learn_sigma2) {
    const Tensor best = matmul(solve_triangular(l, transposed, true), Transpose::yes,
                               identity_matrix(k, DType::f64), Transpose::no);
    const Tensor spread = matmul(best, Transpose::no, posterior.covariance, Transpose::no);
    const double total = total_variance(data) + map_reduce<Sum>({}, SquareOf{}, o).item();
    const double error = squared_error(f, best, vf) + squared_error(o, best, vo) +
                         map_reduce<Sum>({}, Product{}, spread, best).item();
    if (!(error > kSmallestShare * total))
      fail(
          "[polish] sigma^2 goes to 0: the data span no more than {} dimensions, and the ELBO has no "
          "maximum; use "
          "fewer latent dimensions, or keep sigma^2 fixed",
          k);
    better.log_sigma2 = std::log(error / static_cast<double>(d));
  }
  better.decoder = orthogonal_columns(transposed);
  const double sigma2 = std::exp(better.log_sigma2);
  better.encoder = ppca_posterior({better.decoder, better.mean, sigma2}).projection;
  const Tensor squares = map_reduce<Sum>({k}, SquareOf{}, better.decoder);
  better.log_variance = Tensor::empty({k}, DType::f64);
  for (int64_t i = 0; i < k; ++i) better.log_variance.data<double>()[i] = -std::log1p(squares.at(i) / sigma2);
  return better;
}

}  // namespace elbo
