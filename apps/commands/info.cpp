// elbo info: the build, the processor, the libraries and the data found.

#include <fmt/ranges.h>

#include "apps/command.h"
#include "apps/processor/paths.h"
#include "apps/support/gnuplot.h"
#include "apps/training/options.h"
#include "datasets/published.h"
#include "tensor/blas.h"
#include "tensor/cuda/conv.h"
#include "tensor/cuda/device.h"
#include "tensor/cuda/gemm.h"
#include "tensor/parallel.h"
#include "tensor/vector_instructions.h"

namespace elbo {
namespace {

struct Options {
  bool json = false;
};

/// The GPU, or why there is none.
Json gpu_json() {
  if (!cuda::available()) return {{"available", false}, {"why_not", cuda::why_not()}};
  Json gpu = describe_gpu();
  gpu["available"] = true;
  return gpu;
}

std::string gpu_text() {
  if (!cuda::available()) return fmt::format("cpu only: {}", cuda::why_not());
  const cuda::Description gpu = cuda::describe();
  constexpr double kGiB = 1 << 30;
  return fmt::format(
      "cpu, cuda\n  GPU        {}, compute capability {}, {} multiprocessors, {:.1f} of {:.1f} GiB free\n"
      "  CUDA       driver {}, runtime {}, {}, {}",
      gpu.name, gpu.capability, gpu.multiprocessors, static_cast<double>(gpu.free) / kGiB,
      static_cast<double>(gpu.memory) / kGiB, gpu.driver, gpu.runtime, cuda::blas_name(), cuda::cudnn_name());
}

/// The paths of this build, by their names.
std::vector<std::string> path_names() {
  std::vector<std::string> names;
  for (const processor::Path& path : processor::all_paths()) names.push_back(path.name);
  return names;
}

std::string path_text() {
  const std::vector<std::string> names = path_names();
  return fmt::format("{}, {}{}", processor::own_path, vector_instructions(),
                     names.size() == 1 ? ": the only one of this build"
                                       : fmt::format(": one of {}", fmt::join(names, ", ")));
}

void info(const Options& options) {
  const Provenance build = describe_provenance(threads(), blas().name);
  Json found{
      {"version", build.version},
      {"compiler", build.compiler},
      {"build", build.build},
      {"cpu", build.cpu},
      {"path", {{"name", processor::own_path}, {"vectors", vector_instructions()}, {"all", path_names()}}},
      {"devices", cuda::available() ? Json::array({"cpu", "cuda"}) : Json::array({"cpu"})},
      {"gpu", gpu_json()},
      {"threads", build.threads},
      {"blas", build.blas},
      {"blas_warning", blas().warning.empty() ? Json(nullptr) : Json(blas().warning)},
      {"convolutions", cpu_convolutions_name()},
      {"gnuplot", gnuplot_version()}};
  std::string data_text;
  for (const PublishedData& data : published_data()) {
    const std::optional<std::string> folder = data.find();
    found[data.name] = folder ? Json(*folder) : Json(nullptr);
    data_text += fmt::format("  {:<10} {} {}\n", data_text.empty() ? "data" : "", data.title,
                             folder ? "in " + *folder : "not found: elbo data fetch " + data.name);
  }
  std::vector<std::string> generated;
  for (const DatasetKind& kind : dataset_kinds())
    if (kind.generates()) generated.push_back(kind.name);
  if (options.json) {
    fmt::print("{}", json_text(found));
    return;
  }
  fmt::print(
      "elbo {}\n  built by   {}, {}\n  processor  {}, {} threads\n  path       {}\n  devices    {}\n"
      "  BLAS       {}\n  conv       {}\n  gnuplot    {}\n{}"
      "  generators {}\n",
      build.version, build.compiler, build.build, build.cpu, build.threads, path_text(), gpu_text(),
      build.blas + (blas().warning.empty() ? "" : "\n             warning: " + blas().warning),
      cpu_convolutions_name(),
      gnuplot_version().empty() ? "not found: figures come as CSV and scripts only" : gnuplot_version(),
      data_text, fmt::join(generated, ", "));
}

void add_options(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.add_flag("--json", options->json, "Print as JSON");
  arguments.run([options] { info(*options); });
}

}  // namespace

const Command info_command{"info", "Show the build, the devices, the libraries and the data found", "", "",
                           add_options};

}  // namespace elbo
