// The four data sets of Yacoby et al. ("Characterizing and avoiding problematic global optima of variational
// autoencoders", appendix E), whose models are known: z ~ N(0, I) in two dimensions, x = f(z) + noise.
//
//   const ToySets data = draw_sets(linear_jtex_toys(), {.sets = 5, .train = 500, .validation = 500, .test =
//   500,
//                                                       .dtype = DType::f64});
//
// A run is another draw of points of the same model. truth: "noise_variance" (), and the numbers of f by the
// names that a decoder of its form has for them (vae/yacoby_models.h). Knows no models.
#pragma once

#include "datasets/toys.h"

namespace elbo {

/// f(z) = L z, L L^T = A A^T + B, noise ~ N(0, sigma_e^2 I - B) (Eq. 3); B = floor I, so that the noise's
/// variance is sigma2 - floor. truth: "factor", the A (2, 2), and "floor" ().
struct JtexOptions {
  double sigma2 = 0.01, floor = 0.006;
};
Toy linear_jtex_toy(uint64_t seed, int64_t run, const JtexOptions& options = {});
/// f(z) = (L z)^3, elementwise. Its density is by quadrature.
Toy cubic_jtex_toy(uint64_t seed, int64_t run, const JtexOptions& options = {});
/// f(z) = A^T z in four dimensions, with noise of variance 1e-6. truth: "weight", the A^T (4, 2).
Toy gaussian_toy(uint64_t seed, int64_t run);
/// f the network of mobius_network.h, with noise of variance 1e-5. Its density is by quadrature. truth:
/// "0.weight" (50, 2), "0.bias" (50), "1.weight" (2, 50), "1.bias" (2).
Toy mobius_toy(uint64_t seed, int64_t run);

/// They, for draw_sets.
MakeToy linear_jtex_toys(const JtexOptions& options = {});
MakeToy cubic_jtex_toys(const JtexOptions& options = {});
MakeToy gaussian_toys();
MakeToy mobius_toys();

}  // namespace elbo
