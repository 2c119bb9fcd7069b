#include "apps/asperti/setting.h"

#include <algorithm>
#include <optional>

#include "apps/experiment/training_unit.h"
#include "apps/support/arguments.h"
#include "apps/training/training_options.h"
#include "tensor/file.h"
#include "tensor/random.h"
#include "vae/asperti_file.h"
#include "vae/set_batches.h"

namespace elbo::asperti {

void add_common_options(Arguments& arguments, CommonOptions& o) {
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  arguments.begin_group("Model");
  arguments
      .add_widths("--hidden", o.hidden, "Widths of the dense encoder's layers, which the decoder mirrors")
      .show_default();
  number("--latent", o.latent, kCount, "Latent dimension");
  number("--lambda", o.lambda, kPositive, "Weight of the KL beside the squared error");
  arguments.begin_group("Optimisation");
  number("--batch", o.batch, kCount, "Points in a minibatch");
  number("--lr", o.rate, kPositive, "Adam's learning rate");
}

std::shared_ptr<const LoadedData> load_pixels(CommonOptions& o) {
  const auto data = std::make_shared<const LoadedData>(load_data(o.data, o.run.seed));
  o.data.preprocess = name(data->preprocessing.kind);
  const Range range = range_of(*data);
  if (!(range.low >= 0 && range.high <= 1))
    fail("[--data] the decoder's sigmoid gives numbers from 0 to 1, {} has some from {:g} to {:g}",
         quote(data->dataset.name), range.low, range.high);
  return data;
}

PlannedData planned(const std::shared_ptr<const LoadedData>& data) {
  return {*data, data->dataset.points(), [data] { return data; }};
}

PlannedData plan_pixels(CommonOptions& o) {
  const LoadOptions asked{
      .limit = o.data.limit, .division = o.data.division, .split = o.data.split, .subset = o.data.subset};
  const std::optional<int64_t> points = points_to_draw(o.data.data, asked);
  if (!points) return planned(load_pixels(o));
  CommonOptions first = o;
  first.data.limit = 1;
  first.data.division = {};
  first.data.subset = 0;
  const std::shared_ptr<const LoadedData> look = load_pixels(first);
  o.data.preprocess = first.data.preprocess;
  return {*look, *points, [o]() mutable { return load_pixels(o); }};
}

AspertiOptions dense_network(const CommonOptions& o, const Dataset& data, int64_t members,
                             int64_t first_member) {
  return {.dimensions = data.dimensions(),
          .latent = o.latent,
          .hidden = parse_widths(o.hidden),
          .lambda = o.lambda,
          .device = device_of(o.run),
          .members = members,
          .first_member = first_member};
}

std::vector<SavedMember> members_of(const std::vector<DeepVaeMetrics>& metrics, int64_t first) {
  std::vector<SavedMember> list;
  for (const DeepVaeMetrics& own : metrics) {
    const auto member = first + static_cast<int64_t>(list.size());
    list.push_back({member, fmt::format("model {}", member + 1), own.elbo});
  }
  return list;
}

void save_models(const AspertiOptions& network, const Vae& vae, const ModelCard& card,
                 const std::vector<SavedMember>& list, const UnitPlace& place, const std::string& folder) {
  ModelCard own = card;
  for (int64_t m = 0; m < vae.models(); ++m) {
    own.member = network.first_member + m;
    const int64_t number = list.at(static_cast<size_t>(m)).member;
    save_asperti_vae(place.directory.file(place.folder + folder + model_name(!vae.has_members(), number)),
                     network, vae, m, metadata_of(own));
  }
  if (vae.has_members()) write_member_list(place.directory, place.folder + folder, list);
}

std::string unlike_paper(const CommonOptions& o, const Dataset& data) {
  const CommonOptions paper;
  if (kind_of(data.name) != "mnist" || data.points() != 60000) return "other data than MNIST's 60 000 images";
  if (o.hidden != paper.hidden || o.latent != paper.latent) return "another network than the paper's";
  if (o.lambda != paper.lambda) return fmt::format("another lambda than {:g}", paper.lambda);
  if (o.batch != paper.batch || o.rate > paper.rate) return "other batches or a larger rate";
  return "";
}

double training_cost(const Vae& vae, int64_t points, int64_t epochs) {
  return static_cast<double>(vae.parameters().count()) * static_cast<double>(points) *
         static_cast<double>(epochs);
}

double seconds_of(Vae& vae, const Loss& loss, const Tensor& x, int64_t batch, int64_t steps) {
  Training training(vae.parameters(), {{.loss = loss, .steps = steps + 1}}, shuffled_batches(x, batch, 1));
  return seconds_of(training, steps);
}

Tensor stand_in(const Vae& vae, int64_t points, int64_t batch) {
  return uniform({std::min(points, 16 * batch), vae.dimensions()}, vae.dtype(), {}, 1, vae.device());
}

}  // namespace elbo::asperti
