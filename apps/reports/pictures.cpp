#include "apps/reports/pictures.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "apps/support/json.h"
#include "tensor/copy.h"
#include "tensor/file.h"
#include "vae/deep_metrics.h"
#include "vae/disentanglement.h"

namespace elbo {
namespace {

constexpr int64_t kColumns = 10;
constexpr double kReach = 3;  // standard deviations of the prior
constexpr int64_t kPointsForRanking = 2000;

ImageGrid grid_of(const LoadedData& data, const std::string& name, int64_t columns,
                  const Tensor& intensities) {
  const Dataset& d = data.dataset;
  if (!has_pictures(d)) fail("[{}] {} are not images, so there is nothing to draw", name, d.name);
  return {.name = name,
          .height = d.height,
          .width = d.width,
          .channels = d.channels,
          .columns = columns,
          .images = intensities.to(DType::f32)};
}

/// What the decoder expects to see, as intensities: z (n, k) -> (n, D).
Tensor decoded(const Vae& vae, const LoadedData& data, const Tensor& z) {
  const Variable output = vae.decode(z).mean;
  const bool logits = vae.likelihood() == Likelihood::bernoulli;
  return to_intensities(data.dataset, data.preprocessing, (logits ? sigmoid(output) : output).value());
}

Tensor rows_of(const LoadedData& data, const std::vector<int64_t>& points, const char* what) {
  for (int64_t point : points)
    if (point < 0 || point >= data.dataset.points())
      fail("[{}] there is no point {}; the data have {}", what, point, data.dataset.points());
  return data.rows(points);
}

/// Posterior means of points: (n, k).
Tensor codes(const Vae& vae, const LoadedData& data, const std::vector<int64_t>& points, const char* what) {
  return vae.encode(rows_of(data, points, what).to(vae.dtype())).mean.value();
}

}  // namespace

bool has_pictures(const Dataset& data) { return data.height > 0 && data.width > 0; }

ImageGrid sample_grid(const Vae& vae, const LoadedData& data, int64_t count, uint64_t seed) {
  Variable z = normal({count, vae.latent()}, vae.dtype(), {.seed = seed, .stream = kEvaluation});
  if (const Variable prior = vae.prior_log_variance(); prior.value().defined()) z = z * exp(prior / 2);
  return grid_of(data, "samples", kColumns, decoded(vae, data, z.value()));
}

ImageGrid reconstruction_grid(const Vae& vae, const LoadedData& data, int64_t count) {
  count = std::min(count, data.dataset.points());
  std::vector<int64_t> points(static_cast<size_t>(count));
  std::iota(points.begin(), points.end(), int64_t{0});
  const Tensor x = rows_of(data, points, "reconstruct").to(vae.dtype());
  const Tensor original = to_intensities(data.dataset, data.preprocessing, x);
  const Tensor again = decoded(vae, data, vae.encode(x).mean.value());
  // A row of originals, then the row of what became of them.
  const Tensor rows = Tensor::empty({2 * count, x.size(1)}, x.dtype());
  for (int64_t begin = 0; begin < count; begin += kColumns) {
    const int64_t n = std::min(kColumns, count - begin);
    copy_range(rows, 2 * begin, original, begin, 0, n);
    copy_range(rows, 2 * begin + n, again, begin, 0, n);
  }
  return grid_of(data, "reconstructions", std::min(kColumns, count), rows);
}

std::vector<RankedUnit> rank_units(const Vae& vae, const LoadedData& data, int64_t count) {
  const Points points = points_of(data, kPointsForRanking);
  const Codes q = encode_all(vae, points);
  const Posterior of_prior = vae.in_prior_units({q.mean, q.log_variance});
  const Tensor kl = mean(gaussian_kl(of_prior.mean, of_prior.log_variance), {0}).value();
  std::vector<RankedUnit> units;
  for (int64_t unit = 0; unit < vae.latent(); ++unit)
    units.push_back({.unit = unit, .kl = kl.at(unit), .factor = {}, .information = 0, .entropy = 0});
  std::stable_sort(units.begin(), units.end(),
                   [](const RankedUnit& a, const RankedUnit& b) { return a.kl > b.kl; });
  if (count < static_cast<int64_t>(units.size())) units.resize(static_cast<size_t>(count));
  const Factors& factors = data.dataset.factors;
  if (factors.names.empty()) return units;
  const Disentanglement found = disentanglement(q.mean, factors.indices.slice(0, points.count()));
  for (RankedUnit& unit : units) {
    const int64_t factor = found.best_factor(unit.unit);
    unit.factor = factors.names[static_cast<size_t>(factor)];
    unit.information = found.information.slice(factor).at(unit.unit);
    unit.entropy = found.entropy[static_cast<size_t>(factor)];
  }
  return units;
}

ImageGrid traversal_grid(const Vae& vae, const LoadedData& data, int64_t point,
                         const std::vector<RankedUnit>& units) {
  const std::vector<double> start = codes(vae, data, {point}, "traverse").to_vector();
  std::vector<double> z;
  for (const RankedUnit& unit : units)
    for (int64_t column = 0; column < kColumns; ++column) {
      std::vector<double> moved = start;
      moved[static_cast<size_t>(unit.unit)] =
          kReach * (2.0 * static_cast<double>(column) / (kColumns - 1) - 1);
      z.insert(z.end(), moved.begin(), moved.end());
    }
  const auto count = static_cast<int64_t>(units.size()) * kColumns;
  const Tensor codes_of_rows = Tensor::from<double>({count, vae.latent()}, z).to(vae.dtype());
  return grid_of(data, "traversals", kColumns, decoded(vae, data, codes_of_rows));
}

ImageGrid interpolation_grid(const Vae& vae, const LoadedData& data,
                             const std::vector<std::pair<int64_t, int64_t>>& pairs) {
  const int64_t k = vae.latent();
  std::vector<double> z;
  for (const auto& [from, to] : pairs) {
    const std::vector<double> ends = codes(vae, data, {from, to}, "interpolate").to_vector();
    for (int64_t column = 0; column < kColumns; ++column) {
      const double t = static_cast<double>(column) / (kColumns - 1);
      for (size_t i = 0; i < static_cast<size_t>(k); ++i)
        z.push_back((1 - t) * ends[i] + t * ends[static_cast<size_t>(k) + i]);
    }
  }
  const Tensor codes_of_rows =
      Tensor::from<double>({static_cast<int64_t>(pairs.size()) * kColumns, k}, z).to(vae.dtype());
  return grid_of(data, "interpolations", kColumns, decoded(vae, data, codes_of_rows));
}

ImageGrid plane_grid(const Vae& vae, const LoadedData& data, const std::vector<int64_t>& points,
                     int64_t side) {
  if (points.size() != 3) fail("[plane] three points make a plane, got {}", points.size());
  if (side < 2) fail("[plane] a side must have at least 2 images, got {}", side);
  const auto k = static_cast<size_t>(vae.latent());
  const std::vector<double> corners = codes(vae, data, points, "plane").to_vector();
  std::vector<double> z;
  for (int64_t row = 0; row < side; ++row)
    for (int64_t column = 0; column < side; ++column) {
      const double right = static_cast<double>(column) / static_cast<double>(side - 1),
                   down = static_cast<double>(row) / static_cast<double>(side - 1);
      for (size_t i = 0; i < k; ++i)
        z.push_back((1 - right - down) * corners[i] + right * corners[k + i] + down * corners[2 * k + i]);
    }
  const Tensor plane = Tensor::from<double>({side * side, static_cast<int64_t>(k)}, z).to(vae.dtype());
  return grid_of(data, "plane", side, decoded(vae, data, plane));
}

ImageGrid reconstructions_by_model(const std::string& name, const LoadedData& data, int64_t models,
                                   const std::function<std::unique_ptr<Vae>(int64_t)>& model) {
  const int64_t count = std::min(kColumns, data.dataset.points());
  const Tensor x = data.rows(0, count);
  const Tensor rows = Tensor::empty({(models + 1) * count, x.size(1)}, DType::f32);
  copy_range(rows, 0, to_intensities(data.dataset, data.preprocessing, x).to(DType::f32), 0, 0, count);
  for (int64_t m = 0; m < models; ++m) {
    const auto vae = model(m);
    const Tensor again = decoded(*vae, data, vae->encode(x.to(vae->dtype())).mean.value());
    copy_range(rows, (m + 1) * count, again.to(DType::f32), 0, 0, count);
  }
  return grid_of(data, name, count, rows);
}

void add_pictures(Report& report, const Vae& vae, const LoadedData& data, const std::string& folder,
                  const ReportedPictures& which) {
  report.image(draw(reconstruction_grid(vae, data, which.pairs), folder),
               "Rows in pairs: images of the training data, and below them what the model makes of their "
               "posterior mean.");
  report.image(draw(sample_grid(vae, data, which.samples, which.seed), folder),
               "Samples: the decoder's mean at z drawn from the prior.");
}

void add_picture_options(Arguments& arguments, PictureOptions& o) {
  add_saved_model_options(arguments, o);
  arguments.add_text("--out", o.folder, "Folder for the picture; by default the run's figures/, or here");
}

void write_picture(const ImageGrid& grid, const PictureOptions& o, const std::string& text,
                   const Json& more) {
  namespace fs = std::filesystem;
  fs::path folder = o.folder;
  if (folder.empty()) folder = fs::is_directory(o.model) ? fs::path(o.model) / "figures" : fs::path(".");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("[--out] cannot make {}: {}", quote(folder.string()), error.message());
  const Picture picture = draw(grid, folder.string());
  const std::string path = (folder / (picture.name + ".png")).string();
  if (!o.run.json) return fmt::print("{}\n{}", path, text);
  Json json = {{"picture", path}, {"width", picture.width}, {"height", picture.height}};
  json.update(more);
  fmt::print("{}", json_text(json));
}

}  // namespace elbo
