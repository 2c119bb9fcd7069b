// elbo reconstruct: data and what a trained deep VAE makes of them, as a PNG grid.

#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "apps/support/arguments.h"

namespace elbo {
namespace {

struct Options : PictureOptions {
  int64_t count = 50;
};

void reconstruct(Options o) {
  apply_on_cpu(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::points);
  write_picture(reconstruction_grid(*model.vae, model.data, o.count), o);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_picture_options(arguments, *o);
  arguments.add_number("--count", o->count, "Pairs, from the first point on", kCount).show_default();
  arguments.run([o] { reconstruct(*o); });
}

}  // namespace

const Command reconstruct_command{"reconstruct", "Draw data beside what a trained model makes of them", "",
                                  "2 s", add_options};

}  // namespace elbo
