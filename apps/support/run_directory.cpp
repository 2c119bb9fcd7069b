#include "apps/support/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr const char *kLock = "lock", *kConfig = "config.json";

void remove_empty(const std::vector<std::string>& directories) {
  // rmdir refuses a directory that holds anything, so nobody's files can go.
  for (auto it = directories.rbegin(); it != directories.rend(); ++it)
    if (::rmdir(it->c_str()) != 0) return;
}

/// Makes the directory and its missing parents, and returns those made. On failure, none stay and errno is
/// set; EEXIST when the last one is there already.
std::vector<std::string> make_directories(const fs::path& path) {
  std::vector<std::string> made;
  fs::path so_far;
  int error = 0;
  for (const fs::path& part : path) {
    so_far /= part;
    if (part.empty()) continue;  // the end of "a/b/"
    error = ::mkdir(so_far.c_str(), 0777) == 0 ? 0 : errno;
    if (error == 0) made.push_back(so_far.string());
    std::error_code ignored;
    if (error != 0 && !fs::is_directory(so_far, ignored)) break;
  }
  if (error != 0) remove_empty(made);
  errno = error;
  return error ? std::vector<std::string>{} : made;
}

[[noreturn]] void fail_to_make(const std::string& path, int error) {
  fail("[run directory] cannot make {}: {}; choose another place with --out", quote(path),
       std::generic_category().message(error));
}

/// A directory of its own for this run, even when two begin in the same second.
std::string make_default(const std::string& command, std::vector<std::string>& made) {
  for (int attempt = 0;; ++attempt) {
    const std::string path = default_run_path(command);
    made = make_directories(path);
    if (!made.empty()) return path;
    if (errno != EEXIST || attempt == 1000) fail_to_make(path, errno);
  }
}

void check_writable(const std::string& path) {
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    fail("[run directory] cannot write in {}: {}; copy the run to where you can, and resume the copy",
         quote(path), std::generic_category().message(errno));
}

bool holds_config_alone(const std::string& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (entry.path().filename() != kLock && entry.path().filename() != kConfig) return false;
  return !error;
}

}  // namespace

RunDirectory::RunDirectory(const std::string& command, const std::string& out, Existing existing)
    : command_(command), path_(out) {
  if (existing != Existing::refuse) {
    read_run_config(path_, command);
    check_writable(path_);
    if (existing == Existing::join) return;
    lock();
    remove_leftovers(path_);
    return;
  }
  is_new_ = true;
  if (out.empty()) {
    path_ = make_default(command, made_);
    lock();
    return;
  }
  made_ = make_directories(path_);
  if (!made_.empty()) {
    lock();
    return;
  }
  const int error = errno;
  std::error_code unreadable;
  if (!fs::is_directory(path_, unreadable)) {
    if (fs::exists(path_, unreadable))
      fail("[run directory] {} is a file; name a directory with --out", quote(path_));
    fail_to_make(path_, error == EEXIST ? ENOTDIR : error);
  }
  check_empty();
  check_writable(path_);
  lock();
  check_empty();  // another process may have been here before the lock
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) {
    std::error_code ignored;
    if (is_new_ && std::uncaught_exceptions() > exceptions_ && holds_config_alone(path_))
      fs::remove(fs::path(path_) / kConfig, ignored);  // what it began with did not work
    const bool unused = !fs::exists(fs::path(path_) / kConfig, ignored);
    if (unused) ::unlink((fs::path(path_) / kLock).c_str());
    ::close(lock_);
  }
  remove_empty(made_);
}

void RunDirectory::check_empty() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error))
    // A process that was killed before it wrote anything has left its lock.
    if (entry.path().filename() != kLock)
      fail("[run directory] {} is not empty and nothing is written over; name a new directory with --out{}",
           quote(path_), fs::exists(fs::path(path_) / kConfig) ? ", or go on with its run by --resume" : "");
  if (error) fail("[run directory] cannot look into {}: {}", quote(path_), error.message());
}

