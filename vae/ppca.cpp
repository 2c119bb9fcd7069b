#include "vae/ppca.h"

#include <algorithm>
#include <cmath>

#include "tensor/gemm.h"
#include "tensor/map.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

void check_sigma2(double sigma2, const char* where) {
  if (!(sigma2 > 0) || !std::isfinite(sigma2))
    fail("[{}] sigma^2 must be positive and finite, got {}", where, sigma2);
}

void check_latent(int64_t latent, int64_t dimensions) {
  if (latent < 1) fail("[ppca] the latent dimension must be at least 1, got {}", latent);
  if (latent >= dimensions)
    fail("[ppca] the latent dimension must be below the data's dimension {}, got {}", dimensions, latent);
}

void check_components(const std::vector<int64_t>& captured, int64_t dimensions) {
  for (int64_t component : captured)
    if (component < 1 || component > dimensions)
      fail("[ppca] there is no component {} among {}", component, dimensions);
}

/// M = W^T W + sigma^2 I (k, k).
Tensor posterior_precision(const Ppca& model) {
  Tensor m = matmul(model.weight, Transpose::yes, model.weight, Transpose::no);
  const int64_t k = m.size(0);
  for (int64_t i = 0; i < k; ++i) m.data<double>()[i * k + i] += model.sigma2;
  return m;
}

/// Column `to` of weight = scale u_component; of a component that has no eigenvector the scale is 0.
void set_column(const Tensor& weight, int64_t to, const Eigen& eigen, int64_t component, double scale) {
  const int64_t d = weight.size(0), k = weight.size(1), known = eigen.vectors.size(1);
  if (component > known) return;
  for (int64_t j = 0; j < d; ++j)
    weight.data<double>()[j * k + to] = scale * eigen.vectors.data<double>()[j * known + component - 1];
}

double column_scale(const Eigen& eigen, int64_t component, double sigma2) {
  return std::sqrt(std::max(0.0, eigen.values.at(component - 1) - sigma2));
}

/// Calls use(rows begin .. end - 1 as f64) for parts of x.
template <class F>
void each_part(const Tensor& x, int64_t begin, int64_t end, const F& use) {
  constexpr int64_t kRows = 1024;  // converted to f64 at a time
  for (; begin < end; begin += kRows) use(x.slice(begin, std::min(begin + kRows, end)).to(DType::f64));
}

/// In two passes: the second adds the mean of what is left, so that equal numbers have exactly their own
/// mean.
Tensor mean_of_points(const Tensor& x) {
  const int64_t n = x.size(0);
  const Tensor mean = Tensor::zeros({x.size(1)}, DType::f64);
  for (int pass = 0; pass < 2; ++pass) {
    const Tensor rest = Tensor::zeros(mean.shape(), DType::f64);
    each_part(x, 0, n,
              [&](const Tensor& rows) { map_reduce_into<Sum>(rest, true, Difference{}, rows, mean); });
    add_into(mean, map(Scaled{1.0 / static_cast<double>(n)}, rest));
  }
  return mean;
}

/// to (D, n) = (rows (n, D) - mean)^T factor.
void centre_and_transpose(const Tensor& rows, const Tensor& mean, double factor, double* to, int64_t stride) {
  const int64_t n = rows.size(0), d = rows.size(1);
  const double *from = rows.data<double>(), *middle = mean.data<double>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < d; ++j) to[j * stride + i] = (from[i * d + j] - middle[j]) * factor;
}

/// F (D, N), the centred points.
Tensor root_of_few(const Tensor& x, const Tensor& mean) {
  const int64_t n = x.size(0);
  const Tensor root = Tensor::empty({x.size(1), n}, DType::f64);
  int64_t done = 0;
  each_part(x, 0, n, [&](const Tensor& rows) {
    centre_and_transpose(rows, mean, 1 / std::sqrt(static_cast<double>(n)), root.data<double>() + done, n);
    done += rows.size(0);
  });
  return root;
}

