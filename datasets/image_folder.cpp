#include "datasets/image_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <unordered_map>

#include "datasets/hash.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPartitionFile = "list_eval_partition.txt";
constexpr char kTrain = '0', kValid = '1', kTest = '2';

bool is_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// From `root` on, in the order of their bytes.
std::vector<std::string> image_names(const fs::path& root) {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator entry(root, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code unknown;  // a link that leads nowhere is no directory, and is reported when it is opened
    if (is_image_name(entry->path()) && !entry->is_directory(unknown))
      names.push_back(entry->path().string().substr(root.string().size() + 1));
  }
  if (error) fail("[images] the folder {} cannot be read: {}", quote(root.string()), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

/// The split of each name that the partition file's text lists.
std::unordered_map<std::string, char> parse_partition(const std::string& path, const std::string& text) {
  std::unordered_map<std::string, char> splits;
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty()) continue;
    const size_t space = line.rfind(' ');
    const std::string split = space == std::string::npos ? "" : line.substr(space + 1);
    if (split.size() != 1 || split[0] < kTrain || split[0] > kTest)
      fail(
          "[images] line {} of {} is {}; a file name and 0 (training), 1 (validation) or 2 (test) are needed",
          number, quote(path), quote(line));
    splits[line.substr(0, line.find_last_not_of(' ', space) + 1)] = split[0];
  }
  return splits;
}

std::optional<std::string> find_partition(const fs::path& root) {
  for (const fs::path& place : {root, root.parent_path()}) {
    std::error_code ignored;
    if (fs::is_regular_file(place / kPartitionFile, ignored)) return (place / kPartitionFile).string();
  }
  return std::nullopt;
}

}  // namespace

ImageFolder list_images(const std::string& directory) {
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error || !fs::is_directory(root, error))
    fail("[images] there is no folder {}; give images:DIR, with options after a comma", quote(directory));
  ImageFolder folder;
  folder.root = root.string();
  folder.images = image_names(root);

  Hash hash;
  if (const auto partition = find_partition(root)) {
    const std::string text = read_file(*partition);
    const auto splits = parse_partition(*partition, text);
    const auto split_of = [&](const std::string& name) {
      const auto found = splits.find(last_part(name));
      return found == splits.end() ? kValid : found->second;
    };
    auto& images = folder.images;
    images.erase(std::remove_if(images.begin(), images.end(),
                                [&](const std::string& name) { return split_of(name) == kValid; }),
                 images.end());
    const auto test = std::stable_partition(
        images.begin(), images.end(), [&](const std::string& name) { return split_of(name) == kTrain; });
    folder.training = test - images.begin();
    folder.partitioned = true;
    hash.add(text);
  } else {
    folder.training = static_cast<int64_t>(folder.images.size());
  }
  for (const std::string& name : folder.images) {
    struct stat about {};
    ::stat((folder.root + "/" + name).c_str(), &about);  // of a link that leads nowhere, zeros
    hash.add(fmt::format("{} {} {}.{}\n", name.size(), about.st_size, about.st_mtim.tv_sec,
                         about.st_mtim.tv_nsec));
    hash.add(name);
  }
  folder.fingerprint = hash.value();
  return folder;
}

}  // namespace elbo
