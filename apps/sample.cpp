// elbo sample: images that a trained deep VAE makes up, as a PNG grid.
#include <CLI/CLI.hpp>

#include "apps/command.h"
#include "apps/number_option.h"
#include "apps/pictures.h"

namespace elbo {
namespace {

struct Options : PictureOptions {
  int64_t count = 100;
};

void sample(Options o) {
  apply_on_cpu(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::shape);
  write_picture(sample_grid(*model.vae, model.data, o.count, model.seed), o);
}

void add_options(CLI::App& app) {
  auto o = std::make_shared<Options>();
  add_picture_options(app, *o);
  add_number(app, "--count", o->count, "Images", kCount)->capture_default_str();
  app.callback([o] { sample(*o); });
}

}  // namespace

const Command sample_command{"sample", "Draw images from a trained model", "", "2 s", add_options};

}  // namespace elbo
