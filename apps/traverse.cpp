// elbo traverse: what the units with the largest KL do to one image, as a PNG grid.
#include "apps/command.h"
#include "apps/pictures.h"

namespace elbo {
namespace {

struct Options : PictureOptions {
  int64_t point = 0, units = 10;
};

void traverse(Options o) {
  apply_on_cpu(o.run);
  const DeepModelWithData opened = open_deep_model(o);
  write_picture(traversal_grid(*opened.vae, opened.data, o.point, o.units), o);
}

void add_options(CLI::App& app) {
  auto o = std::make_shared<Options>();
  add_picture_options(app, *o);
  app.add_option("--point", o->point, "Which point of the data to start from")->capture_default_str();
  app.add_option("--units", o->units, "Units, those with the largest KL first")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.callback([o] { traverse(*o); });
}

}  // namespace

const Command traverse_command{"traverse", "Draw what single latent units do", "", "2 s", add_options};

}  // namespace elbo
