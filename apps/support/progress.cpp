#include "apps/support/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "apps/support/text.h"

namespace elbo {
namespace {

constexpr double kBetweenRewrites = 0.2, kBetweenLines = 10;  // seconds

std::string format_rate(double per_second) {
  if (per_second >= 100) return fmt::format("{:.0f} /s", per_second);
  if (per_second >= 1) return fmt::format("{:.1f} /s", per_second);
  return format_duration(1 / per_second) + " each";
}

int terminal_width(std::FILE* stream) {
  winsize size{};
  return ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string progress_line(std::string_view label, int64_t done, int64_t total, int64_t begun, double seconds,
                          std::string_view text, bool counts) {
  std::string line(label);
  if (total > 0) {
    // Rounded down: 100% is for what is finished.
    const double share = 100.0 * static_cast<double>(done) / static_cast<double>(total);
    line += fmt::format("  {:3}%", std::clamp(static_cast<int>(share), 0, 100));
    if (counts) line += fmt::format("  {}/{}", done, total);
  } else {
    line += fmt::format("  {}", done);
  }
  if (!text.empty()) line += fmt::format("  {}", on_one_line(text));
  const auto steps = static_cast<double>(done - begun);
  if (steps > 0 && seconds > 0) {
    if (counts) line += "  " + format_rate(steps / seconds);
    if (done < total)
      line += fmt::format("  {} left", format_duration(seconds / steps * static_cast<double>(total - done)));
  }
  return line;
}

Progress::Progress(int64_t total, std::string label, Options options)
    : total_(total), done_(options.begun), label_(std::move(label)), options_(std::move(options)) {
  const char* kind = std::getenv("TERM");
  const bool dumb = kind && std::string_view(kind) == "dumb";
  terminal_ = options_.terminal.value_or(::isatty(::fileno(options_.stream)) && !dumb);
  begin_ = 0;
  begin_ = seconds();
  next_ = terminal_ ? 0 : kBetweenLines;
}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', options_.stream);
}

double Progress::seconds() const {
  using std::chrono::duration, std::chrono::steady_clock;
  const double now =
      options_.clock ? options_.clock() : duration<double>(steady_clock::now().time_since_epoch()).count();
  return now - begin_;
}

bool Progress::due() { return !options_.quiet && !finished_ && seconds() >= next_; }

void Progress::erase_line() {
  if (line_open_) std::fputs("\r\x1b[K", options_.stream);
  line_open_ = false;
}

void Progress::show(std::string_view text) {
  const double now = seconds();
  const std::string line = progress_line(label_, done_, total_, options_.begun, now, text, options_.counts);
  erase_line();
  if (terminal_) {
    // A line that wraps cannot be rewritten in place.
    const std::string clipped(clip_to_width(line, terminal_width(options_.stream) - 1));
    std::fputs(clipped.c_str(), options_.stream);
    line_open_ = true;
  } else {
    std::fputs((line + '\n').c_str(), options_.stream);
  }
  std::fflush(options_.stream);
  next_ = now + (terminal_ ? kBetweenRewrites : kBetweenLines);
}

void Progress::note(std::string_view text) {
  if (options_.quiet) return;
  erase_line();
  std::fputs((on_one_line(text) + '\n').c_str(), options_.stream);
  std::fflush(options_.stream);
  if (terminal_) next_ = 0;  // the line comes back with the next update
}

void Progress::finish(std::string_view text) {
  if (options_.quiet || finished_) return;
  finished_ = true;
  erase_line();
  std::string line = label_;
  if (options_.counts) line += fmt::format("  {}", done_);
  if (options_.counts && total_ > 0) line += fmt::format("/{}", total_);
  if (!text.empty()) line += fmt::format("  {}", on_one_line(text));
  line += fmt::format("  in {}\n", format_duration(seconds()));
  std::fputs(line.c_str(), options_.stream);
  std::fflush(options_.stream);
}

}  // namespace elbo
