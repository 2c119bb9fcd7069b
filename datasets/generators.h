// generators: data made from a seed, for when nothing is downloaded and when the truth must be known.
//
// Point i depends on the seed, the split and i alone, never on how many are made or on the thread count: the
// first 100 of 10000 points are the 100 points. Uses tensor/ only.
#pragma once

#include <span>

#include "datasets/dataset.h"

namespace elbo {

inline constexpr int64_t kGeneratedPoints = 10000;                 ///< when the user gives no number
inline constexpr int64_t kMostGeneratedPoints = int64_t{1} << 24;  ///< more is taken for a slip

/// The PCA data of Lücke et al. (their section on linear VAEs): x = W z + mu + 0.1 noise, f64 (N, 10), with
/// z ~ N(0, I) of 2 dimensions and the elements of W and mu uniform on (0, 1). Both splits share W and mu.
/// truth: "weights" (10, 2), "mean" (10), "sigma" ().
Dataset make_ppca_data(int64_t points, uint64_t seed, Split split = Split::train);

/// Their ring (Lücke et al., Eq. 81), f64 (N, 10): the same x without mu, as mu + x/10 + x/|x|. Same truth.
/// Both are the first of the toys of toys.h, which know their densities.
Dataset make_ring_data(int64_t points, uint64_t seed, Split split = Split::train);

/// Digits 0..9 as a pen would draw them, u8 (N, 784) in the manner of MNIST: white on black, 20 pixels high,
/// centred by mass in 28x28, each with its own style, slant, size and thickness. Labels say which digit.
Dataset make_digits(int64_t points, uint64_t seed, Split split = Split::train);

/// A white shape on black, u8 (N, 4096), 64x64 and antialiased, in the manner of dSprites (Matthey et al.
/// 2017). Factors, all independent and uniform: shape (square, ellipse, heart), scale (6), rotation (40), x
/// and y (32 each). The shape's area is proportional to scale^2, its centre of mass is (x, y) in pixels from
/// the upper left corner, and rotation is in radians, clockwise as the picture is seen. It never touches the
/// rim. Labels say which shape.
Dataset make_sprites(int64_t points, uint64_t seed, Split split = Split::train);

/// Drawn faces in colour, u8 (N, 12288), 64x64, to stand in for photographs. Their 16 factors, from the
/// background's hue to where the light comes from, are independent and uniform on (0, 1), and sorted into 20
/// bins for their indices.
Dataset make_faces(int64_t points, uint64_t seed, Split split = Split::train);
/// The face that these factors, 0..1 in the order of their names, make: pixels (64, 64, 3). A small change of
/// one is a small change of the picture.
void draw_face(std::span<const double> factors, std::span<uint8_t> pixels);

}  // namespace elbo
