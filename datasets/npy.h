// npy: NumPy's .npy files, read and written (format: numpy.lib.format, versions 1.0 to 3.0).
//
//   write_npy("x.npy", x);          // numpy.load("x.npy") gives the same array
//   Tensor y = read_npy("x.npy");
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace elbo {

/// The array in a .npy file, in its own shape (up to 8 axes): little-endian, in C or Fortran order. f4
/// becomes f32, f8 f64, u1 and booleans (0 and 1) u8, and integers of other widths i64. Throws Error on any
/// other element type or byte order, an integer that i64 does not hold, a damaged header, and a file that is
/// shorter or longer than its header says; nothing large is allocated before the header is known to fit the
/// file. With `most` > 0 only so many of the first axis are read, as if there were no others.
Tensor read_npy(const std::string& path, int64_t most = 0);

/// The type that its elements would have, by the header alone.
DType npy_type(const std::string& path);

/// The bytes of a file of format 1.0 before the elements of such an array.
std::string npy_header(DType dtype, const Shape& shape);

/// Writes `array` as format 1.0, atomically: a failed write leaves what was there.
void write_npy(const std::string& path, const Tensor& array);

}  // namespace elbo
