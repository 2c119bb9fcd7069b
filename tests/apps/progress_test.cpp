// Progress on a terminal, in a log file, and quiet, by a clock that the test sets.
#include "apps/support/progress.h"

#include <doctest/doctest.h>

namespace elbo {
namespace {

/// A stream whose text can be read back.
class Capture {
 public:
  Capture() : file_(std::tmpfile()) {}
  ~Capture() { std::fclose(file_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  std::FILE* stream() const { return file_; }
  std::string text() const {
    std::fflush(file_);
    std::rewind(file_);
    std::string out;
    for (int c; (c = std::fgetc(file_)) != EOF;) out += static_cast<char>(c);
    std::fseek(file_, 0, SEEK_END);
    return out;
  }

 private:
  std::FILE* file_;
};

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a progress line gives share, steps, text, rate and time left") {
    CHECK(progress_line("train", 5040, 12000, 0, 24, "ELBO 950.1 nats") ==
          "train   42%  5040/12000  ELBO 950.1 nats  210 /s  33 s left");
    CHECK(progress_line("train", 0, 10, 0, 0, "") == "train    0%  0/10");
    CHECK(progress_line("train", 1, 3, 0, 20, "a\nb") == "train   33%  1/3  a b  20 s each  40 s left");
    CHECK(progress_line("train", 7, 0, 0, 2, "") == "train  7  3.5 /s");
    CHECK(progress_line("train", 10, 10, 0, 1, "") == "train  100%  10/10  10.0 /s");
    CHECK(progress_line("train", 9999, 10000, 9999, 1, "") == "train   99%  9999/10000");
  }

  TEST_CASE("a resumed run counts its rate from where it began") {
    CHECK(progress_line("train", 600, 1000, 500, 10, "") == "train   60%  600/1000  10.0 /s  40 s left");
  }

  TEST_CASE("on a terminal one line is rewritten, five times a second at most") {
    const Capture capture;
    double now = 100;
    int texts_made = 0;
    {
      Progress progress(1000, "train",
                        {.stream = capture.stream(), .terminal = true, .clock = [&] { return now; }});
      for (int step = 1; step <= 1000; ++step) {
        now = 100 + step * 0.001;
        progress.update(step, [&] { return ++texts_made, std::string("text"); });
      }
      CHECK(texts_made == 5);
      CHECK(count(capture.text(), "\n") == 0);
      CHECK(count(capture.text(), "\r\x1b[K") == 4);
      progress.finish("done");
      now += 60;
      progress.update(1000, "ignored");
      progress.finish("ignored");
    }
    CHECK(capture.text().ends_with("\r\x1b[Ktrain  1000/1000  done  in 1.00 s\n"));
  }

  TEST_CASE("a line on a terminal is never longer than the terminal is wide") {
    const Capture capture;  // no terminal: taken for 80 columns
    Progress progress(10, "train",
                      {.stream = capture.stream(), .terminal = true, .clock = [] { return 0.0; }});
    progress.update(1, std::string(300, 'x'));
    CHECK(capture.text().size() == 79);
  }

  TEST_CASE("an unfinished line on a terminal ends with the progress") {
    const Capture capture;
    { Progress(10, "train", {.stream = capture.stream(), .terminal = true}).update(1); }
    CHECK(capture.text().ends_with("\n"));
  }

  TEST_CASE("in a log file a plain line comes every ten seconds at most") {
    const Capture capture;
    double now = 0;
    Progress progress(1000, "train",
                      {.stream = capture.stream(), .terminal = false, .clock = [&] { return now; }});
    for (int step = 1; step <= 1000; ++step) {
      now = step * 0.035;
      progress.update(step, "text");
    }
    CHECK(count(capture.text(), "\n") == 3);
    progress.finish();
    CHECK(count(capture.text(), "\n") == 4);
    CHECK(count(capture.text(), "\r") + count(capture.text(), "\x1b") == 0);
    CHECK(capture.text().ends_with("train  1000/1000  in 35 s\n"));
  }

  TEST_CASE("a note stands on a line of its own") {
    const Capture capture;
    Progress progress(10, "train",
                      {.stream = capture.stream(), .terminal = true, .clock = [] { return 0.0; }});
    progress.update(1);
    progress.note("learning rate halved");
    progress.update(2);
    CHECK(capture.text() == "train   10%  1/10\r\x1b[Klearning rate halved\ntrain   20%  2/10");
  }

  TEST_CASE("quiet prints nothing") {
    const Capture capture;
    {
      Progress progress(2, "train", {.quiet = true, .stream = capture.stream(), .terminal = true});
      progress.update(1, "text");
      progress.note("note");
      progress.finish("end");
    }
    CHECK(capture.text().empty());
  }
}

}  // namespace elbo
