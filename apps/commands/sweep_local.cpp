// elbo sweep --launcher local: processes of this machine, each a worker with its share of the cores and GPUs.
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>

#include "apps/command.h"
#include "apps/commands/sweep.h"
#include "apps/support/interrupt.h"
#include "apps/support/log.h"
#include "apps/support/places.h"
#include "apps/support/progress.h"
#include "apps/support/visible_gpus.h"
#include "tensor/error.h"
#include "tensor/parallel.h"

extern char** environ;

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// A process that runs units, and what it says.
class Worker {
 public:
  Worker(const std::vector<std::string>& line, const std::string& gpu) {
    // All that is made here, as a child may only do what needs no memory.
    std::error_code ignored;
    const std::string program = fs::read_symlink("/proc/self/exe", ignored).string();
    std::vector<char*> arguments{const_cast<char*>("elbo")};
    for (const std::string& word : line) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const std::string device = "CUDA_VISIBLE_DEVICES=" + gpu;
    std::vector<char*> environment;
    // Workers that were bound would all begin at the same processor.
    for (char** entry = environ; *entry; ++entry) {
      const std::string_view own = *entry;
      const bool binds = own.starts_with("OMP_PROC_BIND=") || own.starts_with("OMP_PLACES=") ||
                         own.starts_with("GOMP_CPU_AFFINITY=") || own.starts_with("KMP_AFFINITY=");
      if (!binds && (gpu.empty() || !own.starts_with("CUDA_VISIBLE_DEVICES="))) environment.push_back(*entry);
    }
    if (!gpu.empty()) environment.push_back(const_cast<char*>(device.c_str()));
    environment.push_back(nullptr);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      fail("[sweep] cannot start a process: {}", std::generic_category().message(errno));
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);                     // Ctrl-C is for the sweep, which passes it on
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // no worker outlives it, and none loses what it did
      if (::getppid() != parent) ::_exit(1);
      const int nowhere = ::open("/dev/null", O_RDWR);
      ::dup2(nowhere, STDIN_FILENO);
      ::dup2(nowhere, STDOUT_FILENO);
      ::dup2(ends[1], STDERR_FILENO);
      ::execve(program.c_str(), arguments.data(), environment.data());
      ::_exit(127);
    }
    const int error = errno;
    ::close(ends[1]);
    output_ = ends[0];
    ::fcntl(output_, F_SETFL, O_NONBLOCK);
    if (pid_ < 0) {
      ::close(output_);
      fail("[sweep] cannot start a process: {}", std::generic_category().message(error));
    }
  }
  ~Worker() {
    if (!status_) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(output_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int output() const { return output_; }
  void ask_to_stop() {
    if (!status_) ::kill(pid_, SIGTERM);
  }
  /// Takes in what it said. Its last line stays here: it may be why it ends.
  std::vector<std::string> lines() {
    char bytes[4096];
    for (ssize_t count; (count = ::read(output_, bytes, sizeof bytes)) > 0;)
      text_.append(bytes, static_cast<size_t>(count));
    std::vector<std::string> said;
    for (size_t end; (end = text_.find('\n')) != std::string::npos; text_.erase(0, end + 1)) {
      if (!last_line_.empty()) said.push_back(last_line_);
      last_line_ = text_.substr(0, end);
    }
    return said;
  }
  const std::string& last_line() const { return last_line_; }
  /// As waitpid gives it; nothing while it lives.
  std::optional<int> status() {
    int status = 0;
    if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_;
  }

 private:
  pid_t pid_;
  int output_ = -1;
  std::optional<int> status_;
  std::string text_, last_line_;
};

class LocalSweep {
 public:
  LocalSweep(const Sweep& sweep, size_t workers)
      : sweep_(sweep),
        gpus_(visible_gpus()),
        workers_(workers),
        progress_(kParts, "sweep", progress_options(sweep)) {}

  /// Returns when no worker is left: the units are done, or the run was interrupted.
  void run() {
    for (size_t i = 0; i < workers_.size() && !interrupted(); ++i) start(i);
    while (std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w != nullptr; })) {
      wait();
      if (interrupted()) stop_all();
      for (size_t i = 0; i < workers_.size(); ++i)
        if (workers_[i]) look_after(i);
      show();
    }
    if (!failure_.empty()) fail("{}; {}", failure_, sweep_.how_to_go_on());
    if (!interrupted()) progress_.finish();
  }

 private:
  static constexpr int64_t kParts = 1000000;
  static Progress::Options progress_options(const Sweep& sweep) {
    return {
        .quiet = sweep.json, .begun = static_cast<int64_t>(sweep.state().share() * kParts), .counts = false};
  }

  void start(size_t i) {
    workers_[i] = std::make_unique<Worker>(sweep_.worker(), gpus_.empty() ? "" : gpus_[i % gpus_.size()]);
  }

  void wait() {
    std::vector<pollfd> outputs;
    for (const auto& worker : workers_)
      if (worker) outputs.push_back({worker->output(), POLLIN, 0});
    ::poll(outputs.data(), outputs.size(), 200);
    // An output that was closed is ready at once, before its process has ended.
    if (std::any_of(outputs.begin(), outputs.end(), [](const pollfd& p) { return p.revents & POLLHUP; }))
      ::usleep(1000);
  }

  void say(const std::string& line) {
    if (line.find_first_not_of(" \r") != std::string::npos && said_.insert(line).second) progress_.note(line);
  }

  void stop_all() {
    if (stopping_) return;
    stopping_ = true;
    for (const auto& worker : workers_)
      if (worker) worker->ask_to_stop();
  }

  void look_after(size_t i) {
    Worker& worker = *workers_[i];
    const std::optional<int> status = worker.status();
    for (const std::string& line : worker.lines())
      if (!stopping_) say(line);
    if (!status) return;
    const bool killed = WIFSIGNALED(*status);
    const int code = killed ? 128 + WTERMSIG(*status) : WEXITSTATUS(*status);
    std::string line = worker.last_line();
    workers_[i].reset();
    if (!killed && code > 0 && code < 128) {
      constexpr std::string_view kName = "elbo: ";
      if (line.starts_with(kName)) line.erase(0, kName.size());
      if (failure_.empty())
        failure_ = line.empty() ? fmt::format("[sweep] a worker ended with status {}", code) : line;
      return stop_all();
    }
    if (code == 0) say(line);
    // One that was asked to stop (status 128 and more) has left, and is not called back.
    if (!killed || stopping_) return;
    const size_t done = sweep_.state().pieces_done();
    if (done > done_) done_ = done, deaths_ = 0;
    if (++deaths_ > sweep_.restarts) {
      failure_ =
          fmt::format("[sweep] {} workers were killed, the last by signal {}, with no unit done meanwhile",
                      deaths_, code - 128);
      return stop_all();
    }
    start(i);
  }

  void show() {
    if (++looks_ % 5 != 1) return;  // once a second
    const RunState state = sweep_.state();
    progress_.update(static_cast<int64_t>(state.share() * kParts), [&] { return state.counts(); });
  }

  const Sweep& sweep_;
  std::vector<std::string> gpus_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Progress progress_;
  std::set<std::string> said_;
  std::string failure_;
  bool stopping_ = false;
  size_t done_ = 0, looks_ = 0;
  int64_t deaths_ = 0;
};

}  // namespace

void sweep_here(Sweep& sweep) {
  const int64_t cores = threads();
  if (sweep.workers == 0) sweep.workers = cores;
  sweep.begin(std::max<int64_t>(cores / sweep.workers, 1));
  leave_place();
  {
    const InterruptGuard guard;
    const size_t left = std::max<size_t>(sweep.state().pieces_left(), 1);
    LocalSweep(sweep, std::min(static_cast<size_t>(sweep.workers), left)).run();
    const RunState state = sweep.state();
    const size_t done = state.done(), all = state.units.size();
    if (interrupted())
      return log_line(fmt::format("stopped with {} of {} units done; {}", done, all, sweep.how_to_go_on()));
    if (done < all)
      fail("[sweep] the workers were stopped with {} of {} units done; {}", done, all, sweep.how_to_go_on());
  }
  run_command_line(sweep.ending());
}

}  // namespace elbo
