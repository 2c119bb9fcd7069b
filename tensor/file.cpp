#include "tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <regex>
#include <system_error>

#include "tensor/error.h"
#include "tensor/memory.h"

namespace elbo {
namespace {

// One system call moves at most this much: some systems refuse more than 2 GiB.
constexpr size_t kLargestTransfer = size_t{1} << 30;

std::string reason(int error) { return std::generic_category().message(error); }

/// What a failed write's errno means for the person who has to mend it.
[[noreturn]] void fail_to_write(const std::string& path, int error) {
  const char* advice = "nothing was changed";
  if (error == ENOENT || error == ENOTDIR) advice = "does its directory exist?";
  if (error == EACCES || error == EPERM || error == EROFS) advice = "choose a place you may write to";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) advice = "free some space; nothing was changed";
  fail("[file] cannot write {}: {}; {}", quote(path), reason(error), advice);
}

/// A file being written; unless it is kept, it disappears again.
class OutputFile {
 public:
  OutputFile(const std::string& path, int flags, mode_t mode)
      : path_(path), descriptor_(::open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, mode)) {
    if (descriptor_ < 0) error_ = errno;
    created_ = descriptor_ >= 0 && (flags & O_CREAT) != 0;
  }
  ~OutputFile() {
    close();
    if (created_ && !kept_) ::unlink(path_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::string& path() const { return path_; }
  int error() const { return error_; }  ///< errno of the first call that failed, 0 when none did

  void write(std::string_view bytes) {
    while (!error_ && !bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kLargestTransfer));
      if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
      if (written < 0 && errno != EINTR) error_ = errno;
      if (written == 0) error_ = EIO;
    }
  }
  void set_mode(mode_t mode) {
    if (!error_ && ::fchmod(descriptor_, mode) != 0) error_ = errno;
  }
  void sync() {
    if (!error_ && ::fsync(descriptor_) != 0) error_ = errno;
  }
  void close() {
    if (descriptor_ >= 0 && ::close(descriptor_) != 0 && !error_) error_ = errno;
    descriptor_ = -1;
  }
  void rename(const std::string& to) {
    if (!error_ && ::rename(path_.c_str(), to.c_str()) != 0) error_ = errno;
    kept_ = error_ == 0;
  }

 private:
  std::string path_;
  int descriptor_;
  int error_ = 0;
  bool created_ = false, kept_ = false;
};

/// Makes a rename last through a power cut. Not every file system can, and the file is whole either way.
void sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const int descriptor =
      ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void write_in_place(const std::string& path, std::span<const std::string_view> pieces) {
  OutputFile out(path, 0, 0);
  for (std::string_view piece : pieces) out.write(piece);
  out.close();
  if (out.error()) fail_to_write(path, out.error());
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  // Without O_NONBLOCK, opening a named pipe would wait for its other end.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat about {};
  const int error = descriptor_ < 0 || ::fstat(descriptor_, &about) != 0 ? errno : 0;
  if (!error && S_ISREG(about.st_mode)) {
    size_ = static_cast<uint64_t>(about.st_size);
    return;
  }
  if (descriptor_ >= 0) ::close(descriptor_);
  if (error) fail("[file] cannot open {}: {}; check the path", quote(path), reason(error));
  fail("[file] cannot read {}: it is {}; give a file", quote(path),
       S_ISDIR(about.st_mode) ? "a directory" : "a device or pipe");
}

InputFile::~InputFile() { ::close(descriptor_); }

size_t InputFile::read_some(uint64_t offset, std::span<std::byte> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t count =
        ::pread(descriptor_, into.data() + done, std::min(into.size() - done, kLargestTransfer),
                static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count > 0)
      done += static_cast<size_t>(count);
    else if (errno != EINTR)
      fail("[file] cannot read {}: {}", quote(path_), reason(errno));
  }
  return done;
}

void InputFile::read(uint64_t offset, std::span<std::byte> into) const {
  const size_t count = read_some(offset, into);
  if (count < into.size())
    fail("[file] {} ends at byte {}, {} more were expected; is it complete?", quote(path_), offset + count,
         into.size() - count);
}

std::string read_file(const std::string& path) {
  const InputFile file(path);
  if (file.size() > physical_memory())
    fail("[file] {} with its {} bytes does not fit in memory", quote(path), file.size());
  // One byte more than the size, so that the end is seen; files of /proc say 0 and must be read on.
  std::string bytes(file.size() + 1, '\0');
  size_t count = 0;
  while (true) {
    count += file.read_some(count, std::as_writable_bytes(std::span(bytes).subspan(count)));
    if (count < bytes.size()) break;
    bytes.resize(bytes.size() * 2);
  }
  bytes.resize(count);
  return bytes;
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  write_file_atomically(path, std::span(&bytes, 1));
}

void write_file_again(const std::string& path, std::string_view text) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(path, ignored)) {
    const std::string there = read_file(path);
    if (!there.empty() && !there.starts_with(text.substr(0, text.find('\n') + 1)))
      fail(
          "[file] {} is there, and is something else than an earlier version of what would be written; name "
          "another",
          quote(path));
  }
  write_file_atomically(path, text);
}

void write_file_atomically(const std::string& path, std::span<const std::string_view> pieces) {
  std::error_code unresolved;
  std::string target = std::filesystem::canonical(path, unresolved).string();  // through symbolic links
  if (unresolved) target = path;

  struct stat old {};
  const bool replaces = ::stat(target.c_str(), &old) == 0;
  if (replaces && S_ISDIR(old.st_mode)) fail("[file] cannot write {}: it is a directory", quote(path));
  // A rename over /dev/null or a pipe would turn it into a plain file.
  if (replaces && !S_ISREG(old.st_mode)) return write_in_place(path, pieces);
  // A rename asks only about the directory; a write-protected file is meant to stay.
  if (replaces && ::access(target.c_str(), W_OK) != 0) fail_to_write(path, errno);

  // Names of different processes and threads differ; a leftover of a killed process is passed over.
  static std::atomic<unsigned> counter{0};
  std::optional<OutputFile> out;
  for (int attempt = 0; attempt < 100; ++attempt) {
    out.emplace(fmt::format("{}.tmp-{}-{}", target, ::getpid(), counter++), O_CREAT | O_EXCL, mode_t{0666});
    if (out->error() != EEXIST) break;
  }
  if (replaces) out->set_mode(old.st_mode & 07777);
  for (std::string_view piece : pieces) out->write(piece);
  out->sync();
  out->close();
  out->rename(target);
  if (out->error()) fail_to_write(path, out->error());
  sync_directory_of(target);
}

void remove_leftovers(const std::string& directory) {
  static const std::regex leftover(R"(.+\.tmp-[0-9]+-[0-9]+)");
  std::error_code error;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error))
    if (entry.is_regular_file(error) && std::regex_match(entry.path().filename().string(), leftover))
      found.push_back(entry.path());
  for (const std::filesystem::path& path : found) std::filesystem::remove(path, error);
}

std::string quote(std::string_view text) {
  constexpr size_t kEnds = 60;  // longer texts show this much of each end
  std::string out = "'";
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.size() > 2 * kEnds + 20 && i == kEnds) {
      i = text.size() - kEnds;
      out += "...";
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += text[i];
  }
  return out + "'";
}

}  // namespace elbo
