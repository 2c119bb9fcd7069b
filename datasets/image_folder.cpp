#include "datasets/image_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "datasets/hash.h"
#include "datasets/image_partition.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

bool is_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// Hidden, or what systems put beside pictures: copies of them, and files that only look like them.
bool is_passed_over(const std::string& name) {
  return name.starts_with('.') || name == "__MACOSX" || name == "@eaDir";
}

using Identity = std::pair<dev_t, ino_t>;

Identity identity_of(const std::string& path) {
  struct stat about {};
  ::stat(path.c_str(), &about);
  return {about.st_dev, about.st_ino};
}

/// Whether `path` is `folder` or below it; both absolute and without links.
bool lies_in(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

/// Things of one kind: how many there are, and the first in the order of their bytes.
struct Counted {
  int64_t count = 0;
  std::string first;

  void add(const std::string& text) {
    if (count++ == 0 || text < first) first = text;
  }
  std::string str() const { return count == 1 ? first : fmt::format("{} (and {} more)", first, count - 1); }
};

/// Walks a folder and what is below it, each folder once.
class Walk {
 public:
  explicit Walk(const fs::path& root) : root_(root) {
    ahead_.insert({false, "", root});
    while (!ahead_.empty()) {
      const Place place = ahead_.extract(ahead_.begin()).value();
      if (seen_.insert(identity_of(place.real.string())).second)
        enter(place);
      else
        repeated_.add(quote(place.name));
    }
    take_linked_files();
    std::sort(images.begin(), images.end());
  }

  std::vector<std::string> images;      // from the root on, in the order of their bytes
  std::vector<std::string> partitions;  // files named like one, from the root on

  std::vector<std::string> notes() const {
    std::vector<std::string> lines;
    if (repeated_.count > 0)
      lines.push_back(fmt::format("[images] what several paths lead to is taken once; not followed: {}",
                                  repeated_.str()));
    if (broken_.count > 0) lines.push_back("[images] a link cannot be followed: " + broken_.str());
    return lines;
  }

 private:
  struct Place {
    bool linked;       // the way to it goes through a link
    std::string name;  // from the root on
    fs::path real;     // absolute, without links
    bool operator<(const Place& other) const {
      return std::tie(linked, name) < std::tie(other.linked, other.name);
    }
  };

  void enter(const Place& place) {
    std::error_code error;
    fs::directory_iterator entry(place.real, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) look_at(*entry, place);
    if (error) fail("[images] the folder {} cannot be read: {}", quote(place.real.string()), error.message());
  }

  void look_at(const fs::directory_entry& entry, const Place& place) {
    const std::string own_name = entry.path().filename().string();
    if (is_passed_over(own_name)) return;
    const std::string name = place.name.empty() ? own_name : place.name + "/" + own_name;
    std::error_code unknown, error;
    const bool link = entry.is_symlink(unknown);
    if (is_image_name(entry.path()) && !entry.is_directory(unknown)) {
      // A link that leads nowhere too: it is reported when it is opened.
      (link ? linked_files_ : images).push_back(name);
      return;
    }
    const fs::path real = link ? fs::canonical(entry.path(), error) : entry.path();
    if (error)
      broken_.add(quote(name) + ", " + error.message());
    else if (link && lies_in(place.real, real) && entry.is_directory(unknown))
      repeated_.add(quote(name));
    else if (entry.is_directory(unknown))
      ahead_.insert({place.linked || link, name, real});
    else if (is_partition_name(own_name))
      partitions.push_back(name);
  }

  void take_linked_files() {
    if (linked_files_.empty()) return;
    std::set<Identity> taken;
    for (const std::string& name : images) taken.insert(identity_of(root_.string() + "/" + name));
    std::sort(linked_files_.begin(), linked_files_.end());
    for (const std::string& name : linked_files_) {
      const Identity identity = identity_of(root_.string() + "/" + name);
      if (identity == Identity() || taken.insert(identity).second)
        images.push_back(name);
      else
        repeated_.add(quote(name));
    }
  }

  fs::path root_;
  std::set<Place> ahead_;  // those without links first
  std::set<Identity> seen_;
  std::vector<std::string> linked_files_;
  Counted repeated_, broken_;
};

/// Keeps the images that the partition names, in the order of their splits.
void divide(const ImagePartition& partition, ImageFolder& folder) {
  auto& images = folder.images;
  Counted unnamed;
  std::unordered_set<std::string> named;
  const auto is_named = [&](const std::string& name) { return partition.splits.contains(last_part(name)); };
  const auto split_of = [&](const std::string& name) { return partition.splits.at(last_part(name)); };
  for (const std::string& name : images)
    if (is_named(name))
      named.insert(last_part(name));
    else
      unnamed.add(quote(name));
  std::erase_if(images, [&](const std::string& name) { return !is_named(name); });
  std::stable_sort(images.begin(), images.end(),
                   [&](const std::string& a, const std::string& b) { return split_of(a) < split_of(b); });
  folder.counts = {};
  for (const std::string& name : images) ++folder.counts[static_cast<size_t>(split_of(name))];
  folder.partition = partition.path;
  if (unnamed.count > 0)
    folder.notes.push_back(
        fmt::format("[images] {} does not name, and leaves out: {}", quote(partition.path), unnamed.str()));
  if (named.size() < partition.splits.size())
    folder.notes.push_back(fmt::format("[images] {} of the {} images that {} names were found", named.size(),
                                       partition.splits.size(), quote(partition.path)));
}

/// What tells a file from another that takes its name.
std::string describe_file(const std::string& path) {
  struct stat about {};
  ::stat(path.c_str(), &about);  // of a link that leads nowhere, zeros
  return fmt::format("{} {} {}.{} {}.{}", about.st_size, about.st_ino, about.st_mtim.tv_sec,
                     about.st_mtim.tv_nsec, about.st_ctim.tv_sec, about.st_ctim.tv_nsec);
}

}  // namespace

ImageFolder list_images(const std::string& directory) {
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  if (error || !fs::is_directory(root, error))
    fail("[images] there is no folder {}; give images:DIR, with options after a comma", quote(directory));
  Walk walk(root);
  ImageFolder folder{.root = root.string(), .images = std::move(walk.images), .notes = walk.notes()};
  folder.counts[0] = static_cast<int64_t>(folder.images.size());

  Hash hash;
  if (const auto partition = find_partition(directory)) {
    divide(*partition, folder);
    hash.add(partition->text);
  } else if (!walk.partitions.empty()) {
    folder.notes.push_back(fmt::format(
        "[images] {} in {} was not heeded: name the folder that it lies in, or that of its images",
        quote(walk.partitions[0]), quote(folder.root)));
  }
  for (const std::string& name : folder.images)
    hash.add(fmt::format("{} {}\n{}", name.size(), describe_file(folder.root + "/" + name), name));
  folder.fingerprint = hash.value();
  return folder;
}

}  // namespace elbo
