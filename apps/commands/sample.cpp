// elbo sample: images that a trained deep VAE makes up, as a PNG grid.

#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "apps/support/arguments.h"

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

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_picture_options(arguments, *o);
  arguments.add_number("--count", o->count, "Images", kCount).show_default();
  arguments.run([o] { sample(*o); });
}

}  // namespace

const Command sample_command{"sample", "Draw images from a trained model", "", "2 s", add_options};

}  // namespace elbo
