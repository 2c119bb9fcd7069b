// What yacoby-optima draws: Fig 1 of Yacoby et al. panel by panel, and the curve of their Case 2. Trains and
// judges nothing.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "apps/support/figure.h"
#include "tensor/tensor.h"

namespace elbo::yacoby {

/// The plane of B, Fig 1 A and B: B22 across and B11 upwards, so that the corner where B11 alone is large is
/// the top left one. Values are (B11, B22), row by row; `marked` is a point of the grid.
FigureGrid planes_of_b(const std::vector<double>& grid, const std::vector<double>& posterior,
                       const std::vector<double>& information, size_t marked);

/// N(0, covariance) in the plane, and points.
struct Cloud {
  std::string title, note;  ///< the note is a second line
  Tensor covariance;        ///< (2, 2)
  Tensor points;            ///< (N, 2)
};
/// Each as its ellipses at 1, 2 and 3 deviations and its points, all on the same axes; and what they are to
/// be compared with, N(0, reference), as its ellipse at 2 deviations, called `of_reference`. `equal`: circles
/// are round.
FigureGrid clouds(const std::string& name, const std::string& title, const std::array<const char*, 2>& axes,
                  const std::vector<Cloud>& all, const Tensor& reference, const std::string& of_reference,
                  const std::string& of_points, bool equal);

/// Case 2: I(X; Z) over theta / sigma_e, and the loss, which is the same for all.
Figure curve_of_information(const std::vector<double>& theta, const std::vector<double>& information,
                            const std::vector<double>& loss);

}  // namespace elbo::yacoby
