#include "apps/training/run_batches.h"

#include <memory>

#include "datasets/device_batches.h"

namespace elbo {
namespace {

BatchSource on_gpu(const LoadedData& data, const BatchLoader::Options& options) {
  const auto made = std::make_shared<DeviceBatches>(data.dataset, data.preprocessing, options);
  const auto part = [points = data.dataset.points(), options](int64_t batch) {
    return batch_part(points, options, batch);
  };
  const auto make = [made, d = data.dataset.dimensions(), dtype = options.dtype](int64_t rows,
                                                                                 const Tensor& place) {
    const Tensor x = Tensor::empty({rows, d}, dtype, Device::cuda);
    if (rows > 0) made->fill(x, place);
    return x;
  };
  return made_on_gpu(
      made->batches_per_epoch(),
      {.rows_of = [part](int64_t batch) { return part(batch).count; },
       .first_of = [made, part](int64_t batch) { return made->first_of(batch) + part(batch).rows.first; },
       .begin_epoch = [made](int64_t epoch) { made->begin_epoch(epoch); },
       .prepare = [made](int64_t epoch) { made->prepare(epoch); },
       .make = make});
}

BatchSource on_cpu(const LoadedData& data, const BatchLoader::Options& options) {
  const int64_t per_epoch = batches_per_epoch(data.dataset, data.preprocessing, options);
  const auto loader = std::make_shared<BatchLoader>(data.dataset, data.preprocessing, options);
  return {per_epoch, [loader, per_epoch](int64_t step) {
            const auto [epoch, batch] = loader->position();
            if (epoch * per_epoch + batch != step) loader->seek({step / per_epoch, step % per_epoch});
            return loader->next().x;
          }};
}

}  // namespace

BatchSource batches_of(const LoadedData& data, const BatchLoader::Options& options, Device device) {
  BatchSource batches = device == Device::cuda ? on_gpu(data, options) : on_cpu(data, options);
  if (options.parts > 1)
    batches.rows = [points = data.dataset.points(), options, per_epoch = batches.per_epoch](int64_t step) {
      return batch_part(points, options, step % per_epoch).rows;
    };
  return batches;
}

}  // namespace elbo
