// The network that stands for the Moebius transform of Yacoby et al. (appendix E) and makes the points of
// Mobius: numbers that were fitted once, by `elbo yacoby-mobius`, and are stored, as another machine's fit
// may differ in its last bits, and all that the data are compared with would differ, too.
#pragma once

#include "datasets/relu_density.h"

namespace elbo {

/// m(z) = (z + 1 + 4i) / (z + 7 + 4i) of each row, z = z_1 + i z_2: z (N, 2) f64 -> (N, 2).
Tensor mobius_transform(const Tensor& z);

/// The stored network: 2-50-2.
ReluNet mobius_network();
/// What `fingerprint` gives of it.
extern const char* const kMobiusFingerprint;

/// datasets/mobius_network.cpp, the file that stores a network: what the two above are defined in.
std::string mobius_network_source(const ReluNet& net);

}  // namespace elbo
