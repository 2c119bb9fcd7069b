// The fused analytic ELBO of the linear VAE, from a batch and from the data's covariance, with their common
// twin.
//
// Both use |x|^2 - 2 x^T W V x + |W V x|^2 = |x - W V x|^2, so with r = x - W V x and w_i the columns of W
//   ELBO = -1/2 [ sum_i (d_i - 1 - ln d_i) + mean |V x|^2 ] - 1/(2 sigma^2) [ sum_i d_i |w_i|^2 + mean |r|^2
//   ]
//          - D/2 ln(2 pi sigma^2).
#include "autograd/contribute.h"
#include "tensor/gemm.h"
#include "tensor/linalg.h"
#include "vae/fused.h"

namespace elbo {
namespace {

struct WeightedSquare {  // d_i W_ji^2
  template <class T>
  ELBO_HD T operator()(T w, T log_variance) const {
    return math::exp(log_variance) * w * w;
  }
};

struct VarianceCost {  // d - 1 - ln d
  template <class T>
  ELBO_HD T operator()(T log_variance) const {
    return math::expm1(log_variance) - log_variance;
  }
};

struct Elbo {
  double dimensions;
  /// From the member's: sum (d - 1 - ln d), mean |V x|^2, sum d |w|^2 + mean |r|^2, ln sigma^2.
  template <class T>
  ELBO_HD T operator()(T variance_cost, T code, T distortion, T log_sigma2) const {
    return T(-0.5) * (variance_cost + code + distortion * math::exp(-log_sigma2) +
                      T(dimensions) * (log_sigma2 + T(math::kLogTwoPi)));
  }
};

struct LogSigma2Gradient {
  double dimensions;
  template <class T>
  ELBO_HD T operator()(T distortion, T log_sigma2, T dy) const {
    return T(0.5) * dy * (distortion * math::exp(-log_sigma2) - T(dimensions));
  }
};

/// d ELBO / d ln d_i = -1/2 (d_i - 1) - d_i |w_i|^2 / (2 sigma^2).
struct LogVarianceGradient {
  template <class T>
  ELBO_HD T operator()(T log_variance, T column_square, T log_sigma2, T dy) const {
    return T(-0.5) * dy * (math::expm1(log_variance) + math::exp(log_variance - log_sigma2) * column_square);
  }
};

/// dy scale / sigma^2.
struct OverSigma2 {
  double scale;
  template <class T>
  ELBO_HD T operator()(T dy, T log_sigma2) const {
    return T(scale) * dy * math::exp(-log_sigma2);
  }
};

/// x - c d_i W_ji: takes the noise's pull on the decoder off its gradient.
struct MinusNoisePull {
  template <class T>
  ELBO_HD T operator()(T x, T w, T log_variance, T c) const {
    return x - c * math::exp(log_variance) * w;
  }
};

/// c a - b m.
struct CodeGradient {
  template <class T>
  ELBO_HD T operator()(T a, T c, T m, T b) const {
    return c * a - b * m;
  }
};

struct Distortion {
  template <class T>
  ELBO_HD T operator()(T noise, T total_variance, T cross, T code) const {
    return noise + total_variance - T(2) * cross + code;
  }
};

struct AddToDiagonal {
  template <class T>
  ELBO_HD T operator()(T x, T identity, T log_sigma2) const {
    return x + identity * math::exp(log_sigma2);
  }
};

/// A per-member scalar (M) or () shaped to broadcast over that member's matrices.
Tensor over_matrix(const Tensor& scalars) { return scalars.reshape(scalars.shape().concatenated({1, 1})); }

/// What both forms share: shapes, and the per-member pieces that depend on the parameters alone.
struct Model {
  Tensor decoder, encoder, log_variance, log_sigma2;  // log_sigma2 reshaped to the members' shape
  Shape members;                                      // () or (M)
  Shape log_sigma2_shape;
  int64_t dimensions, latent;

