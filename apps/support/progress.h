// Progress: how far a long job is, on standard error.
//
//   Progress progress(steps, "train", {.quiet = options.json});
//   for (step ...) progress.update(step + 1, [&] { return fmt::format("ELBO {:.1f} nats", elbo); });
//   progress.finish("ELBO 950.7 nats");
//
// On a terminal one line is rewritten in place, five times a second at most; elsewhere (a log file) a plain
// line comes every ten seconds at most. An update that shows nothing costs one look at the clock, and its
// text is not even made. For one thread.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace elbo {

/// "train   42%  5040/12000  ELBO 950.1 nats  212 /s  33 s left". `begun` steps were done before the clock
/// started (a resumed run). A total of 0 means that the end is not known. Without `counts` only
/// "train   42%  ELBO 950.1 nats  33 s left".
std::string progress_line(std::string_view label, int64_t done, int64_t total, int64_t begun, double seconds,
                          std::string_view text, bool counts = true);

/// Says to whoever shows the progress of a whole how far a part of it is, from 0 to 1. The text is made where
/// it is shown.
using ShowProgress = std::function<void(double share, const std::function<std::string()>& text)>;

class Progress {
 public:
  struct Options {
    bool quiet = false;                  ///< print nothing at all
    int64_t begun = 0;                   ///< steps done already, by the run that this one resumes
    bool counts = true;                  ///< show steps and steps a second, beside percentage and time
    std::FILE* stream = stderr;          ///< not owned
    std::optional<bool> terminal = {};   ///< whether to rewrite the line in place; found out when not given
    std::function<double()> clock = {};  ///< seconds; steady time when not given
  };

  Progress(int64_t total, std::string label) : Progress(total, std::move(label), Options()) {}
  Progress(int64_t total, std::string label, Options options);
  ~Progress();  ///< leaves the cursor on a line of its own
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Says that `done` steps of the total are done. `text` is a string or a function that returns one.
  template <class Text>
  void update(int64_t done, const Text& text) {
    done_ = done;
    if (!due()) return;
    if constexpr (std::invocable<const Text&>)
      show(text());
    else
      show(text);
  }
  void update(int64_t done) { update(done, std::string_view()); }

  /// A line of its own, above the progress line.
  void note(std::string_view text);
  /// The closing line: steps done, `text`, and the time it took. Later updates show nothing.
  void finish(std::string_view text = {});

 private:
  bool due();
  void show(std::string_view text);
  double seconds() const;
  void erase_line();

  int64_t total_, done_;
  std::string label_;
  Options options_;
  bool terminal_, line_open_ = false, finished_ = false;
  double begin_, next_;
};

}  // namespace elbo
