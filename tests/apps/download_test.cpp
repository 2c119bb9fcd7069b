// Downloads from a server on this machine: whole, resumed, from the next server; and what must not be left
// behind.
#include "apps/support/download.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "apps/support/transfer.h"
#include "tensor/file.h"
#include "tests/apps/web_server.h"
#include "tests/error_of.h"
#include "tests/file_size_limit.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

using Request = WebServer::Request;
using Answer = WebServer::Answer;

/// Bytes that differ from place to place.
std::string made_up(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

/// A folder to download `bytes` into, as the file "x".
struct Place {
  std::string bytes = made_up(100'000);
  TemporaryDirectory folder;
  std::vector<std::string> notes = {};

  Download from(const std::vector<std::string>& urls) {
    return {.path = folder / "x",
            .urls = urls,
            .bytes = bytes.size(),
            .fault = [this](const std::string& path) { return read_file(path) == bytes ? "" : "is wrong"; },
            .patience = 20,
            .note = [this](const std::string& line) { notes.push_back(line); }};
  }
  std::string error(const Download& what) const {
    return error_of([&] { download(what); });
  }
  bool is_whole() const { return folder.entries() == 1 && read_file(folder / "x") == bytes; }
  void begin(const std::string& part) const { write_file_atomically(folder / "x.part", part); }
};

Answer not_found(const Request&) { return {headers("404 Not Found", 4) + "none"}; }

}  // namespace

TEST_SUITE("apps" * doctest::skip(!can_transfer())) {
  TEST_CASE("a file comes whole, under its name") {
    Place place;
    WebServer server([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    CHECK(download(place.from({server.url("a/x")})) == server.url("a/x"));
    CHECK(place.is_whole());
    REQUIRE(server.requests().size() == 1);
    CHECK(server.requests()[0].path == "/a/x");
  }

  TEST_CASE("a download goes on from what is there, and from where a server broke off") {
    Place place;
    WebServer server([&](const Request& request) {
      std::string answer = file(place.bytes, request.from);
      if (request.from < 70'000) answer.resize(answer.size() - 20'000);
      return Answer{answer};
    });
    place.begin(place.bytes.substr(0, 500));
    CHECK(download(place.from({server.url("x")})) == server.url("x"));
    CHECK(place.is_whole());
    const auto requests = server.requests();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].from == 500);
    CHECK(requests[1].from == 80'000);
    CHECK(place.notes.empty());
  }

  TEST_CASE("a server that knows only whole files sends it whole") {
    Place place;
    WebServer server([&](const Request&) { return Answer{file(place.bytes, 0)}; });
    place.begin(place.bytes.substr(0, 500));
    download(place.from({server.url("x")}));
    CHECK(place.is_whole());
  }

  TEST_CASE("what a server that always breaks off has brought is kept, and the file has no name yet") {
    Place place;
    WebServer server([&](const Request& request) {
      std::string answer = file(place.bytes, request.from);
      if (request.from > 0) return not_found(request);
      answer.resize(answer.size() - 60'000);
      return Answer{answer};
    });
    const std::string error = place.error(place.from({server.url("x")}));
    CHECK(mentions(error, "40000 of its 100000 bytes are kept in '" + place.folder / "x.part"));
    CHECK(mentions(error, server.url("x") + " answered 404"));
    CHECK(place.folder.entries() == 1);
    CHECK(read_file(place.folder / "x.part") == place.bytes.substr(0, 40'000));
    WebServer better([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    download(place.from({better.url("x")}));
    CHECK(place.is_whole());
    CHECK(better.requests()[0].from == 40'000);
  }

  TEST_CASE("the next server is asked when one has no such file, another file, or is not there") {
    Place place;
    const std::string wrong = made_up(100'001);
    WebServer missing(not_found);
    WebServer other([&](const Request&) { return Answer{file(wrong, 0)}; });
    WebServer longer([&](const Request&) { return Answer{"HTTP/1.0 200 OK\r\n\r\n" + wrong}; });
    WebServer shorter([&](const Request&) { return Answer{"HTTP/1.0 200 OK\r\n\r\nWelcome"}; });
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    const std::string gone = WebServer(not_found).url("x");
    CHECK(download(place.from({missing.url("x"), other.url("x"), longer.url("x"), shorter.url("x"), gone,
                               good.url("x")})) == good.url("x"));
    CHECK(place.is_whole());
    REQUIRE(place.notes.size() == 5);
    CHECK(place.notes[0] == missing.url("x") + " answered 404");
    CHECK(place.notes[1] == other.url("x") + " has 100001 bytes, not 100000");
    CHECK(place.notes[2] == longer.url("x") + " has more than 100000 bytes");
    CHECK(place.notes[3] == shorter.url("x") + " ended at 7 of 100000 bytes");
    CHECK(mentions(place.notes[4], gone + " failed: "));
  }

  TEST_CASE("a server that falls silent is given up, and what was there is kept") {
    Place place;
    place.begin(place.bytes.substr(0, 500));
    WebServer silent([&](const Request& request) {
      return Answer{file(place.bytes, request.from).substr(0, 20), true};
    });
    Download what = place.from({silent.url("x")});
    what.patience = 0.3;
    CHECK(mentions(place.error(what), silent.url("x") + " sent nothing for 0.30 s"));
    CHECK(silent.requests().size() == 1);
    CHECK(read_file(place.folder / "x.part") == place.bytes.substr(0, 500));
  }

  TEST_CASE("a file that is wrong is deleted, and the next server asked for all of it") {
    Place place;
    const std::string wrong(100'000, 'w');
    WebServer bad([&](const Request& request) { return Answer{file(wrong, request.from)}; });
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    CHECK(place.error(place.from({bad.url("x")})) ==
          "[download] '" + place.folder / "x' could not be had: " + bad.url("x") + " is wrong");
    CHECK(place.folder.entries() == 0);
    CHECK(download(place.from({bad.url("x"), good.url("x")})) == good.url("x"));
    CHECK(place.is_whole());
    CHECK(good.requests()[0].from == 0);
  }

  TEST_CASE("where the wrong beginning was another server's, the right one is asked for all of it") {
    Place place;
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    place.begin(std::string(500, 'w'));
    CHECK(download(place.from({good.url("x")})) == good.url("x"));
    CHECK(place.is_whole());
    const auto requests = good.requests();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0].from == 500);
    CHECK(requests[1].from == 0);
  }

  TEST_CASE("a part that is whole needs no server, and one that is too long or wrong counts for nothing") {
    Place place;
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    place.begin(place.bytes);
    CHECK(download(place.from({})) == "");
    CHECK(place.is_whole());
    for (const std::string& part : {place.bytes + "more", std::string(100'000, 'w')}) {
      place.begin(part);
      CHECK(download(place.from({good.url("x")})) == good.url("x"));
      CHECK(place.is_whole());
    }
    for (const Request& request : good.requests()) CHECK(request.from == 0);
  }

  TEST_CASE("a part of the file other than the one asked for is refused, and nothing of it is kept") {
    Place place;
    place.begin(place.bytes.substr(0, 500));
    const auto refusal = [&](const std::string& range) {
      WebServer server([&](const Request&) {
        return Answer{headers("206 Partial Content", 99'600, range) + std::string(99'600, 'w')};
      });
      return place.error(place.from({server.url("x")}));
    };
    CHECK(mentions(refusal("Content-Range: bytes 400-99999/100000\r\n"), "another part of the file"));
    CHECK(mentions(refusal("Content-Range: bytes 500-99999/200000\r\n"), "has 200000 bytes, not 100000"));
    for (const char* nonsense : {"", "Content-Range: bytes */100000\r\n", "Content-Range: bytes -5-9/x\r\n"})
      CHECK(mentions(refusal(nonsense), "without saying which"));
    CHECK(read_file(place.folder / "x.part") == place.bytes.substr(0, 500));
    // That a server does not know the size is no fault.
    CHECK(mentions(refusal("Content-Range: bytes 500-99999/*\r\n"), "more than 100000 bytes"));
  }

  TEST_CASE("redirects are followed within http, and to nowhere else") {
    Place place;
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    const auto moved = [](const std::string& to) {
      return [to](const Request&) {
        return Answer{headers("302 Found", 4, "Location: " + to + "\r\n") + "gone"};
      };
    };
    WebServer to_good(moved(good.url("x")));
    download(place.from({to_good.url("x")}));
    CHECK(place.is_whole());
    std::filesystem::rename(place.folder / "x", place.folder / "secret");
    const std::string secret = "file://" + place.folder / "secret";
    for (const std::string& elsewhere : {secret, std::string("ftp://127.0.0.1/x")}) {
      WebServer to_elsewhere(moved(elsewhere));
      for (const std::string& url : {to_elsewhere.url("x"), elsewhere})
        CHECK(mentions(place.error(place.from({url})), url + " failed: Protocol "));
    }
    WebServer to_itself(moved("/in/circles"));
    CHECK(mentions(place.error(place.from({to_itself.url("x")})), "redirects"));
    CHECK(place.folder.entries() == 1);
  }

  TEST_CASE("giving up is an error that says what is kept, also while a server is silent") {
    Place place;
    WebServer server([&](const Request&) {
      return Answer{headers("200 OK", 100'000) + place.bytes.substr(0, 30'000), true};
    });
    Download what = place.from({server.url("x")});
    what.progress = [](uint64_t done) { return done < 30'000; };
    CHECK(mentions(place.error(what), "stopped; 30000 of its 100000 bytes are kept"));
    CHECK(read_file(place.folder / "x.part") == place.bytes.substr(0, 30'000));
  }

  TEST_CASE("progress is told to the end") {
    Place place;
    place.begin(place.bytes.substr(0, 500));
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    Download what = place.from({good.url("x")});
    std::vector<uint64_t> told;
    what.progress = [&](uint64_t done) {
      told.push_back(done);
      return true;
    };
    download(what);
    REQUIRE_FALSE(told.empty());
    CHECK(told.front() == 500);
    CHECK(told.back() == 100'000);
    CHECK(std::is_sorted(told.begin(), told.end()));
  }

  TEST_CASE("a disk that is full ends a download, which keeps what has come and asks no other server") {
    Place place;
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    {
      const FileSizeLimit limit(40'000);
      const std::string error = place.error(place.from({good.url("x"), good.url("y")}));
      CHECK(mentions(error, "cannot write '" + place.folder / "x.part'"));
    }
    CHECK(good.requests().size() == 1);
    const std::string part = read_file(place.folder / "x.part");
    CHECK(part == place.bytes.substr(0, part.size()));
    download(place.from({good.url("x")}));
    CHECK(place.is_whole());
  }

  TEST_CASE("a folder that takes no file is an error before any server is asked") {
    Place place;
    WebServer good([&](const Request& request) { return Answer{file(place.bytes, request.from)}; });
    Download what = place.from({good.url("x")});
    what.path = place.folder / "none/x";
    CHECK(mentions(place.error(what), "No such file"));
    CHECK(good.requests().empty());
  }
}

}  // namespace elbo
