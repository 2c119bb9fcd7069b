// The cache of decoded images: when it is used, when it is made again, and what a killed process leaves.
#include "datasets/image_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "tensor/parallel.h"
#include "tests/datasets/pictures.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

/// Loads, and says in how many steps images were decoded: none when they came from the cache.
struct Loaded {
  Dataset data;
  int steps = 0;
  std::string notes;

  explicit Loaded(const std::string& spec, int64_t limit = 0) {
    data = load_dataset(spec, {.limit = limit,
                               .progress = [this](int64_t, int64_t) { return ++steps > 0; },
                               .note = [this](const std::string& line) { notes += line; }});
  }
};

/// While it lives, this process may do only what a user without rights may, where it may become one.
class WithoutRights {
 public:
  WithoutRights() {
    if (::geteuid() == 0) REQUIRE(::seteuid(65534) == 0);
  }
  ~WithoutRights() {
    if (::getuid() == 0) CHECK(::seteuid(0) == 0);
  }
};

void put_pictures(const ImageFiles& files, int count) {
  for (int i = 0; i < count; ++i) files.put(fmt::format("{:04}.png", i), png(make_picture(5, 5, 3, i)));
}

/// Changes one byte of a file.
void flip(const std::string& path, int64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(byte);
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("images are decoded once, and again when a file has come, gone or changed") {
    const ImageFiles files;
    put_pictures(files, 12);
    const std::string spec = files.spec(",size=4");
    const Loaded first(spec);
    CHECK(first.steps > 0);
    const Loaded second(spec);
    CHECK(second.steps == 0);
    CHECK(second.data.x.to_vector() == first.data.x.to_vector());
    CHECK(second.data.fingerprint == first.data.fingerprint);
    CHECK(second.data.fingerprint == fingerprint(second.data.x));

    files.put("0100.png", png(make_picture(5, 5, 3, 100)));
    CHECK(Loaded(spec).data.points() == 13);
    fs::remove(files.folder() + "/0003.png");
    CHECK(Loaded(spec).data.points() == 12);
    files.put("0005.png", png(make_picture(6, 5, 3, 77)));  // of another length
    const Loaded changed(spec);
    CHECK(changed.steps > 0);
    CHECK(changed.data.fingerprint != first.data.fingerprint);
    fs::rename(files.folder() + "/0006.png", files.folder() + "/0200.png");
    CHECK(Loaded(spec).steps > 0);
    fs::rename(files.folder() + "/0007.png", files.folder() + "/0007.PNG");  // in the same place
    CHECK(Loaded(spec).steps > 0);
    const auto time = fs::last_write_time(files.folder() + "/0008.png");
    fs::last_write_time(files.folder() + "/0008.png", time + std::chrono::milliseconds(1));
    CHECK(Loaded(spec).steps > 0);
    CHECK(Loaded(spec).steps == 0);
    CHECK(files.cached(".images").size() == 1);
    CHECK(files.cached().size() == 1);
  }

  TEST_CASE("a replaced file is noticed though it has the name, size and time of the one before") {
    const ImageFiles files;
    const std::string name = files.folder() + "/a.png", other = files.folder() + "/../b.png";
    const std::string before = png(plain_picture(4, 4, 10)), after = png(plain_picture(4, 4, 20));
    REQUIRE(before.size() == after.size());
    put(name, before);
    const auto time = fs::last_write_time(name);
    const std::string spec = files.spec(",size=1");
    const auto value = [&] { return static_cast<int>(Loaded(spec).data.x.at(0)); };
    CHECK(value() == 10);
    // Another file takes the name.
    put(other, after);
    fs::last_write_time(other, time);
    fs::rename(other, name);
    CHECK(value() == 20);
    // The same file is written anew, as soon as the file system's clock has gone on.
    const auto changed = [&] {
      struct stat about {};
      REQUIRE(::stat(name.c_str(), &about) == 0);
      return std::pair{about.st_ctim.tv_sec, about.st_ctim.tv_nsec};
    };
    for (const auto last = changed(); changed() == last;) {
      put(name, before);
      fs::last_write_time(name, time);
    }
    CHECK(value() == 10);
    CHECK(Loaded(spec).steps == 0);
  }

  TEST_CASE("a file that cannot be read is tried again, and one that holds no picture is not") {
    const ImageFiles files;
    put_pictures(files, 3);
    files.put("damaged.png", "text");
    fs::create_directories(files.caches());
    fs::permissions(files.caches(), fs::perms::all);
    fs::permissions(fs::path(files.caches()).parent_path(), fs::perms::all);
    const std::string spec = files.spec(",size=4"), closed = files.folder() + "/0001.png";
    fs::permissions(closed, fs::perms::none);
    const std::string note = "2 of 4 files were skipped";
    {
      const WithoutRights without;
      const Loaded first(spec);
      CHECK(first.steps > 0);
      CHECK(first.data.points() == 2);
      CHECK(mentions(first.notes, note));
      CHECK(mentions(first.notes, "1 of them could not be read and will be tried again"));
      CHECK(mentions(read_file(files.cached(".log").at(0)), "'0001.png' [file] cannot open"));
      // It still cannot: the others need not be decoded again for that.
      const Loaded second(spec);
      CHECK(second.steps == 0);
      CHECK(second.data.points() == 2);
      CHECK(second.notes == first.notes);
      CHECK(mentions(error_of([&] { load_dataset(files.spec(",size=4,strict")); }), "'0001.png'"));
    }
    // Root may read it as it is; others change its permissions, and so its status.
    if (::geteuid() != 0) fs::permissions(closed, fs::perms::owner_read);
    const Loaded third(spec);
    CHECK(third.steps > 0);
    CHECK(third.data.points() == 3);
    CHECK(mentions(third.notes, "1 of 4 files were skipped"));
    CHECK_FALSE(mentions(third.notes, "tried again"));
    CHECK(Loaded(spec).steps == 0);
    CHECK(third.data.fingerprint == fingerprint(third.data.x));
  }

  TEST_CASE("a cache names the files to be tried again, after its pixels and its log") {
    const TemporaryDirectory directory;
    const ImageCacheKey key{.options = 1, .listing = 2, .height = 1, .width = 2, .channels = 1};
    {
      ImageCacheWriter writer(directory / "cache", key);
      writer.add("ab", Split::train);
      writer.skip("x", "is odd");
      writer.skip("y", "is closed", 7);
      writer.skip("z", "is closed too", 9);
      writer.finish();
    }
    const auto cache = open_image_cache(directory / "cache", key);
    REQUIRE(cache);
    CHECK(cache->pixels.to_vector() == std::vector<double>{'a', 'b'});
    CHECK(cache->skipped == 3);
    CHECK(cache->first_skipped == "'x' is odd");
    CHECK(cache->unread == std::vector<int64_t>{7, 9});
    CHECK(read_file(directory / "cache.log") == "'x' is odd\n'y' is closed\n'z' is closed too\n");
  }

  TEST_CASE("every cut, size and colour has a cache of its own, and so has every folder") {
    const ImageFiles files;
    put_pictures(files, 3);
    files.put("sub/a.png", png(make_picture(5, 5)));
    files.put("other/sub/a.png", png(make_picture(5, 5)));
    int caches = 0;
    for (const std::string& spec :
         {files.spec(), files.spec(",size=4"), files.spec(",size=4x5"), files.spec(",size=4,grey"),
          files.spec(",size=4,crop=4"), files.spec(",size=4,crop=4x4+0+0"),
          files.spec(",size=4,crop=4x4+1+0"), "images:" + files.folder() + "/sub",
          "images:" + files.folder() + "/other/sub"}) {
      CHECK(Loaded(spec).steps > 0);
      CHECK(files.cached(".images").size() == static_cast<size_t>(++caches));
    }
    // The same in other words.
    for (const std::string& spec :
         {files.spec(",rgb,size=64"), files.spec(",grey,size=4x4"), files.spec("/,size=4"),
          files.spec("/sub/..,size=4"), files.spec(",strict")})
      CHECK(Loaded(spec).steps == 0);
  }

  TEST_CASE("a cache that is damaged, cut short, of another version or something else is made again") {
    const ImageFiles files;
    put_pictures(files, 5);
    const std::string spec = files.spec(",size=4");
    const Loaded whole(spec);
    const std::string cache = files.cached(".images").at(0);
    const auto mended = [&] {
      const Loaded again(spec);
      return again.steps > 0 && again.data.x.to_vector() == whole.data.x.to_vector();
    };
    for (int64_t at = 0; at < 120; ++at) {  // all of the header
      flip(cache, at);
      if (!mended()) FAIL("not noticed at byte ", at);
    }
    for (const uintmax_t size : {uintmax_t{0}, uintmax_t{50}, uintmax_t{4096}, fs::file_size(cache) - 1}) {
      fs::resize_file(cache, size);
      CHECK(mended());
    }
    put(cache, std::string(8000, 'x'));
    CHECK(mended());
  }

  TEST_CASE("pixels are mapped: they take no memory of their own, and writing to them harms no file") {
    const ImageFiles files;
    put_pictures(files, 10);
    const std::string spec = files.spec(",size=32");
    (void)Loaded(spec);
    const size_t before = memory_counters().live;
    const Loaded all(spec), some(spec, 4);
    CHECK(memory_counters().live == before);
    CHECK(some.data.points() == 4);
    CHECK(some.steps == 0);
    CHECK(some.data.x.to_vector() == all.data.x.slice(0, 4).to_vector());
    CHECK(some.data.fingerprint == fingerprint(some.data.x));
    CHECK(some.data.fingerprint != all.data.fingerprint);
    const std::string file = read_file(files.cached(".images").at(0));
    all.data.x.fill(7);
    CHECK(read_file(files.cached(".images").at(0)) == file);
    CHECK(Loaded(spec).data.fingerprint == all.data.fingerprint);
    // The data outlive the file.
    fs::remove(files.cached(".images").at(0));
    CHECK(some.data.x.to_vector().size() == size_t{4 * 32 * 32 * 3});
    const Dataset drawn = load_dataset(spec, {.subset = 3, .seed = 1});
    CHECK(drawn.fingerprint == fingerprint(drawn.x));
  }

  TEST_CASE("the pixels do not depend on the number of threads") {
    const ImageFiles files;
    put_pictures(files, 50);
    files.put("0020.png", "broken");
    std::vector<std::string> fingerprints;
    for (const int count : {1, 2, 5}) {
      const ThreadCount threads(count);
      for (const std::string& cache : files.cached()) fs::remove(cache);
      const Loaded loaded(files.spec(",size=4"));
      CHECK(loaded.data.points() == 49);
      fingerprints.push_back(loaded.data.fingerprint);
    }
    CHECK(fingerprints == std::vector(3, fingerprints[0]));
  }

  TEST_CASE("progress counts up to the number of files, and giving up leaves nothing") {
    const ImageFiles files;
    put_pictures(files, 30);
    std::vector<int64_t> seen;
    (void)load_dataset(files.spec(",size=4"), {.progress = [&](int64_t done, int64_t total) {
                         CHECK(total == 30);
                         seen.push_back(done);
                         return true;
                       }});
    REQUIRE_FALSE(seen.empty());
    CHECK(seen.back() == 30);
    const std::string error = error_of(
        [&] { load_dataset(files.spec(",size=5"), {.progress = [](int64_t, int64_t) { return false; }}); });
    CHECK(mentions(error, "stopped after"));
    CHECK(files.cached().size() == 1);
  }

  TEST_CASE("a killed process leaves no cache, and its leftovers go with the next one") {
    const ImageFiles files;
    put_pictures(files, 30);
    const std::string spec = files.spec(",size=4");
    const pid_t child = ::fork();
    if (child == 0) {
      set_threads(1);  // the parent's threads are not in this process
      load_dataset(spec, {.progress = [](int64_t, int64_t) { return ::raise(SIGKILL) == 0; }});
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(files.cached(".images").empty());
    REQUIRE(files.cached().size() == 1);
    const std::string leftover = files.cached().at(0);
    CHECK(mentions(leftover, ".images.tmp-"));

    // Somebody else's that is being written stays.
    const std::string alive = leftover + "9";
    const int writer = ::open(alive.c_str(), O_RDWR | O_CREAT, 0666);
    REQUIRE(::flock(writer, LOCK_EX) == 0);
    CHECK(Loaded(spec).steps > 0);
    CHECK_FALSE(fs::exists(leftover));
    CHECK(fs::exists(alive));
    CHECK(files.cached(".images").size() == 1);
    CHECK(files.cached().size() == 2);
    ::close(writer);
  }

  TEST_CASE("of two processes that make the same cache both succeed") {
    const ImageFiles files;
    put_pictures(files, 20);
    const std::string spec = files.spec(",size=4");
    // The second runs in the middle of the first.
    int inner_points = 0;
    const Dataset outer = load_dataset(spec, {.progress = [&](int64_t, int64_t) {
                                         if (inner_points == 0)
                                           inner_points = static_cast<int>(Loaded(spec).data.points());
                                         return true;
                                       }});
    CHECK(inner_points == 20);
    CHECK(outer.points() == 20);
    CHECK(files.cached().size() == 1);
  }

  TEST_CASE("caches lie where the environment says, or it is said that they cannot") {
    const ImageFiles files;
    put_pictures(files, 2);
    CHECK(image_cache_directory() == files.caches());
    put(files.caches(), "a file");
    CHECK(mentions(error_of([&] { load_dataset(files.spec()); }), "set ELBO_CACHE to another folder"));
    const auto before = [](const char* name) {
      const char* value = std::getenv(name);
      return value ? std::optional<std::string>(value) : std::nullopt;
    };
    const auto home = before("HOME"), shared = before("XDG_CACHE_HOME");
    ::setenv("ELBO_CACHE", "", 1);
    ::setenv("XDG_CACHE_HOME", "/x", 1);
    ::setenv("HOME", "/h", 1);
    CHECK(image_cache_directory() == "/x/elbo");
    ::unsetenv("XDG_CACHE_HOME");
    CHECK(image_cache_directory() == "/h/.cache/elbo");
    ::unsetenv("HOME");
    CHECK(mentions(error_of([] { image_cache_directory(); }), "set ELBO_CACHE to a folder"));
    if (home) ::setenv("HOME", home->c_str(), 1);
    if (shared) ::setenv("XDG_CACHE_HOME", shared->c_str(), 1);
  }
}

}  // namespace elbo
