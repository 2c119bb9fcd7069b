// The Frechet distance between two sets of points, each taken for a Gaussian with its mean and covariance:
//
//   d^2 = |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)          (Dowson & Landau 1982)
//
// Of features that Inception makes of pictures its square is called FID (Heusel et al. 2017). Of features
// from any other encoder it is not, and numbers can be compared only where encoder and numbers of points are
// the same: few points have other moments than what they were drawn from, which sets them apart.
#pragma once

#include "vae/ppca.h"

namespace elbo {

struct FrechetDistance {
  double squared = 0;  ///< d^2, what FID is of Inception's features; the sum of
  double means = 0;    ///< |m_a - m_b|^2
  double covariances = 0;
};
/// Of moments of one dimension D, covariances with 1/N as these have them. Takes an SVD of a matrix of at
/// most D x D, f64. Throws where the dimensions differ.
FrechetDistance frechet_distance(const DataMoments& a, const DataMoments& b);

}  // namespace elbo
