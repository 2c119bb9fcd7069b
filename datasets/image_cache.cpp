#include "datasets/image_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <vector>

#include "datasets/hash.h"
#include "tensor/file.h"
#include "tensor/mapped_file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "the header is written as it lies in memory");

constexpr int64_t kPixelsBegin = 4096;
constexpr char kMagic[8] = {'e', 'l', 'b', 'o', 'i', 'm', 'g', '\n'};
constexpr uint64_t kVersion = 3;  // of this file, and of how pixels are made from files

struct Header {
  char magic[8];
  uint64_t version;
  uint64_t options, listing;
  int64_t height, width, channels;
  int64_t points[3];
  uint64_t fingerprints[3];
  int64_t skipped, log_bytes, unread;
  uint64_t check;  // hash of all before

  uint64_t hash() const {
    return Hash().add({reinterpret_cast<const char*>(this), offsetof(Header, check)}).value();
  }
};

template <class Numbers>
int64_t sum_of(const Numbers& numbers) {
  return std::accumulate(std::begin(numbers), std::end(numbers), int64_t{0});
}

int64_t image_bytes(const ImageCacheKey& key) { return key.height * key.width * key.channels; }

/// Where the log begins; after it are the numbers of the files that were not read.
int64_t log_begin(const Header& header) {
  return kPixelsBegin + sum_of(header.points) * header.height * header.width * header.channels;
}

bool fits(const Header& header, const ImageCacheKey& key, uint64_t file_size) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kVersion ||
      header.check != header.hash())
    return false;
  const auto numbers = header.unread * static_cast<int64_t>(sizeof(int64_t));
  const int64_t bytes = log_begin(header) + header.log_bytes + numbers;
  return header.options == key.options && header.listing == key.listing && header.height == key.height &&
         header.width == key.width && header.channels == key.channels &&
         file_size == static_cast<uint64_t>(bytes);
}

std::string temporary_prefix(const std::string& path) { return path + ".tmp-"; }

/// Removes the temporary files of writers of this cache that live no more.
void remove_dead_temporaries(const std::string& path) {
  const std::string prefix = fs::path(temporary_prefix(path)).filename().string();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(path).parent_path(), error)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    const int descriptor = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
    ::close(descriptor);
  }
}

}  // namespace

std::string image_cache_directory() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value && *value ? std::string(value) : "";
  };
  if (const std::string own = set("ELBO_CACHE"); !own.empty()) return own;
  if (const std::string all = set("XDG_CACHE_HOME"); !all.empty()) return all + "/elbo";
  if (const std::string home = set("HOME"); !home.empty()) return home + "/.cache/elbo";
  fail("[images] there is no place for decoded images: set ELBO_CACHE to a folder");
}

std::optional<ImageCache> open_image_cache(const std::string& path, const ImageCacheKey& key) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return std::nullopt;
  Header header;
  {
    const InputFile file(path);
    const auto bytes = std::as_writable_bytes(std::span(&header, 1));
    if (file.read_some(0, bytes) < bytes.size() || !fits(header, key, file.size())) return std::nullopt;
  }
  const Tensor file = map_file(path);
  // A new cache may have taken the name since.
  std::memcpy(&header, file.bytes(), sizeof header);
  if (!fits(header, key, static_cast<uint64_t>(file.elements()))) return std::nullopt;
  ImageCache cache;
  cache.pixels = file.view_at(kPixelsBegin, {sum_of(header.points), image_bytes(key)});
  std::copy(std::begin(header.points), std::end(header.points), cache.points.begin());
  std::copy(std::begin(header.fingerprints), std::end(header.fingerprints), cache.fingerprints.begin());
  cache.skipped = header.skipped;
  const char* const text = static_cast<const char*>(file.bytes()) + log_begin(header);
  const std::string_view log(text, static_cast<size_t>(header.log_bytes));
  cache.first_skipped = log.substr(0, log.find('\n'));
  cache.unread.resize(static_cast<size_t>(header.unread));
  if (!cache.unread.empty())  // memcpy takes no null, which an empty list is
    std::memcpy(cache.unread.data(), text + log.size(), cache.unread.size() * sizeof(int64_t));
  return cache;
}

