#include "apps/training/fetch.h"

#include <filesystem>
#include <optional>
#include <string_view>

#include "apps/support/download.h"
#include "apps/support/folder_lock.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/progress.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr const char* kOtherwise = "it stays as it is: move it away, or choose another folder with --out";

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_web_address(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (text.starts_with(scheme)) {
      text.remove_prefix(scheme.size());
      return !text.empty() && text[0] != '/' && text.find(' ') == text.npos;
    }
  return false;
}

/// Addresses of folders, ending in a slash.
std::vector<std::string> checked_mirrors(std::vector<std::string> mirrors) {
  for (std::string& mirror : mirrors) {
    if (!is_web_address(mirror))
      fail("[data] {} is no mirror; give the http or https address of a folder with the files",
           quote(mirror));
    if (!mirror.ends_with('/')) mirror += '/';
  }
  return mirrors;
}

/// The folder, made with missing parents; unless something comes to lie there, it is gone at the end.
class Folder {
 public:
  explicit Folder(const std::string& path) {
    for (std::filesystem::path p = path; !p.empty() && !is_there(p.string()); p = p.parent_path())
      made_.push_back(p);
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail("[data] cannot make the folder {}: {}", quote(path), error.message());
  }
  ~Folder() {
    std::error_code ignored;  // of a folder that is not empty
    for (const auto& path : made_) std::filesystem::remove(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

 private:
  std::vector<std::filesystem::path> made_;  // innermost first
};

class Fetch {
 public:
  Fetch(const PublishedData& data, const FetchOptions& options)
      : data_(data),
        options_(options),
        mirrors_(checked_mirrors(options.mirrors.empty() ? data.mirrors : options.mirrors)) {}

  std::vector<FetchedFile> run() {
    if (members_are_there()) {
      std::vector<FetchedFile> there;
      for (const ArchiveMember& member : data_.members) there.push_back({path(member.name), ""});
      return there;
    }
    std::vector<bool> there;
    for (const PublishedFile& file : data_.files) there.push_back(is_there_and_right(file));
    const Folder folder(options_.folder);
    const FolderLock lock(options_.folder);
    std::vector<FetchedFile> fetched;
    for (size_t i = 0; i < there.size(); ++i)
      fetched.push_back({path(data_.files[i].name), there[i] ? "" : get(data_.files[i])});
    if (!data_.members.empty()) {
      unpack_tar(fetched[0].path, options_.folder, data_.members);
      std::filesystem::remove(fetched[0].path);
    }
    return fetched;
  }

 private:
  std::string path(const std::string& name) const {
    return (std::filesystem::path(options_.folder) / name).string();
  }

  /// Whether all that the archive holds is there. Throws Error where something else is.
  bool members_are_there() const {
    size_t there = 0;
    for (const ArchiveMember& member : data_.members) {
      const std::string file = path(member.name);
      if (is_there(file + ".gz"))
        fail("[data] {} would be read in place of {}; {}", quote(file + ".gz"), quote(member.name),
             kOtherwise);
      if (!is_there(file)) continue;
      const uint64_t bytes = InputFile(file).size();
      if (bytes != member.bytes)
        fail("[data] {} has {} bytes, not {}; {}", quote(file), bytes, member.bytes, kOtherwise);
      ++there;
    }
    return there > 0 && there == data_.members.size();
  }

  bool is_there_and_right(const PublishedFile& file) const {
    if (!is_there(path(file.name))) return false;
    const std::string fault = fault_of(file, path(file.name));
    if (!fault.empty()) fail("[data] {} {}; {}", quote(path(file.name)), fault, kOtherwise);
    return true;
  }

  /// Returns the URL that the file came from.
  std::string get(const PublishedFile& file) const {
    constexpr uint64_t kKilo = 1000;
    std::optional<Progress> progress;
    Download what;
    what.path = path(file.name);
    what.bytes = file.bytes;
    for (const std::string& mirror : mirrors_) what.urls.push_back(mirror + file.name);
    what.fault = [&](const std::string& part) { return fault_of(file, part); };
    what.patience = options_.patience;
    what.progress = [&](uint64_t done) {
      const auto count = static_cast<int64_t>(done / kKilo);
      if (!progress)
        progress.emplace(static_cast<int64_t>(file.bytes / kKilo), file.name + " (kB)",
                         Progress::Options{.quiet = options_.quiet, .begun = count});
      progress->update(count);
      return !interrupted();
    };
    what.note = [&](const std::string& line) {
      if (progress)
        progress->note("[download] " + line);
      else
        log_line("[download] " + line);
    };
    const std::string url = download(what);
    if (progress) progress->finish();
    return url;
  }

  const PublishedData& data_;
  const FetchOptions& options_;
  std::vector<std::string> mirrors_;
};

}  // namespace

std::vector<FetchedFile> fetch(const PublishedData& data, const FetchOptions& options) {
  return Fetch(data, options).run();
}

}  // namespace elbo
