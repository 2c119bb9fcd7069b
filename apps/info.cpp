// elbo info: the build, the processor, the libraries and the data found.
#include "apps/command.h"
#include "apps/options.h"
#include "apps/support/gnuplot.h"
#include "datasets/mnist.h"
#include "tensor/gemm.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

struct Options {
  bool json = false;
};

void info(const Options& options) {
  const Provenance build = describe_provenance(threads(), blas_name());
  const std::optional<std::string> mnist = find_mnist();
  Json found{{"version", build.version},
             {"compiler", build.compiler},
             {"build", build.build},
             {"cpu", build.cpu},
             {"devices", Json::array({"cpu"})},
             {"threads", build.threads},
             {"blas", build.blas},
             {"gnuplot", gnuplot_version()},
             {"mnist", mnist ? Json(*mnist) : Json(nullptr)}};
  if (options.json) {
    fmt::print("{}", json_text(found));
    return;
  }
  fmt::print(
      "elbo {}\n  built by   {}, {}\n  processor  {}, {} threads\n  devices    cpu (no CUDA backend in this "
      "build)\n"
      "  BLAS       {}\n  gnuplot    {}\n  MNIST      {}\n  generators digits, ppca\n",
      build.version, build.compiler, build.build, build.cpu, build.threads, build.blas,
      gnuplot_version().empty() ? "not found: figures come as CSV and scripts only" : gnuplot_version(),
      mnist ? *mnist : "not found; put its files in data/mnist or set ELBO_DATA");
}

void add_options(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_flag("--json", options->json, "Print as JSON");
  app.callback([options] { info(*options); });
}

}  // namespace

const Command info_command{"info", "Show the build, the devices, the libraries and the data found", "", "",
                           add_options};

}  // namespace elbo