void RunDirectory::share() {
  if (lock_ >= 0) ::close(lock_);
  lock_ = -1;
}

void RunDirectory::wait_for_lock() {
  for (int waited = 0; lock_ < 0 && !try_to_lock() && !interrupted(); ++waited) {
    if (waited == 20)
      log_line(
          fmt::format("[run directory] waiting for another process that is at work in {}", quote(path_)));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void RunDirectory::lock() {
  if (!try_to_lock())
    fail("[run directory] another process is at work in {}; wait for it, or end it", quote(path_));
}

bool RunDirectory::try_to_lock() {
  const std::string file = (fs::path(path_) / kLock).string();
  while (true) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0)
      fail("[run directory] cannot make {}: {}", quote(file), std::generic_category().message(errno));
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(descriptor);
      if (error == EINTR) continue;
      if (error == EWOULDBLOCK) return false;
      log_line(
          fmt::format("[run directory] {} lies where files cannot be locked ({}); see to it that no "
                      "other process works in it",
                      quote(path_), std::generic_category().message(error)));
      return true;
    }
    // The process that had it may have removed the file meanwhile.
    struct stat held {
    }, there{};
    if (::fstat(descriptor, &held) == 0 && ::stat(file.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
        held.st_dev == there.st_dev) {
      lock_ = descriptor;
      return true;
    }
    ::close(descriptor);
  }
}

std::string RunDirectory::file(const std::string& name) const {
  const fs::path full = fs::path(path_) / name;
  if (make_directories(full.parent_path()).empty() && !fs::is_directory(full.parent_path()))
    fail_to_make(full.parent_path().string(), errno);
  return full.string();
}

std::string RunDirectory::figures() const { return fs::path(file("figures/x")).parent_path().string(); }

void RunDirectory::write_config(const Json& config) const {
  write_json(kConfig, Json{{"command", command_}, {"config", config}});
}

void RunDirectory::write_json(const std::string& name, const Json& value) const {
  write_text(name, json_text(value));
}

void RunDirectory::write_text(const std::string& name, std::string_view text) const {
  write_file_atomically(file(name), text);
}

void RunDirectory::write_config(const Json& config, const Json& data) const {
  write_json(kConfig, Json{{"command", command_}, {"config", config}, {"data", data}});
}

std::string default_run_path(const std::string& command) {
  const std::string stem =
      fmt::format("runs/{}-{}", command, format_utc_for_file(std::chrono::system_clock::now()));
  std::error_code ignored;
  std::string path = stem;
  for (int number = 2; fs::exists(path, ignored); ++number) path = fmt::format("{}-{}", stem, number);
  return path;
}

namespace {

Json read_run(const std::string& directory, const std::string& command) {
  std::error_code ignored;
  if (directory.empty() || !fs::is_directory(directory, ignored))
    fail("[run directory] there is no directory {}; name one that an earlier run wrote", quote(directory));
  const std::string path = (fs::path(directory) / kConfig).string();
  if (!fs::exists(path, ignored))
    fail(
        "[run directory] {} has no config.json, so it is no run directory; name one that an earlier run "
        "wrote",
        quote(directory));
  const Json file = read_json(path);
  if (!file.is_object() || !file.contains("command") || !file["command"].is_string() ||
      !file.contains("config") || !file["config"].is_object())
    fail("[run directory] {} is not the config.json of a run: \"command\" or \"config\" is missing",
         quote(path));
  const auto wrote = file["command"].get<std::string>();
  if (!command.empty() && wrote != command)
    fail("[run directory] {} is a run of {}, not of {}; name another", quote(directory), quote(wrote),
         quote(command));
  return file;
}

}  // namespace

Json read_run_config(const std::string& directory, const std::string& command) {
  return read_run(directory, command)["config"];
}

std::string read_run_command(const std::string& directory) { return read_run(directory, "")["command"]; }

Json read_run_data(const std::string& directory) { return read_run(directory, "").value("data", Json()); }

}  // namespace elbo
