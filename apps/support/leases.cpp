#include "apps/support/leases.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "apps/support/json.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kEnding = ".claim";
// Always as long, so that a heartbeat needs no room on a disk that is full.
constexpr size_t kBytes = 1024;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string claim_file(const std::string& folder, const std::string& name, int number) {
  return fmt::format("{}/{}.{}{}", folder, name, number, kEnding);
}

std::optional<std::string> read_if_there(const std::string& file) {
  try {
    return read_file(file);
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Tells this machine, since it was started, and this container on it from all others.
const std::string& this_machine() {
  static const std::string machine = [] {
    std::error_code ignored;
    std::string boot = read_if_there("/proc/sys/kernel/random/boot_id").value_or("");
    while (!boot.empty() && boot.back() == '\n') boot.pop_back();
    return boot.empty() ? boot : boot + " " + fs::read_symlink("/proc/self/ns/pid", ignored).string();
  }();
  return machine;
}

/// When a process of this machine began, in ticks since the machine did: no two processes have pid and this
/// in common. Empty: there is no such process, or none that does anything any more. Nothing: /proc does not
/// say, as it may not of another user's.
std::optional<std::string> began(int64_t pid) {
  const std::optional<std::string> there = read_if_there(fmt::format("/proc/{}/stat", pid));
  if (!there) {
    const bool gone = ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
    return gone ? std::optional("") : std::nullopt;
  }
  const std::string& stat = *there;
  const size_t behind_name = stat.rfind(')');
  if (behind_name == std::string::npos || behind_name + 2 >= stat.size()) return "";
  const char state = stat[behind_name + 2];
  if (state == 'Z' || state == 'X') return "";
  size_t at = behind_name + 2;
  for (int field = 3; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return "";
  return stat.substr(at + 1, stat.find(' ', at + 1) - at - 1);
}

LeaseReport parse(const std::string& bytes) {
  LeaseReport report;
  const Json json = Json::parse(bytes, nullptr, false);
  if (!json.is_object()) return report;
  try {
    report.host = json.at("host");
    report.worker = json.at("worker");
    report.since = json.at("since");
    report.seconds = json.at("seconds");
    report.share = json.at("share");
    report.text = json.at("text");
    report.let_go = json.at("let_go");
    const std::string machine = json.at("machine");
    if (!machine.empty() && machine == this_machine()) {
      const std::optional<std::string> now = began(json.at("pid"));
      const std::string then = json.at("began");  // empty: the holder could not tell
      report.dead = now && !then.empty() && then != *now;
    }
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  return report;
}

/// Calls found(name, number) for every claim in the folder.
template <class Found>
void each_claim(const std::string& folder, Found found) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (!name.ends_with(kEnding)) continue;
    name.resize(name.size() - std::string_view(kEnding).size());
    const size_t point = name.rfind('.');
    int number = 0;
    if (point == std::string::npos ||
        std::from_chars(name.data() + point + 1, name.data() + name.size(), number).ec != std::errc())
      continue;
    found(name.substr(0, point), number);
  }
}

}  // namespace

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

int last_lease(const std::string& folder, const std::string& name) {
  int last = 0;
  each_claim(folder, [&](const std::string& other, int number) {
    if (other == name) last = std::max(last, number);
  });
  return last;
}

std::vector<LeaseReport> read_leases(const std::string& folder) {
  std::map<std::string, int> last;
  each_claim(folder, [&](const std::string& name, int number) { last[name] = std::max(last[name], number); });
  std::vector<LeaseReport> reports;
  for (const auto& [name, number] : last) {
    const auto bytes = read_if_there(claim_file(folder, name, number));
    if (!bytes) continue;  // finished meanwhile
    reports.push_back(parse(*bytes));
    reports.back().name = name;
    reports.back().number = number;
  }
  return reports;
}

Lease::Lease(std::string folder, std::string name, int number, double length, std::string worker)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      number_(number),
      length_(length),
      worker_(std::move(worker)),
      since_(format_utc(std::chrono::system_clock::now())) {
  try {
    write();
  } catch (const Error&) {
    ::unlink(file().c_str());
    throw;
  }
  heart_ = std::thread([this] { beat(); });
}

void Lease::stop_beating() {
  {
    const std::lock_guard guard(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  if (heart_.joinable()) heart_.join();
}

Lease::~Lease() {
  stop_beating();
  if (finished_) return;
  let_go_ = true;
  try {
    write();
  } catch (const Error&) {
    // Gone, which says it as well; or others find out when its process ends.
  }
}

std::string Lease::file() const { return claim_file(folder_, name_, number_); }

void Lease::write() {
  Json json{
      {"host", host_name()}, {"worker", worker_.empty() ? fmt::format("process {}", ::getpid()) : worker_},
      {"since", since_},     {"seconds", seconds_since(begin_)},
      {"share", share_},     {"text", text_},
      {"beat", ++beats_},    {"lease", length_},
      {"let_go", let_go_},   {"machine", this_machine()},
      {"pid", ::getpid()},   {"began", began(::getpid()).value_or("")}};
  const auto dump = [&] { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
  std::string bytes = dump();
  if (bytes.size() >= kBytes) {
    json["text"] = "";
    bytes = dump();
  }
  if (bytes.size() < kBytes) bytes.append(kBytes - bytes.size() - 1, ' ') += '\n';
  // In place: nobody reads it for more than whether it has changed and how the work gets on. Never made anew
  // here, as others may have finished the work and removed it.
  const int descriptor = ::open(file().c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) {
    known_lost_ = known_lost_ || errno == ENOENT;
    fail("[file] cannot write {}: {}", quote(file()), std::generic_category().message(errno));
  }
  const ssize_t written = ::pwrite(descriptor, bytes.data(), bytes.size(), 0);
  const int error = written < 0 ? errno : ENOSPC;
  const bool closed = ::close(descriptor) == 0;
  if (written != static_cast<ssize_t>(bytes.size()) || !closed)
    fail("[file] cannot write {}: {}; free some space; nothing was changed", quote(file()),
         std::generic_category().message(error));
}

void Lease::beat() {
  std::unique_lock lock(mutex_);
  const std::chrono::duration<double> between(length_ / kBeatsPerLease);
  while (!wake_.wait_for(lock, between, [&] { return ends_; })) {
    try {
      write();
    } catch (const Error&) {
      // Where it is not that somebody has finished the work, the next beat may get through.
    }
    wants_text_ = true;
    lock.unlock();
    lost();
    lock.lock();
  }
}

bool Lease::lost() {
  struct stat there {};
  // A higher number is made before anything else is done, and all are removed when the work is published.
  if (!known_lost_)
    known_lost_ = ::stat(file().c_str(), &there) != 0 ||
                  ::stat(claim_file(folder_, name_, number_ + 1).c_str(), &there) == 0;
  return known_lost_;
}

void Lease::say(double share, const std::function<std::string()>& text) {
  if (!wants_text_.exchange(false)) return;
  const std::string now = text ? std::string(clip_to_width(on_one_line(text()), 160)) : "";
  const std::lock_guard guard(mutex_);
  share_ = share;
  text_ = now;
}

void Lease::finish() {
  stop_beating();
  const int last = last_lease(folder_, name_);
  for (int number = 1; number <= last; ++number) ::unlink(claim_file(folder_, name_, number).c_str());
  finished_ = true;
}

Leases::Leases(std::string folder, double length) : folder_(std::move(folder)), length_(length) {}

bool Leases::is_over(const std::string& name, int number) const {
  const auto bytes = read_if_there(claim_file(folder_, name, number));
  if (!bytes) return false;  // nobody knows
  const LeaseReport report = parse(*bytes);
  return report.let_go || report.dead;
}

bool Leases::is_held(const std::string& name, int number) {
  const std::string file = claim_file(folder_, name, number);
  const auto bytes = read_if_there(file);
  if (!bytes) return true;  // finished just now
  const LeaseReport report = parse(*bytes);
  if (report.let_go || report.dead) return false;
  const Json json = Json::parse(*bytes, nullptr, false);
  const double length = report.host.empty() ? length_ : json.value("lease", length_);
  const auto [found, is_new] = seen_.try_emplace(file);
  Seen& seen = found->second;
  if (is_new || seen.bytes != *bytes) {
    seen = {*bytes, 0, Clock::now()};
    return true;
  }
  // A process that looks seldom, or was stopped itself, has not seen that nothing happened meanwhile.
  seen.silent += std::min(seconds_since(seen.looked_at), length / kBeatsPerLease);
  seen.looked_at = Clock::now();
  return seen.silent < length;
}

std::unique_ptr<Lease> Leases::take(const std::string& name, const std::string& worker) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int last = last_lease(folder_, name);
    if (last > 0 && is_held(name, last)) return nullptr;
    const std::string file = claim_file(folder_, name, last + 1);
    const int descriptor = ::open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      ::close(descriptor);
      return std::unique_ptr<Lease>(new Lease(folder_, name, last + 1, length_, worker));
    }
    if (errno == EEXIST) return nullptr;  // somebody was faster
    if (errno != ENOENT || (::mkdir(folder_.c_str(), 0777) != 0 && errno != EEXIST))
      fail("[run directory] cannot make {}: {}", quote(file), std::generic_category().message(errno));
  }
  fail("[run directory] cannot make {}: others remove its folder again and again", quote(folder_));
}

}  // namespace elbo
