#include "vae/frechet_distance.h"

#include <algorithm>

#include "autograd/ops.h"
#include "tensor/error.h"

namespace elbo {

FrechetDistance frechet_distance(const DataMoments& a, const DataMoments& b) {
  if (!(a.mean.shape() == b.mean.shape()))
    fail("[frechet] points of {} and {} dimensions have no distance", a.mean.elements(), b.mean.elements());
  FrechetDistance found;
  found.means = sum(square(Variable(a.mean) - Variable(b.mean))).item();
  // A = F F^T, B = G G^T: the eigenvalues of A^1/2 B A^1/2 are those of (F^T G)(F^T G)^T, so that the trace
  // of its root is the sum of the singular values of F^T G. No product of covariances is made, whose small
  // eigenvalues rounding would bury.
  const Tensor across = matmul_tn(Variable(a.root), Variable(b.root)).value();
  const double shared = sum(Variable(left_singular_vectors(across).values)).item();
  // Below 0 by rounding only.
  found.covariances = std::max(0.0, total_variance(a) + total_variance(b) - 2 * shared);
  found.squared = found.means + found.covariances;
  return found;
}

}  // namespace elbo
