// What all four rungs are given and what they answer: a linear VAE, some data, the ELBO and its gradient.
//
//   p(x|z) = N(W z, sigma^2 I),  p(z) = N(0, I),  q(z|x) = N(V x, diag d)        (Lucas et al. 2019, Eq. 9)
//
// Everything is f64 and plain numbers, so that the first two rungs need nothing but the standard library.
#pragma once

#include <cstddef>
#include <cstdio>
#include <vector>

namespace ladder {

struct Parameters {
  std::vector<double> W;      ///< (D, k), row by row: the decoder
  std::vector<double> V;      ///< (k, D): the encoder
  std::vector<double> log_d;  ///< (k): ln of the posterior's variances
  double log_sigma2 = 0;      ///< ln of the observation noise
};

struct Problem {
  size_t N, D, k;
  std::vector<double> x;  ///< (N, D), centred
  Parameters at;          ///< where the gradient is asked for
};

struct Answer {
  double elbo = 0;      ///< nats per data point
  Parameters gradient;  ///< d elbo / d each parameter
};

Answer by_loops(const Problem& problem);     // 1_loops.cpp
Answer by_scalars(const Problem& problem);   // 2_scalars.cpp
Answer by_tensors(const Problem& problem);   // 3_tensors.cpp
Answer by_fused_op(const Problem& problem);  // 4_fused.cpp

/// Four points in three dimensions.
inline Problem example() {
  return {4,
          3,
          2,
          {1, 0.5, -1, -0.5, 1, 0.25, 0.75, -1.5, 0.5, -1.25, 0, 0.25},
          {{0.8, -0.2, 0.3, 0.9, -0.4, 0.1}, {0.5, 0.2, -0.3, -0.1, 0.6, 0.4}, {-0.5, -0.8}, -0.3}};
}

inline void print(const Answer& answer) {
  std::printf("ELBO %.12f nats per data point\n", answer.elbo);
  const auto numbers = [](const char* name, const std::vector<double>& values) {
    std::printf("d/d %-10s", name);
    for (double value : values) std::printf(" %15.12f", value);
    std::printf("\n");
  };
  numbers("W", answer.gradient.W);
  numbers("V", answer.gradient.V);
  numbers("log_d", answer.gradient.log_d);
  numbers("log_sigma2", {answer.gradient.log_sigma2});
}

}  // namespace ladder
