// Run directories: made whole or not at all, never written over, resumed only when they are ours.
#include "apps/support/run_directory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tensor/error.h"
#include "tensor/file.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// Works in a directory while it lives.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const fs::path& path) : before_(fs::current_path()) { fs::current_path(path); }
  ~WorkingDirectory() { fs::current_path(before_); }

 private:
  fs::path before_;
};

constexpr auto kResume = RunDirectory::Existing::resume;

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("a run directory is made with its parents and holds what is written") {
    const TemporaryDirectory directory;
    const std::string out = directory / "a/b/run/";
    {
      const RunDirectory run("train", out);
      run.write_config(Json{{"seed", 3}});
      run.write_json("result.json", Json{{"x", 0.1}});
      run.write_text("report.html", "<html>");
      run.csv("metrics.csv", {"epoch"}).row({1});
      CHECK(fs::is_directory(run.figures()));
      CHECK(run.file("figures/deep/x.csv") == (fs::path(out) / "figures/deep/x.csv").string());
      CHECK(fs::is_directory(directory / "a/b/run/figures/deep"));
    }
    CHECK(read_json(directory / "a/b/run/config.json") ==
          Json{{"command", "train"}, {"config", {{"seed", 3}}}});
    CHECK(read_file(directory / "a/b/run/report.html") == "<html>");
    CHECK(read_file(directory / "a/b/run/metrics.csv") == "epoch\n1\n");
    CHECK(read_run_config(out, "train") == Json{{"seed", 3}});
  }

  TEST_CASE("an empty directory that exists is used and stays") {
    const TemporaryDirectory directory;
    fs::create_directory(directory / "run");
    { const RunDirectory run("train", directory / "run"); }
    CHECK(fs::exists(directory / "run"));
  }

  TEST_CASE("a run that wrote nothing leaves nothing behind") {
    const TemporaryDirectory directory;
    fs::create_directory(directory / "kept");
    { const RunDirectory run("train", directory / "kept/a/b"); }
    CHECK(directory.entries() == 1);
    CHECK(fs::is_empty(directory / "kept"));
  }

  TEST_CASE("a run that an exception ends leaves nothing behind where its config is all that it wrote") {
    const TemporaryDirectory directory;
    const auto breaks = [&](const std::string& name, const std::string& more, auto existing) {
      try {
        const RunDirectory run("train", directory / name, existing);
        run.write_config(Json{{"seed", 3}});
        if (!more.empty()) run.write_text(more, "");
        throw Error("out of memory");
      } catch (const Error&) {
      }
    };
    constexpr auto kNew = RunDirectory::Existing::refuse;
    breaks("a/config", "", kNew);
    CHECK(directory.entries() == 0);
    breaks("more", "metrics.csv", kNew);
    CHECK(read_run_config(directory / "more", "train") == Json{{"seed", 3}});
    { RunDirectory("train", directory / "ended").write_config(Json{{"seed", 4}}); }
    breaks("ended", "", kResume);  // it was there before
    CHECK(read_run_config(directory / "ended", "train") == Json{{"seed", 3}});
    // One that comes to its end while another exception is under way is not that one's.
    struct Late {
      std::string path;
      ~Late() { RunDirectory("train", path).write_config(Json{{"seed", 5}}); }
    };
    try {
      const Late late{directory / "late"};
      throw Error("of something else");
    } catch (const Error&) {
    }
    CHECK(read_run_config(directory / "late", "train") == Json{{"seed", 5}});
  }

  TEST_CASE("two runs without a name in the same second get directories of their own") {
    const TemporaryDirectory directory;
    const WorkingDirectory inside(directory.path());
    const RunDirectory first("ppca", ""), second("ppca", ""), third("ppca", "");
    CHECK(first.path().starts_with("runs/ppca-2"));
    CHECK(first.path() != second.path());
    CHECK(second.path() != third.path());
    CHECK(fs::is_directory(third.path()));
  }

  TEST_CASE("a directory that is not empty is refused and left as it was") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "precious", "text");
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory.path()), doctest::Contains("is not empty"), Error);
    CHECK(directory.entries() == 1);
    CHECK(read_file(directory / "precious") == "text");
  }

  TEST_CASE("places where no directory can be are refused, with nothing left behind") {
    const TemporaryDirectory directory;
    write_file_atomically(directory / "file", "text");
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "file"), doctest::Contains("is a file"), Error);
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "file/run"), doctest::Contains("Not a directory"),
                         Error);
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / ("new/" + std::string(300, 'x'))),
                         doctest::Contains("name too long"), Error);
    CHECK_THROWS_WITH_AS(RunDirectory("train", "/proc/elbo/run"), doctest::Contains("--out"), Error);
    CHECK(directory.entries() == 1);
    if (::geteuid() != 0) {  // the superuser may write anywhere
      fs::create_directory(directory / "locked");
      fs::permissions(directory / "locked", fs::perms::owner_read | fs::perms::owner_exec);
      CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "locked"), doctest::Contains("cannot write"),
                           Error);
      CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "locked/run"), doctest::Contains("cannot make"),
                           Error);
    }
  }

  TEST_CASE("only a run of the same command is resumed") {
    const TemporaryDirectory directory;
    { RunDirectory("train", directory / "run").write_config(Json{{"seed", 3}}); }
    const RunDirectory again("train", directory / "run", kResume);
    CHECK(again.path() == directory / "run");
    CHECK_THROWS_WITH_AS(RunDirectory("ppca", directory / "run", kResume),
                         doctest::Contains("a run of 'train', not of 'ppca'"), Error);
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "absent", kResume),
                         doctest::Contains("there is no directory"), Error);
    CHECK_THROWS_WITH_AS(RunDirectory("train", "", kResume), doctest::Contains("there is no directory"),
                         Error);
    CHECK_FALSE(fs::exists(directory / "absent"));
    fs::create_directory(directory / "other");
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "other", kResume),
                         doctest::Contains("no config.json"), Error);
    for (const char* text : {"{", "", "[]", "3", "{\"command\": 3, \"config\": {}}",
                             "{\"command\": \"train\"}", "{\"command\": \"train\", \"config\": 4}"}) {
      CAPTURE(text);
      write_file_atomically(directory / "other/config.json", text);
      CHECK_THROWS_AS(RunDirectory("train", directory / "other", kResume), Error);
      CHECK(read_file(directory / "other/config.json") == text);
    }
  }

  TEST_CASE("two are never at work in one directory") {
    const TemporaryDirectory directory;
    const std::string path = directory / "run";
    {
      const RunDirectory run("train", path);
      // A lock is of an open file, so a second one in this process is as one in another.
      CHECK_THROWS_WITH_AS(RunDirectory("train", path), doctest::Contains("another process is at work"),
                           Error);
      run.write_config(Json{{"seed", 3}});
      CHECK_THROWS_WITH_AS(RunDirectory("train", path, kResume),
                           doctest::Contains("another process is at work in"), Error);
      CHECK(read_run_config(path) == Json{{"seed", 3}});  // looking is free
    }
    const RunDirectory again("train", path, kResume);
    CHECK_THROWS_AS(RunDirectory("train", path, kResume), Error);
  }

  TEST_CASE("a run that is shared can be joined, and its lock is waited for") {
    const TemporaryDirectory directory;
    const std::string path = directory / "run";
    RunDirectory run("train", path);
    run.write_config(Json::object());
    CHECK_THROWS_AS(RunDirectory("train", path, kResume), Error);
    RunDirectory joined("train", path, RunDirectory::Existing::join);  // takes no lock, so needs none
    CHECK_THROWS_WITH_AS(RunDirectory("encode", path, RunDirectory::Existing::join),
                         doctest::Contains("not of"), Error);
    std::atomic<bool> released = false, had = false;
    std::thread waiting([&] {
      joined.wait_for_lock();
      had = released.load();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    released = true;
    run.share();
    waiting.join();
    CHECK(had);
    CHECK_THROWS_WITH_AS(RunDirectory("train", path, kResume),
                         doctest::Contains("another process is at work"), Error);
    joined.share();
    CHECK_NOTHROW(RunDirectory("train", path, kResume));
  }

  TEST_CASE("what a run would be called by default is not there yet") {
    const TemporaryDirectory directory;
    const WorkingDirectory there(directory.path());
    const std::string first = default_run_path("train");
    CHECK(first.starts_with("runs/train-"));
    const RunDirectory run("train", first);
    CHECK(default_run_path("train") != first);
  }

  TEST_CASE("a lock that a killed process left is none, and a directory with nothing else is empty") {
    const TemporaryDirectory directory;
    fs::create_directory(directory / "run");
    write_file_atomically(directory / "run/lock", "");
    { RunDirectory("train", directory / "run").write_config(Json{{"seed", 3}}); }
    { const RunDirectory again("train", directory / "run", kResume); }
    CHECK_THROWS_WITH_AS(RunDirectory("train", directory / "run"), doctest::Contains("is not empty"), Error);
  }

  TEST_CASE("config.json tells which data a run began with") {
    const TemporaryDirectory directory;
    {
      const RunDirectory run("train", directory / "run");
      run.write_config(Json{{"seed", 3}});
      CHECK(read_run_data(directory / "run").is_null());
      run.write_config(Json{{"seed", 3}}, Json{{"N", 7}});
    }
    CHECK(read_run_data(directory / "run") == Json{{"N", 7}});
    CHECK(read_run_config(directory / "run", "train") == Json{{"seed", 3}});
  }

  TEST_CASE("a full disk is an Error that names the file") {
    const TemporaryDirectory directory;
    const RunDirectory run("train", directory / "run");
    fs::create_symlink("/dev/full", directory / "run/result.json");
    CHECK_THROWS_WITH_AS(run.write_json("result.json", Json{{"x", 1}}),
                         doctest::Contains("result.json': No space left on device; free some space"), Error);
  }
}

}  // namespace elbo
