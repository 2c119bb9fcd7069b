// The second rung: the formula of the ELBO, and a tape of single numbers that differentiates it. By itself,
// from the repository's root:
//
//   g++ -std=c++20 -I. -DLADDER_ALONE docs/ladder/2_scalars.cpp -o scalars && ./scalars
#include <cmath>
#include <numbers>

#include "docs/ladder/problem.h"

namespace ladder {
namespace {

struct Entry {                // how one number was made
  int a = -1, b = -1;         // from which numbers; -1: from none
  double by_a = 0, by_b = 0;  // its derivatives by them
};

struct Scalar {
  std::vector<Entry>* tape;
  int entry;
  double value;
};

Scalar record(const Scalar& a, double value, double by_a) {
  a.tape->push_back({a.entry, -1, by_a, 0});
  return {a.tape, static_cast<int>(a.tape->size()) - 1, value};
}
Scalar record(const Scalar& a, const Scalar& b, double value, double by_a, double by_b) {
  a.tape->push_back({a.entry, b.entry, by_a, by_b});
  return {a.tape, static_cast<int>(a.tape->size()) - 1, value};
}
Scalar leaf(std::vector<Entry>& tape, double value) {
  tape.push_back({});
  return {&tape, static_cast<int>(tape.size()) - 1, value};
}

Scalar operator+(Scalar a, Scalar b) { return record(a, b, a.value + b.value, 1, 1); }
Scalar operator-(Scalar a, Scalar b) { return record(a, b, a.value - b.value, 1, -1); }
Scalar operator*(Scalar a, Scalar b) { return record(a, b, a.value * b.value, b.value, a.value); }
Scalar operator*(double c, Scalar a) { return record(a, c * a.value, c); }
Scalar operator+(Scalar a, double c) { return record(a, a.value + c, 1); }

/// d output / d every number of the tape: from the last entry to the first, each passes on what it has.
std::vector<double> backward(const Scalar& output) {
  std::vector<double> gradient(output.tape->size(), 0.0);
  gradient[static_cast<size_t>(output.entry)] = 1;
  for (size_t i = gradient.size(); i-- > 0;) {
    const Entry& entry = (*output.tape)[i];
    if (entry.a >= 0) gradient[static_cast<size_t>(entry.a)] += gradient[i] * entry.by_a;
    if (entry.b >= 0) gradient[static_cast<size_t>(entry.b)] += gradient[i] * entry.by_b;
  }
  return gradient;
}

Scalar exp(Scalar a) { return record(a, std::exp(a.value), std::exp(a.value)); }

}  // namespace

Answer by_scalars(const Problem& p) {
  const size_t N = p.N, D = p.D, k = p.k;
  std::vector<Entry> tape;
  const auto leaves = [&](const std::vector<double>& values) {
    std::vector<Scalar> made;
    for (double value : values) made.push_back(leaf(tape, value));
    return made;
  };
  const std::vector<Scalar> W = leaves(p.at.W), V = leaves(p.at.V), log_d = leaves(p.at.log_d);
  const Scalar log_sigma2 = leaf(tape, p.at.log_sigma2), zero = leaf(tape, 0);

  // Twice the KL from the prior, and the expected square of the residual, both averaged over the points.
  Scalar kl2 = zero, square = zero;
  for (size_t n = 0; n < N; ++n) {
    const double* x = &p.x[n * D];
    std::vector<Scalar> code(k, zero);
    for (size_t i = 0; i < k; ++i) {
      for (size_t j = 0; j < D; ++j) code[i] = code[i] + x[j] * V[i * D + j];
      kl2 = kl2 + (1.0 / static_cast<double>(N)) * (code[i] * code[i]);
    }
    for (size_t j = 0; j < D; ++j) {
      Scalar residual = zero + x[j];
      for (size_t i = 0; i < k; ++i) residual = residual - W[j * k + i] * code[i];
      square = square + (1.0 / static_cast<double>(N)) * (residual * residual);
    }
  }
  for (size_t i = 0; i < k; ++i) {
    const Scalar d = exp(log_d[i]);
    kl2 = kl2 + (d - log_d[i] + -1.0);
    for (size_t j = 0; j < D; ++j) square = square + d * W[j * k + i] * W[j * k + i];
  }
  const Scalar per_dimension = log_sigma2 + std::log(2 * std::numbers::pi);
  const Scalar elbo = -0.5 * (kl2 + square * exp(-1.0 * log_sigma2) + static_cast<double>(D) * per_dimension);

  const std::vector<double> gradient = backward(elbo);
  const auto of = [&](const std::vector<Scalar>& numbers) {
    std::vector<double> values;
    for (const Scalar& number : numbers) values.push_back(gradient[static_cast<size_t>(number.entry)]);
    return values;
  };
  return {elbo.value, {of(W), of(V), of(log_d), of({log_sigma2})[0]}};
}

}  // namespace ladder

#ifdef LADDER_ALONE
int main() { ladder::print(ladder::by_scalars(ladder::example())); }
#endif
