#include "apps/support/gnuplot.h"

#include <cstdio>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include "apps/support/log.h"
#include "apps/support/text.h"
#include "tensor/error.h"
#include "tensor/file.h"

extern char** environ;

namespace elbo {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int error = 0;   // errno when the program could not be started
  int status = 0;  // as waitpid gives it
  std::string complaints;
};

std::string read_to_end(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count == 0 || (count < 0 && errno != EINTR)) return text;
    if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
  }
}

/// Runs a program to its end in `directory`, with no input and its complaints collected.
Outcome run(const std::string& directory, const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);

  Outcome outcome;
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return {errno, 0, ""};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
  // A process group of its own: Ctrl-C ends a training run well, its figures included.
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = 0;
  outcome.error = ::posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  if (!outcome.error) {
    outcome.complaints = read_to_end(pipe[0]);
    while (::waitpid(child, &outcome.status, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(pipe[0]);
  return outcome;
}

/// The first line of gnuplot's complaint that says something: it also prints the command and a caret.
std::string complaint(const std::string& text) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find(" line ") != std::string::npos) return on_one_line(line);
    begin = end + 1;
  }
  return on_one_line(text.substr(0, 200));
}

void say_once(const std::string& line) {
  static std::string said;
  if (said == line) return;
  said = line;
  log_line(line);
}

}  // namespace

std::string gnuplot_version(const std::string& program) {
  std::FILE* pipe = popen((program + " --version 2>/dev/null").c_str(), "r");
  if (!pipe) return {};
  char line[128] = {};
  const bool read = std::fgets(line, sizeof line, pipe) != nullptr;
  const bool ran = pclose(pipe) == 0;
  std::string version = read && ran ? line : "";
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

std::string figure_colour(int index) {
  constexpr std::array colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                  "#E69F00", "#56B4E9", "#000000"};
  constexpr int count = static_cast<int>(colours.size());
  return colours[static_cast<size_t>((index % count + count) % count)];
}

std::string gnuplot_string(std::string_view text) {
  std::string out = "'";
  // gnuplot's own way to write a quote in quotes fails where the text begins with one.
  for (char c : on_one_line(valid_utf8(text))) out += c == '\'' ? "’" : std::string(1, c);
  return out + "'";
}

std::string gnuplot_preamble(const std::string& name, int width, int height) {
  return fmt::format(R"(# Draws {0}.svg from {0}.csv: gnuplot {0}.gp
set encoding utf8
set terminal svg size {1},{2} dynamic standalone enhanced rounded font 'Helvetica,15' background '#ffffff'
if (!exists('output')) output = '{0}.svg'
set output output
set datafile separator comma
set minussign
set style line 101 linecolor rgb '#444444' linewidth 1
set style line 102 linecolor rgb '#dddddd' linewidth 0.7
set dashtype 11 (7,4)
set dashtype 12 (6,5)
set dashtype 13 (2,4)
set dashtype 14 (10,4,2,4)
set border 3 linestyle 101
set grid linestyle 102
set tics nomirror out scale 0.6 textcolor rgb '#444444'
)",
                     name, width, height);
}

Drawing draw(const std::string& directory, const std::string& name, std::string_view csv,
             std::string_view script, const std::string& program) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_plain))
    fail("[figure] {} is no name for a figure; use letters, digits, - and _", quote(name));
  const fs::path place(directory);
  write_file_atomically((place / (name + ".csv")).string(), csv);
  write_file_atomically((place / (name + ".gp")).string(), script);

  Drawing drawing{directory, name, "", ""};
  const std::string unfinished = fmt::format("{}.svg.tmp-{}-0", name, ::getpid());  // see remove_leftovers
  const Outcome outcome =
      run(directory, {program, "-d", "-e", fmt::format("output = '{}'", unfinished), name + ".gp"});
  std::error_code ignored;
  if (outcome.error == ENOENT) {
    drawing.problem = fmt::format("{} was not found", program);
  } else if (outcome.error) {
    drawing.problem =
        fmt::format("{} did not start: {}", program, std::generic_category().message(outcome.error));
  } else if (outcome.status != 0) {
    drawing.problem = fmt::format("{} failed: {}", program, complaint(outcome.complaints));
  } else {
    try {
      std::string svg = read_file((place / unfinished).string());
      if (svg.find("</svg>") == std::string::npos)
        drawing.problem = fmt::format("{} did not finish {}.svg; is the disk full?", program, name);
      else
        fs::rename(place / unfinished, place / (name + ".svg")), drawing.svg = std::move(svg);
    } catch (const std::exception& error) {
      drawing.problem = error.what();
    }
  }
  if (!drawing.problem.empty()) {
    fs::remove(place / unfinished, ignored);
    say_once(
        outcome.error
            ? fmt::format("[figure] {}, so no figures are drawn; their data and scripts are in {}: install "
                          "gnuplot, then run `gnuplot NAME.gp` there",
                          drawing.problem, quote(directory))
            : fmt::format("[figure] {} was not drawn: {}; its data and script are in {}", name,
                          drawing.problem, quote(directory)));
  }
  return drawing;
}

}  // namespace elbo