/// F (D, D), lower-triangular: of pieces of the data, whose number follows from the shapes alone, and then of
/// these.
Tensor root_of_many(const Tensor& x, const Tensor& mean) {
  const int64_t n = x.size(0), d = x.size(1);
  const int64_t pieces = std::clamp<int64_t>(n / (4 * d), 1, 16);
  std::vector<Tensor> roots;
  for (int64_t p = 0; p < pieces; ++p) roots.push_back(Tensor::zeros({d, d}, DType::f64));
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      each_part(x, n * p / pieces, n * (p + 1) / pieces, [&](const Tensor& rows) {
        const Tensor columns = Tensor::empty({d, rows.size(0)}, DType::f64);
        centre_and_transpose(rows, mean, 1 / std::sqrt(static_cast<double>(n)), columns.data<double>(),
                             rows.size(0));
        add_to_cholesky(roots[static_cast<size_t>(p)], columns);
      });
  });
  for (size_t p = 1; p < roots.size(); ++p) add_to_cholesky(roots[0], roots[p], true);
  return roots[0];
}

}  // namespace

DataMoments data_moments(const Tensor& x) {
  if (x.rank() != 2 || x.size(0) == 0 || x.size(1) == 0)
    fail("[data_moments] needs data (N, D) with N and D above 0, got {}", x.shape().str());
  const int64_t n = x.size(0), d = x.size(1);
  DataMoments moments{n, mean_of_points(x), {}, {}};
  for (double value : moments.mean.span<double>())
    if (!std::isfinite(value)) fail("[data_moments] the data hold a NaN or an infinity");
  moments.root = n < d ? root_of_few(x, moments.mean) : root_of_many(x, moments.mean);
  // Rounding x moves it by at most u |x|, evenly: a variance of (u x)^2 / 3.
  const double unit = x.dtype() == DType::f32 ? 0x1p-24 : 0x1p-53;
  moments.rounding = map_reduce<Sum>({d, 1}, SquareOf{}, moments.root).reshape({d});
  add_into(moments.rounding, map(SquareOf{}, moments.mean));
  map_into(moments.rounding, Scaled{unit * unit / 3}, moments.rounding);
  return moments;
}

Tensor covariance(const DataMoments& data) {
  return matmul(data.root, Transpose::no, data.root, Transpose::yes);
}

Tensor covariance_times(const DataMoments& data, const Tensor& b) {
  return matmul(data.root, Transpose::no, matmul(data.root, Transpose::yes, b, Transpose::no), Transpose::no);
}

double total_variance(const DataMoments& data) { return map_reduce<Sum>({}, SquareOf{}, data.root).item(); }

Eigen principal_components(const DataMoments& data) {
  constexpr double kNegligible = 1e-10;  // of the largest eigenvalue
  const Eigen singular = left_singular_vectors(data.root);
  const int64_t d = data.root.size(0), known = singular.values.elements();
  Eigen eigen{Tensor::zeros({d}, DType::f64), singular.vectors};
  double* const values = eigen.values.data<double>();
  for (int64_t i = 0; i < known; ++i) values[i] = singular.values.at(i) * singular.values.at(i);
  // An eigenvalue of rounding's own covariance exceeds its mean by (1 + sqrt(D / N))^2 at most.
  const auto points = static_cast<double>(data.count), dimensions = static_cast<double>(d);
  const double excess = 4 * std::max(1.0, dimensions / points);
  const double unresolved = std::max(points, dimensions) * 0x1p-52 * singular.values.at(0);
  const Tensor of_rounding = map_reduce<Sum>({1, known}, Product{}, map(SquareOf{}, singular.vectors),
                                             data.rounding.reshape({d, 1}));
  const auto is_rounding = [&](int64_t i) {
    return singular.values.at(i) <= unresolved ||
           (values[i] <= kNegligible * values[0] && values[i] <= excess * of_rounding.at(i));
  };
  for (int64_t i = known - 1; i >= 0 && is_rounding(i); --i) values[i] = 0;
  return eigen;
}

int64_t numerical_rank(const Tensor& eigenvalues) {
  const std::vector<double> values = eigenvalues.to_vector();
  return std::count_if(values.begin(), values.end(), [](double value) { return value > 0; });
}

double ppca_mle_sigma2(const Tensor& eigenvalues, int64_t latent) {
  const int64_t d = eigenvalues.elements();
  check_latent(latent, d);
  const int64_t rank = numerical_rank(eigenvalues);
  if (rank == 0)
    fail("[ppca] all points are equal, so there is no variance to explain; are these the right data?");
  if (rank == 1)
    fail(
        "[ppca] the points lie on a line, so with any latent dimension sigma^2 would be 0; hold it at a "
        "value");
  if (latent >= rank)
    fail(
        "[ppca] the data span only {} dimensions, so with {} latent dimensions sigma^2 would be 0; use fewer "
        "than {}",
        rank, latent, rank);
  double total = 0;
  for (int64_t j = latent; j < d; ++j) total += eigenvalues.at(j);
  return total / static_cast<double>(d - latent);
}

