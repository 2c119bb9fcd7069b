#include "apps/support/download.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "apps/support/appended_file.h"
#include "apps/support/transfer.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr int kMostAttempts = 10;  // at one server, each of which brought bytes

/// The beginning of a file, which grows at its end; gone with this object where nothing has come.
class Part {
 public:
  explicit Part(const std::string& path) : path_(path), file_(open(path)) {
    size_ = std::filesystem::file_size(path);
  }
  ~Part() {
    std::error_code ignored;
    if (size_ == 0) std::filesystem::remove(path_, ignored);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  void append(std::string_view bytes) {
    file_.append(bytes);
    size_ += bytes.size();
  }
  void clear() {
    file_.truncate(0);
    size_ = 0;
  }
  void take_name(const std::string& name) {
    file_.sync();
    std::error_code error;
    std::filesystem::rename(path_, name, error);
    if (error) fail("[download] cannot give {} its name {}: {}", quote(path_), quote(name), error.message());
  }

 private:
  /// The file's path, once there is such a file.
  static const std::string& open(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0)
      fail("[download] cannot write {}: {}", quote(path), std::generic_category().message(errno));
    ::close(descriptor);
    return path;
  }

  std::string path_;
  AppendedFile file_;
  uint64_t size_ = 0;
};

std::string kept(const Download& what, const Part& part) {
  if (part.size() == 0) return "";
  return fmt::format("; {} of its {} bytes are kept in {} for the next time", part.size(), what.bytes,
                     quote(part.path()));
}

/// Asks for what is missing. Returns why it did not all come.
std::string receive_rest(const Download& what, const std::string& url, Part& part) {
  bool too_much = false;
  const auto accept = [&](uint64_t begin, std::optional<uint64_t> size) -> std::string {
    if (size && *size != what.bytes) return fmt::format("has {} bytes, not {}", *size, what.bytes);
    if (begin != 0 && begin != part.size()) return "answered with another part of the file than asked for";
    if (begin == 0) part.clear();
    return "";
  };
  const auto receive = [&](std::string_view bytes) {
    too_much = bytes.size() > what.bytes - part.size();
    if (!too_much) part.append(bytes);
    return !too_much;
  };
  const auto meanwhile = [&] {
    if (what.progress && !what.progress(part.size())) fail("[download] stopped{}", kept(what, part));
  };
  std::string fault = transfer({.url = url,
                                .from = part.size(),
                                .patience = what.patience,
                                .accept = accept,
                                .receive = receive,
                                .meanwhile = meanwhile});
  if (too_much) {
    part.clear();
    return fmt::format("has more than {} bytes", what.bytes);
  }
  if (fault.empty() && part.size() < what.bytes)
    return fmt::format("ended at {} of {} bytes", part.size(), what.bytes);
  return fault;
}

/// Makes a part of the right size the file. Returns why it is not the right one, and then it is empty.
std::string finish(const Download& what, Part& part) {
  const std::string fault = what.fault(part.path());
  if (fault.empty())
    part.take_name(what.path);
  else
    part.clear();
  return fault;
}

/// Returns why the file could not be had from that server.
std::string download_from(const std::string& url, const Download& what, Part& part) {
  std::string fault;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const uint64_t before = part.size();
    fault = receive_rest(what, url, part);
    if (fault.empty()) {
      fault = finish(what, part);
      // If the beginning was another server's, the fault may be that one's.
      if (fault.empty() || before == 0) break;
    } else if (part.size() <= before) {
      break;
    }
  }
  return fault;
}

}  // namespace

std::string download(const Download& what) {
  Part part(what.path + ".part");
  if (part.size() > what.bytes) part.clear();
  if (part.size() == what.bytes && finish(what, part).empty()) return "";
  std::string faults;
  for (const std::string& url : what.urls) {
    const std::string fault = download_from(url, what, part);
    if (fault.empty()) return url;
    if (what.note) what.note(fmt::format("{} {}", url, fault));
    faults += fmt::format("{}{} {}", faults.empty() ? "" : "; ", url, fault);
  }
  fail("[download] {} could not be had: {}{}", quote(what.path), faults, kept(what, part));
}

}  // namespace elbo