ImageCacheWriter::ImageCacheWriter(const std::string& path, const ImageCacheKey& key)
    : path_(path), key_(key) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error) fail_to_write(error.value());
  remove_dead_temporaries(path);
  static std::atomic<unsigned> counter{0};
  struct stat about {};
  do {
    if (descriptor_ >= 0) ::close(descriptor_);
    temporary_ = fmt::format("{}{}-{}", temporary_prefix(path), ::getpid(), counter++);
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno == EEXIST) continue;
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX) != 0 || ::fstat(descriptor_, &about) != 0)
      fail_to_write(errno);
    // Another writer may have taken it for dead before it was locked.
  } while (about.st_nlink == 0);
}

ImageCacheWriter::~ImageCacheWriter() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
}

void ImageCacheWriter::fail_to_write(int error) const {
  fail(
      "[images] the decoded images cannot be kept in {}: {}; free some space there or set ELBO_CACHE to "
      "another "
      "folder",
      quote(fs::path(path_).parent_path().string()), std::generic_category().message(error));
}

void ImageCacheWriter::write(std::string_view bytes, int64_t at) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_to_write(written < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<size_t>(written));
    at += written;
  }
}

void ImageCacheWriter::add(std::string_view pixels, Split split) {
  write(pixels, kPixelsBegin + sum_of(points_) * image_bytes(key_));
  ++points_[static_cast<size_t>(split)];
}

void ImageCacheWriter::skip(const std::string& name, const std::string& reason,
                            std::optional<int64_t> number) {
  ++skipped_;
  if (number) unread_.push_back(*number);
  log_ += fmt::format("{} {}\n", quote(name), reason);
}

uint64_t ImageCacheWriter::fingerprint_of(int64_t first, int64_t points) const {
  const int64_t size = image_bytes(key_);
  Hash hash = tensor_hash(DType::u8, {points, size});
  std::vector<char> buffer(size_t{1} << 20);
  int64_t at = kPixelsBegin + first * size;
  for (const int64_t end = at + points * size; at < end;) {
    const auto wanted = std::min(static_cast<size_t>(end - at), buffer.size());
    const ssize_t count = ::pread(descriptor_, buffer.data(), wanted, at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_to_write(count < 0 ? errno : EIO);
    hash.add({buffer.data(), static_cast<size_t>(count)});
    at += count;
  }
  return hash.value();
}

void ImageCacheWriter::finish() {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.options = key_.options;
  header.listing = key_.listing;
  header.height = key_.height;
  header.width = key_.width;
  header.channels = key_.channels;
  for (size_t split = 0, first = 0; split < points_.size(); ++split) {
    header.points[split] = points_[split];
    // From the file, as the hash begins with the number of points, which is known only now.
    header.fingerprints[split] = fingerprint_of(static_cast<int64_t>(first), points_[split]);
    first += static_cast<size_t>(points_[split]);
  }
  header.skipped = skipped_;
  header.log_bytes = static_cast<int64_t>(log_.size());
  header.unread = static_cast<int64_t>(unread_.size());
  header.check = header.hash();
  write(log_, log_begin(header));
  write({reinterpret_cast<const char*>(unread_.data()), unread_.size() * sizeof(int64_t)},
        log_begin(header) + header.log_bytes);
  write({reinterpret_cast<const char*>(&header), sizeof header}, 0);
  // A file without skipped images and without pixels would end within the header's page.
  if (sum_of(points_) == 0 && log_.empty() && ::ftruncate(descriptor_, kPixelsBegin) != 0)
    fail_to_write(errno);
  if (::fsync(descriptor_) != 0) fail_to_write(errno);
  if (log_.empty())
    ::unlink((path_ + ".log").c_str());
  else
    write_file_atomically(path_ + ".log", log_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_to_write(errno);
  ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace elbo