Ppca ppca_solution(const DataMoments& data, const Eigen& eigen, int64_t latent, double sigma2) {
  check_latent(latent, eigen.values.elements());
  std::vector<int64_t> leading(static_cast<size_t>(latent));
  for (int64_t i = 0; i < latent; ++i) leading[static_cast<size_t>(i)] = i + 1;
  return ppca_stationary_point(data, eigen, leading, 0, sigma2);
}

double ppca_max_log_likelihood(const Tensor& eigenvalues, int64_t latent) {
  const double sigma2 = ppca_mle_sigma2(eigenvalues, latent);
  const auto d = static_cast<double>(eigenvalues.elements());
  double log_determinant = (d - static_cast<double>(latent)) * std::log(sigma2);
  for (int64_t i = 0; i < latent; ++i) log_determinant += std::log(eigenvalues.at(i));
  return -0.5 * (d * math::kLogTwoPi + log_determinant + d);
}

double ppca_log_likelihood(const Ppca& model, const DataMoments& data) {
  check_sigma2(model.sigma2, "ppca_log_likelihood");
  const Tensor& w = model.weight;
  const int64_t d = w.size(0), k = w.size(1);
  // S about the model's mean: the covariance plus the outer product of the offset, which enters only through
  // W^T S W and tr S.
  const Tensor offset = map(Difference{}, data.mean, model.mean).reshape({1, d});
  const Tensor pulled = matmul(offset, Transpose::no, w, Transpose::no);  // (1, k)
  Tensor wsw = matmul(w, Transpose::yes, covariance_times(data, w), Transpose::no);
  gemm(wsw, pulled, Transpose::yes, pulled, Transpose::no, true);
  const double variance = total_variance(data) + map_reduce<Sum>({}, SquareOf{}, offset).item();

  const Tensor m = posterior_precision(model);
  const Tensor l = cholesky(m);
  double log_determinant = static_cast<double>(d - k) * std::log(model.sigma2);
  for (int64_t i = 0; i < k; ++i) log_determinant += 2 * std::log(l.data<double>()[i * k + i]);
  const Tensor inner = solve_triangular(l, solve_triangular(l, wsw), true);  // M^-1 W^T S W
  const double mahalanobis = (variance - trace(inner).item()) / model.sigma2;
  return -0.5 * (static_cast<double>(d) * math::kLogTwoPi + log_determinant + mahalanobis);
}

PpcaPosterior ppca_posterior(const Ppca& model) {
  check_sigma2(model.sigma2, "ppca_posterior");
  const int64_t d = model.weight.size(0), k = model.weight.size(1);
  const Tensor l = cholesky(posterior_precision(model));
  const Tensor transposed =
      matmul(identity_matrix(k, DType::f64), Transpose::no, model.weight, Transpose::yes);
  PpcaPosterior posterior;
  posterior.projection = solve_triangular(l, solve_triangular(l, transposed.reshape({k, d})), true);
  posterior.covariance = solve_triangular(l, solve_triangular(l, identity_matrix(k, DType::f64)), true);
  map_into(posterior.covariance, Scaled{model.sigma2}, posterior.covariance);
  return posterior;
}

std::vector<Escape> ppca_escapes(const Tensor& eigenvalues, const std::vector<int64_t>& captured,
                                 double sigma2) {
  check_sigma2(sigma2, "ppca_escapes");
  check_components(captured, eigenvalues.elements());
  std::vector<Escape> escapes;
  for (int64_t component = 1; component <= eigenvalues.elements(); ++component)
    if (std::find(captured.begin(), captured.end(), component) == captured.end())
      escapes.push_back({component, eigenvalues.at(component - 1), eigenvalues.at(component - 1) < sigma2});
  return escapes;
}

Ppca ppca_stationary_point(const DataMoments& data, const Eigen& eigen, const std::vector<int64_t>& captured,
                           int64_t zero_columns, double sigma2) {
  check_sigma2(sigma2, "ppca");
  check_components(captured, eigen.values.elements());
  const auto columns = static_cast<int64_t>(captured.size());
  Ppca model{Tensor::zeros({eigen.values.elements(), columns + zero_columns}, DType::f64), data.mean, sigma2};
  for (int64_t i = 0; i < columns; ++i) {
    const int64_t component = captured[static_cast<size_t>(i)];
    set_column(model.weight, i, eigen, component, column_scale(eigen, component, sigma2));
  }
  return model;
}

}  // namespace elbo