  Model(const Variable& w, const Variable& v, const Variable& lv, const Variable& ls, int64_t data_dimensions)
      : decoder(w.value()), encoder(v.value()), log_variance(lv.value()), log_sigma2_shape(ls.shape()) {
    if (w.rank() < 2 || w.rank() > 3)
      fail("[linear_vae_elbo] the decoder must be (D, k) or (M, D, k), got {}", w.shape().str());
    members = w.shape().drop_back(2);
    dimensions = w.size(-2);
    latent = w.size(-1);
    if (dimensions != data_dimensions)
      fail("[linear_vae_elbo] the data have {} dimensions, the decoder {} is for {}", data_dimensions,
           w.shape().str(), dimensions);
    if (!(v.shape() == members.concatenated({latent, dimensions})) ||
        !(lv.shape() == members.concatenated({latent})) || ls.value().elements() != members.elements())
      fail("[linear_vae_elbo] shapes disagree: decoder {}, encoder {}, log_variance {}, log_sigma2 {}",
           w.shape().str(), v.shape().str(), lv.shape().str(), ls.shape().str());
    log_sigma2 = ls.value().reshape(members);
  }

  Shape keep(std::initializer_list<int64_t> back) const { return members.concatenated(back); }
  Tensor log_variance_row() const { return log_variance.reshape(keep({1, latent})); }
  Tensor noise_distortion() const {
    return map_reduce<Sum>(keep({1, 1}), WeightedSquare{}, decoder, log_variance_row()).reshape(members);
  }
  Tensor elbo(const Tensor& code, const Tensor& distortion) const {
    const Tensor cost = map_reduce<Sum>(keep({1}), VarianceCost{}, log_variance).reshape(members);
    return map(Elbo{static_cast<double>(dimensions)}, cost, code, distortion, log_sigma2);
  }
  /// The gradients that do not involve the data.
  void contribute_variances(Backward& pass, const Tensor& distortion) const {
    const Tensor dy = pass.dy();
    if (pass.wants(2)) {
      const Tensor column_square =
          map_reduce<Sum>(keep({1, latent}), SquareOf{}, decoder).reshape(keep({latent}));
      const auto over_units = [&](const Tensor& scalars) { return scalars.reshape(keep({1})); };
      pass.contribute_unsummed(2, LogVarianceGradient{}, log_variance, column_square, over_units(log_sigma2),
                               over_units(dy));
    }
    pass.contribute_unsummed(3, LogSigma2Gradient{static_cast<double>(dimensions)},
                             distortion.reshape(log_sigma2_shape), log_sigma2.reshape(log_sigma2_shape),
                             dy.reshape(log_sigma2_shape));
  }
};

}  // namespace

Variable linear_vae_elbo(const Tensor& x, const Variable& decoder, const Variable& encoder,
                         const Variable& log_variance, const Variable& log_sigma2) {
  if (x.rank() != 2 || x.size(0) == 0)
    fail("[linear_vae_elbo] needs data (N, D) with N > 0, got {}", x.shape().str());
  const Model model(decoder, encoder, log_variance, log_sigma2, x.size(1));
  const int64_t n = x.size(0);
  const double share = 1.0 / static_cast<double>(n);

  const Tensor code = matmul(x, Transpose::no, model.encoder, Transpose::yes);  // V x (M?, N, k)
  const Tensor residual = Tensor::empty(model.keep({n, model.dimensions}), x.dtype(), x.device());
  map_into(residual, Identity{}, x);
  gemm(residual, code, Transpose::no, model.decoder, Transpose::yes, true, -1);  // x - W V x (M?, N, D)
  const auto mean_square = [&](const Tensor& values) {
    return map(Scaled{share}, map_reduce<Sum>(model.keep({1, 1}), SquareOf{}, values)).reshape(model.members);
  };
  const Tensor distortion = model.noise_distortion();
  add_into(distortion, mean_square(residual));

  return Tape::record(
      "linear_vae_elbo", {&decoder, &encoder, &log_variance, &log_sigma2},
      model.elbo(mean_square(code), distortion), [=](Backward& pass) {
        const Tensor dy = pass.dy();
        const Tensor over_n_sigma2 = over_matrix(map(OverSigma2{share}, dy, model.log_sigma2));
        if (pass.wants(0)) {  // r^T (V x) / (N sigma^2) - W diag(d) / sigma^2
          const Tensor scaled_code = map(Product{}, code, over_n_sigma2);
          const Tensor d = matmul(residual, Transpose::yes, scaled_code, Transpose::no);
          pass.contribute_unsummed(0, MinusNoisePull{}, d, model.decoder, model.log_variance_row(),
                                   over_matrix(map(OverSigma2{1}, dy, model.log_sigma2)));
        }
        if (pass.wants(1)) {  // (r W / sigma^2 - V x)^T x / N
          Tensor d = matmul(residual, Transpose::no, model.decoder, Transpose::no);
          map_into(d, CodeGradient{}, d, over_n_sigma2, code, over_matrix(map(Scaled{share}, dy)));
          const Backward::Target to = pass.target(1);
          gemm(to.tensor, d, Transpose::yes, x, Transpose::no, to.accumulate);
        }
        model.contribute_variances(pass, distortion);
      });
}

Variable linear_vae_elbo_from_covariance(const Tensor& covariance, const Variable& decoder,
                                         const Variable& encoder, const Variable& log_variance,
                                         const Variable& log_sigma2) {
  if (covariance.rank() != 2 || covariance.size(0) != covariance.size(1))
    fail("[linear_vae_elbo] the covariance must be (D, D), got {}", covariance.shape().str());
  const Model model(decoder, encoder, log_variance, log_sigma2, covariance.size(0));

  // With A = S V^T:  mean |V x|^2 = tr(V A),  mean |r|^2 = tr S - 2 tr(W^T A) + tr(W^T W V A).
  const Tensor a = matmul(covariance, Transpose::no, model.encoder, Transpose::yes);  // (M?, D, k)
  const Tensor code_covariance =
      matmul(model.encoder, Transpose::no, a, Transpose::no);  // V S V^T (M?, k, k)
  const Tensor gram =
      matmul(model.decoder, Transpose::yes, model.decoder, Transpose::no);  // W^T W (M?, k, k)
  const auto total_product = [&](const Tensor& p, const Tensor& q) {
    return map_reduce<Sum>(model.keep({1, 1}), Product{}, p, q).reshape(model.members);
  };
  const Tensor distortion = map(Distortion{}, model.noise_distortion(), trace(covariance),
                                total_product(model.decoder, a), total_product(gram, code_covariance));

  return Tape::record(
      "linear_vae_elbo_from_covariance", {&decoder, &encoder, &log_variance, &log_sigma2},
      model.elbo(trace(code_covariance), distortion), [=](Backward& pass) {
        const Tensor c = over_matrix(map(OverSigma2{1}, pass.dy(), model.log_sigma2));
        if (pass.wants(0)) {  // (A - W (V S V^T + diag d)) / sigma^2
          const Tensor d = a.clone();
          gemm(d, model.decoder, Transpose::no, code_covariance, Transpose::no, true, -1);
          map_into(d, Product{}, d, c);
          pass.contribute_unsummed(0, MinusNoisePull{}, d, model.decoder, model.log_variance_row(), c);
        }
        if (pass.wants(1)) {  // (W^T S - (W^T W + sigma^2 I) A^T) / sigma^2
          const Tensor m =
              map(AddToDiagonal{}, gram, identity_matrix(model.latent, gram.dtype(), gram.device()),
                  over_matrix(model.log_sigma2));
          const Tensor d = matmul(model.decoder, Transpose::yes, covariance, Transpose::no);
          gemm(d, m, Transpose::no, a, Transpose::yes, true, -1);
          pass.contribute(1, Product{}, d, c);
        }
        model.contribute_variances(pass, distortion);
      });
}

Variable linear_vae_elbo_twin(const Tensor& x, const Variable& decoder, const Variable& encoder,
                              const Variable& log_variance, const Variable& log_sigma2) {
  const auto dimensions = static_cast<double>(x.size(-1));
  const Variable code = matmul_nt(x, encoder);                       // (M?, N, k)
  const Variable residual = Variable(x) - matmul_nt(code, decoder);  // (M?, N, D)
  const Shape members = decoder.shape().drop_back(2);
  const Variable d = exp(log_variance), sigma2 = exp(reshape(log_sigma2, members));
  const Variable kl = 0.5 * (sum(d - 1.0 - log_variance, {-1}) + mean(sum(square(code), {-1}), {-1}));
  const Variable noise = sum(sum(square(decoder), {-2}) * d, {-1});
  const Variable distortion = noise + mean(sum(square(residual), {-1}), {-1});
  return -kl - 0.5 * (distortion / sigma2 + dimensions * (log(sigma2) + math::kLogTwoPi));
}

}  // namespace elbo
