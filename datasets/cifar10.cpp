#include "datasets/cifar10.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "datasets/byte_reader.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kSide = 32, kPlane = kSide * kSide, kChannels = 3, kImage = kPlane * kChannels;
constexpr int64_t kRecord = 1 + kImage;   // a label, then the red, the green and the blue plane
constexpr int64_t kBatchRecords = 10000;  // of an original file
constexpr int kClasses = 10;

std::vector<std::string> batch_names(Split split) {
  if (split == Split::test) return {"test_batch"};
  std::vector<std::string> names;
  for (int i = 1; i <= 5; ++i) names.push_back(fmt::format("data_batch_{}", i));
  return names;
}

/// Those files of a split that are there.
std::vector<std::string> batches(const std::string& directory, Split split) {
  std::vector<std::string> found;
  for (const std::string& name : batch_names(split))
    for (const char* ending : {".bin.gz", ".bin"}) {
      const auto path = std::filesystem::path(directory) / (name + ending);
      std::error_code ignored;
      if (!std::filesystem::is_regular_file(path, ignored)) continue;
      found.push_back(path.string());
      break;
    }
  return found;
}

FoundData find_folder(const std::string& directory, Split split) {
  return find_data(directory, {"cifar10", "cifar-10-batches-bin", ""},
                   [&](const std::string& folder) { return !batches(folder, split).empty(); });
}

/// Appends a file's records. There is no header: the file's length says how many they are.
void read_records(const std::string& path, std::vector<uint8_t>& records) {
  ByteReader file(path);
  const size_t before = records.size();
  size_t size = before, count = 0;
  do {
    records.resize(size + kBatchRecords * kRecord);
    count = file.read_up_to(std::as_writable_bytes(std::span(records).subspan(size)));
    size += count;
  } while (count == kBatchRecords * kRecord);
  file.expect_end();
  records.resize(size);
  const auto bytes = static_cast<int64_t>(size - before);
  if (bytes == 0 || bytes % kRecord != 0)
    fail(
        "[cifar10] {} is truncated or no CIFAR-10 file: its {} bytes are not a whole number of records of "
        "{}; "
        "get the file again",
        quote(path), bytes, kRecord);
  for (size_t at = before; at < size; at += kRecord)
    if (records[at] >= kClasses)
      fail(
          "[cifar10] {} is damaged or no CIFAR-10 file: record {} (counted from 0) has the label {}; get the "
          "file again",
          quote(path), (at - before) / kRecord, records[at]);
}

}  // namespace

std::optional<std::string> find_cifar10() { return find_folder("", Split::train).folder; }

Dataset load_cifar10(const std::string& directory, const LoadOptions& options) {
  const FoundData found = find_folder(directory, options.split);
  if (!found.folder)
    fail(
        "[data] no CIFAR-10 {} images found in {}; get them with elbo data fetch cifar10, or put "
        "data_batch_1.bin to data_batch_5.bin and test_batch.bin (plain or .gz) in data/cifar10",
        options.split == Split::train ? "training" : "test", found.looked);
  std::vector<uint8_t> records;
  const std::vector<std::string> files = batches(*found.folder, options.split);
  for (const std::string& path : files) read_records(path, records);

  const int64_t points = static_cast<int64_t>(records.size()) / kRecord;
  const auto wanted = static_cast<int64_t>(batch_names(options.split).size());
  if (points < wanted * kBatchRecords && options.note)
    options.note(fmt::format("[cifar10] {} of {} {} files were found in {}, with {} of {} images",
                             files.size(), wanted, options.split == Split::train ? "training" : "test",
                             quote(*found.folder), points, wanted * kBatchRecords));
  Dataset data;
  data.height = data.width = kSide;
  data.channels = kChannels;
  data.x = Tensor::empty({points, kImage}, DType::u8);
  data.labels = Tensor::empty({points}, DType::u8);
  uint8_t *pixels = data.x.data<uint8_t>(), *labels = data.labels.data<uint8_t>();
  parallel_for(points, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* record = records.data() + i * kRecord;
      labels[i] = *record++;
      for (int64_t p = 0; p < kPlane; ++p)
        for (int64_t c = 0; c < kChannels; ++c)
          pixels[i * kImage + p * kChannels + c] = record[c * kPlane + p];
    }
  });
  return data;
}

bool has_cifar10(const std::string& directory, Split split) {
  return split != Split::validation && find_folder(directory, split).folder;
}

int64_t count_cifar10(const std::string& folder, Split split) {
  int64_t images = 0;
  for (const std::string& path : batches(folder, split)) {
    std::vector<uint8_t> records;
    read_records(path, records);
    images += static_cast<int64_t>(records.size()) / kRecord;
  }
  return images;
}

}  // namespace elbo
