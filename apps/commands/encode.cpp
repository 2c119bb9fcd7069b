// elbo encode: what a trained model makes of every point of the data, as arrays that NumPy opens.
#include <cmath>
#include <filesystem>

#include "apps/command.h"
#include "apps/commands/point_arrays.h"
#include "apps/support/arguments.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/progress.h"
#include "apps/support/table.h"
#include "tensor/file.h"
#include "vae/deep_metrics.h"
#include "vae/point_terms.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

struct Options : SavedModelOptions {
  std::string out, format;
  std::vector<std::string> only;
  int64_t samples = 1;
};

struct Target {
  std::string path;
  ArrayOutput::Format format;
};

/// Where the arrays go: --format says what it is, or else how --out ends.
Target target_of(const Options& o) {
  using Format = ArrayOutput::Format;
  const bool folder = o.out.ends_with('/') || (!o.out.empty() && fs::is_directory(o.out));
  const bool file = o.out.ends_with(".npz");
  if (o.out.empty()) {
    const fs::path place = fs::is_directory(o.model) ? o.model : ".";
    if (o.format == "npy") return {(place / "encoded").string(), Format::npy};
    return {(place / "encoded.npz").string(), Format::npz};
  }
  if (o.format.empty() && !file && !folder)
    fail("[--out] say what {} is to be: FILE.npz, FOLDER/, or either by --format", quote(o.out));
  const bool npz = o.format.empty() ? !folder : o.format == "npz";
  if (npz && folder) fail("[--out] {} is a folder, and --format npz makes a file", quote(o.out));
  if (!npz && file && !folder)
    fail("[--out] {} is the name of a file, and --format npy makes a folder", quote(o.out));
  return {o.out, npz ? Format::npz : Format::npy};
}

/// Sums over the points of the arrays that have a number for each.
struct Means {
  std::vector<std::pair<std::string, double>> sums;
  int64_t not_finite = 0;  ///< numbers among those
  void add(const std::string& name, const Tensor& rows) {
    if (rows.dtype() != DType::f64 || rows.rank() != 1) return;
    auto own = std::find_if(sums.begin(), sums.end(), [&](const auto& sum) { return sum.first == name; });
    if (own == sums.end()) own = sums.insert(own, {name, 0.0});
    for (const double value : rows.span<double>()) {
      own->second += value;
      if (!std::isfinite(value)) ++not_finite;
    }
  }
};

/// Writes all arrays, a part of the points at a time.
Means write_arrays(const PointEncoder& encoder, ArrayOutput& out, int64_t points, bool quiet) {
  const std::vector<ArrayPlan> plans = encoder.plans();
  Means means;
  Progress progress(points, "encode", {.quiet = quiet});
  for (int64_t begin = 0; begin < points; begin += kPointsOfPart) {
    const int64_t end = std::min(begin + kPointsOfPart, points);
    const std::vector<Tensor> rows = encoder.rows(begin, end);
    for (size_t i = 0; i < rows.size(); ++i) {
      out.append(i, rows[i]);
      means.add(plans[i].name, rows[i]);
    }
    progress.update(end);
    if (interrupted()) fail("[encode] stopped at point {}; nothing was kept", end);
  }
  progress.finish();
  return means;
}

void encode(Options o) {
  const Target target = target_of(o);
  if (fs::exists(fs::symlink_status(target.path)) && target.format == ArrayOutput::Format::npz)
    fail("[--out] {} is there already and nothing is written over; name another", quote(target.path));
  apply(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::points, device_of(o.run));
  if (model.linear) apply_on_cpu(o.run);
  o.run.seed = model.seed;
  const PointEncoder encoder(model, o.only, o.samples);
  const int64_t points = model.data.dataset.points();
  Json config = to_json(model.named, o.run);
  config["model"] = model.path;
  config["model_card"] = model.card ? to_json(*model.card) : Json(nullptr);
  Result result("encode", config, provenance_of(o.run, model.data));
  const InterruptGuard guard;
  ArrayOutput out(target.path, target.format, encoder.plans());
  const Means means = write_arrays(encoder, out, points, o.run.json);
  out.finish();
  if (means.not_finite > 0)
    log_line(fmt::format("elbo: {} numbers are not finite: the model overflows on some of these points",
                         means.not_finite));
  Table table({"array", "type", "shape", Table::number("mean")});
  Json arrays = Json::object();
  for (const ArrayPlan& plan : encoder.plans()) {
    std::string mean;
    for (const auto& [name, sum] : means.sums)
      if (name == plan.name) {
        result.set(name, finite_or_null(sum / static_cast<double>(points)), kNatsPerPoint);
        mean = fmt::format("{:.3f}", sum / static_cast<double>(points));
      }
    table.row({plan.name, name(plan.dtype), plan.shape.str(), mean});
    std::vector<int64_t> shape;
    for (int axis = 0; axis < plan.shape.rank(); ++axis) shape.push_back(plan.shape[axis]);
    const auto array = std::find_if(point_arrays().begin(), point_arrays().end(),
                                    [&](const PointArray& each) { return plan.name == each.name; });
    arrays[plan.name] = {{"type", name(plan.dtype)}, {"shape", shape}, {"meaning", array->meaning}};
  }
  result.set("z_samples", model.linear ? 0 : o.samples,
             model.linear ? "none: a linear VAE's terms are exact" : "drawn for each point");
  result.set("out", target.path);
  result.set("arrays", arrays);
  if (o.run.json)
    fmt::print("{}", json_text(result.to_json()));
  else
    fmt::print("{} on the {} of {} ({} points)\n\n{}\n{}\n", model.path, words(model.data.dataset.split),
               model.data.dataset.name, points, table.text(), target.path);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_saved_model_options(arguments, *o);
  arguments.add_text("--out", o->out,
                     "FILE.npz, or FOLDER/ for .npy files; by default encoded.npz in the run, or here");
  arguments
      .add_text("--format", o->format, "npz, one file, or npy, a file for each array; else as --out ends")
      .one_of({"npz", "npy"});
  arguments.add_texts("--only", o->only, "The arrays to write, of those below; by default all");
  arguments
      .add_number("--samples", o->samples, "Deep VAE: z for each point, which E_q ln p(x|z) rests on",
                  {1, kMostDraws})
      .show_default();
  std::string arrays = "Arrays, with a row for each point; nats are of the preprocessed data, as evaluate's:";
  for (const PointArray& array : point_arrays())
    arrays += fmt::format("\n  {:24} {}", array.name, array.meaning);
  arguments.footer(arrays);
  arguments.run([o] { encode(*o); });
}

}  // namespace

const Command encode_command{"encode", "Write what a trained model makes of every point, for NumPy", "",
                             "5 s on MNIST", add_options};

}  // namespace elbo
