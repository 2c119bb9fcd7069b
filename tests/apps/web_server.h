// WebServer: a web server on this machine that answers as a test tells it to: whole, in part, wrongly, not at
// all.
//
//   WebServer server([](const WebServer::Request& request) { return file(bytes, request.from); });
//   download({.urls = {server.url("x.gz")}, ...});
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace elbo {

class WebServer {
 public:
  struct Request {
    std::string path;   // "/x.gz"
    uint64_t from = 0;  // of its Range; 0 without
  };
  struct Answer {
    std::string bytes;            // headers, an empty line, the body
    bool then_is_silent = false;  // rather than end the connection
  };

  explicit WebServer(std::function<Answer(const Request&)> answer) : answer_(std::move(answer)) {
    ::setenv("no_proxy", "127.0.0.1", 1);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~WebServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (const int connection : silent_) ::close(connection);
  }
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;

  std::string url(const std::string& file) const {
    return fmt::format("http://127.0.0.1:{}/{}", port_, file);
  }
  /// Those so far.
  std::vector<Request> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (int connection = 0; (connection = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      std::string text;
      for (char c = 0; !text.ends_with("\r\n\r\n") && ::recv(connection, &c, 1, 0) == 1;) text += c;
      Request request{text.substr(4, text.find(' ', 4) - 4)};
      constexpr std::string_view kRange = "Range: bytes=";
      const size_t range = text.find(kRange);
      if (range != std::string::npos) request.from = std::stoull(text.substr(range + kRange.size()));
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const Answer answer = answer_(request);
      for (std::string_view left = answer.bytes; !left.empty();) {
        const ssize_t sent = ::send(connection, left.data(), left.size(), MSG_NOSIGNAL);
        if (sent <= 0) break;
        left.remove_prefix(static_cast<size_t>(sent));
      }
      if (answer.then_is_silent)
        silent_.push_back(connection);
      else
        ::close(connection);
    }
  }

  std::function<Answer(const Request&)> answer_;
  int listener_ = -1, port_ = 0;
  std::vector<int> silent_;  // connections; the thread's until it has ended
  std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

/// The status line and headers of an answer with `size` bytes to follow.
inline std::string headers(const std::string& status, uint64_t size, const std::string& more = "") {
  return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n", status, size, more);
}

/// The file from a byte on, as a server that knows Range sends it.
inline std::string file(const std::string& bytes, uint64_t from) {
  if (from == 0) return headers("200 OK", bytes.size()) + bytes;
  return headers("206 Partial Content", bytes.size() - from,
                 fmt::format("Content-Range: bytes {}-{}/{}\r\n", from, bytes.size() - 1, bytes.size())) +
         bytes.substr(from);
}

}  // namespace elbo
