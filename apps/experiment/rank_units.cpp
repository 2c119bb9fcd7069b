#include "apps/experiment/rank_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/support/folder_files.h"
#include "apps/support/interrupt.h"
#include "apps/support/leases.h"
#include "apps/support/log.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBetweenLooks{10}, kBetweenAsking{200};
constexpr double kPatience = 20;  // seconds for ranks to send back what they have begun

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Where a folder of the directory is, which is made.
std::string folder_in(const RunDirectory& directory, const std::string& folder) {
  return fs::path(directory.file(folder + "x")).parent_path().string();
}

/// What the root says to a rank, received beside its work, and the signs of life that it gives.
class Mail {
 public:
  Mail(Ranks& ranks, double lease) : ranks_(ranks), lease_(lease), thread_([this] { run(); }) {}
  ~Mail() {
    ends_ = true;
    thread_.join();
  }

  RankLetter wait() {
    std::unique_lock lock(mutex_);
    come_.wait(lock, [&] { return !letters_.empty(); });
    RankLetter letter = std::move(letters_.front());
    letters_.pop_front();
    return letter;
  }
  /// What it is at, and in which folder; no longer lost.
  void begin(const Json& unit, const std::string& folder) {
    const std::lock_guard guard(mutex_);
    unit_ = unit;
    folder_ = folder;
    lost_ = false;
    share_ = 0;
    sent_files_ = Clock::now();
  }
  void end() {
    const std::lock_guard guard(mutex_);
    unit_ = nullptr;
  }
  bool lost() const { return lost_; }
  void say(double share, const std::function<std::string()>& text) {
    if (!wants_text_.exchange(false)) return;
    const std::string now = text ? text() : "";
    const std::lock_guard guard(mutex_);
    share_ = share;
    text_ = now;
  }

 private:
  void run() {
    Clock::time_point beat = Clock::now();
    while (!ends_) {
      while (const auto message = ranks_.receive()) {
        RankLetter letter = letter_in(*message);
        if (letter.word == "stop") {
          stop_this_process();
        } else if (letter.word == "lost") {
          const std::lock_guard guard(mutex_);
          lost_ = lost_ || is_at(letter.about);  // not where it is about the unit before
        } else {
          const std::lock_guard guard(mutex_);
          letters_.push_back(std::move(letter));
          come_.notify_all();
        }
      }
      if (seconds_since(beat) > lease_ / kBeatsPerLease) {
        try {
          give_sign();
        } catch (const std::exception& error) {  // the next one may succeed
          log_line(fmt::format("elbo: {}", error.what()));
        }
        beat = Clock::now();
      }
      std::this_thread::sleep_for(kBetweenLooks);
    }
  }
  /// Whether a letter is about the unit that it is at.
  bool is_at(const Json& about) const {
    return !unit_.is_null() && about.is_object() && unit_.at("key") == about.value("key", "") &&
           unit_.at("number") == about.value("number", 0);
  }
  void give_sign() {
    Json about;
    std::string folder;
    {
      const std::lock_guard guard(mutex_);
      about = unit_;
      if (!about.is_null()) {
        about["share"] = share_;
        about["text"] = text_;
        if (seconds_since(sent_files_) > lease_) folder = folder_;
      }
    }
    wants_text_ = true;
    std::optional<std::string> files;
    if (!folder.empty()) {
      files = pack_at_rest(folder);
      const std::lock_guard guard(mutex_);
      sent_files_ = Clock::now();
      if (!is_at(about)) {  // done meanwhile
        about = nullptr;
        files.reset();
      }
    }
    send(ranks_, 0, files ? "files" : "beat", about, files.value_or(""));
  }

  Ranks& ranks_;
  double lease_;
  std::mutex mutex_;  // of what follows
  std::condition_variable come_;
  std::deque<RankLetter> letters_;
  Json unit_ = nullptr;
  std::string folder_, text_;
  double share_ = 0;
  Clock::time_point sent_files_;
  std::atomic<bool> ends_ = false, lost_ = false, wants_text_ = true;
  std::thread thread_;
};

}  // namespace

RankServer::RankServer(Ranks& ranks, const std::vector<Unit>& units, const std::vector<std::string>& only,
                       const RunDirectory& directory, double lease)
    : ranks_(ranks), directory_(directory), lease_(lease), claims_(directory, lease) {
  for (const Unit& unit : units)
    if (is_chosen(unit, only)) units_.push_back(unit);
  std::stable_sort(units_.begin(), units_.end(),
                   [](const Unit& a, const Unit& b) { return a.cost > b.cost; });
  for (int rank = 1; rank < ranks.count(); ++rank) others_.try_emplace(rank);
  thread_ = std::thread([this] { serve(); });
}

RankServer::~RankServer() {
  ends_ = true;
  thread_.join();
}

void RankServer::serve() {
  std::optional<Clock::time_point> stopped;
  std::string said;  // the latest failure
  while (true) {
    while (const auto message = ranks_.receive()) try {
        answer(*message);
      } catch (const std::exception& error) {  // as on a full disk, which the root meets itself
        if (std::exchange(said, error.what()) != error.what()) log_line("elbo: " + said);
      }
    bool working = false;
    for (auto& [number, rank] : others_) {
      working |= rank.working;
      if (rank.claimed && seconds_since(rank.heard) > lease_) {
        log_line(fmt::format("elbo: rank {} on {} gave no sign of life; {} goes to another", number,
                             rank.host, rank.claimed->lease().name()));
        rank.claimed.reset();
      }
    }
    if (ends_ && !stopped) {
      stopped = Clock::now();
      for (const auto& [number, rank] : others_)
        if (rank.claimed) send(ranks_, number, "stop");
    }
    if (ends_ && (!working || seconds_since(*stopped) > kPatience)) break;
    std::this_thread::sleep_for(kBetweenLooks);
  }
  for (const auto& [number, rank] : others_) send(ranks_, number, "end");
}

bool RankServer::is_of(const Rank& rank, const Json& about) const {
  return rank.claimed && about.is_object() && about.value("key", "") == rank.claimed->lease().name() &&
         about.value("number", 0) == rank.claimed->lease().number();
}

void RankServer::answer(const RankMessage& message) {
  Rank& rank = others_.at(message.from);
  const RankLetter letter = letter_in(message);
  rank.heard = Clock::now();
  if (letter.word == "ask") {
    rank.host = letter.about.value("host", "");
    give_unit(message.from);
  } else if (letter.word == "leave" || letter.word == "failed") {
    rank.working = false;
    rank.claimed.reset();
    if (letter.word == "failed")
      log_line(fmt::format("elbo: rank {} on {} works no more: {}", message.from,
                           letter.about.value("host", ""), letter.about.value("error", "")));
  } else if (!letter.about.is_null() && !is_of(rank, letter.about)) {
    send(ranks_, message.from, "lost", letter.about);
  } else if (letter.word == "files" || letter.word == "done" || letter.word == "returned") {
    take_back(rank, letter);
  }
  if (rank.claimed && letter.about.contains("share"))
    rank.claimed->lease().say(letter.about["share"], [&] { return letter.about.value("text", ""); });
}

void RankServer::give_unit(int to) {
  Rank& rank = others_.at(to);
  rank.claimed.reset();
  if (ends_) return send(ranks_, to, "leave");
  for (const Unit& unit : units_) {
    if (!unit.parts.empty()) continue;  // they lie here, so the root joins them
    auto claimed = claims_.take(unit, fmt::format("rank {} on {}", to, rank.host));
    if (!claimed) continue;
    const std::string folder = folder_in(directory_, claimed->folder());
    const auto files = claimed->resuming() ? pack_at_rest(folder) : std::nullopt;
    send(ranks_, to, "unit",
         {{"key", unit.key}, {"number", claimed->lease().number()}, {"resuming", files.has_value()}},
         files.value_or(""));
    rank.claimed = std::move(claimed);
    return;
  }
  send(ranks_, to, "wait");
}

void RankServer::take_back(Rank& rank, const RankLetter& letter) {
  const std::string folder = folder_in(directory_, rank.claimed->folder());
  unpack(letter.files, folder);
  if (letter.word == "done") rank.claimed->publish(read_json(folder + "/unit.json"));
  if (letter.word != "files") rank.claimed.reset();  // one that was returned is for others, from there on
}

namespace {

/// Until the root has no more, or this process is interrupted. Whether the root has said "end".
bool work_until_told(Mail& mail, Ranks& ranks, const std::vector<Unit>& units, const RunDirectory& directory,
                     const Json& origin) {
  while (!interrupted()) {
    send(ranks, 0, "ask", {{"host", host_name()}});
    const RankLetter letter = mail.wait();
    if (letter.word == "end") return true;
    if (letter.word == "leave") break;
    if (letter.word == "wait") {
      std::this_thread::sleep_for(kBetweenAsking);
      continue;
    }
    const std::string key = letter.about.at("key");
    const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.key == key; });
    if (unit == units.end())
      fail("[mpi] the root asks for {}, which is no unit here; are all of the same version?", quote(key));
    const std::string folder = fmt::format("{}/{}.{}/", kRunning, key, letter.about.at("number").get<int>());
    const std::string full = folder_in(directory, folder);
    if (letter.about.at("resuming")) unpack(letter.files, full);
    mail.begin(letter.about, full);
    const UnitPlace place{directory, folder, letter.about.at("resuming"),
                          [&](double share, const std::function<std::string()>& text) {
                            if (mail.lost()) throw LostUnit();
                            mail.say(share, text);
                          }};
    const auto kept = run_unit(*unit, place, origin, [&] { return mail.lost(); });
    mail.end();
    if (kept) directory.write_json(folder + "unit.json", *kept);
    if (!mail.lost())
      send(ranks, 0, kept ? "done" : "returned", letter.about, pack_at_rest(full).value_or(""));
    std::error_code ignored;
    fs::remove_all(full, ignored);
  }
  return false;
}

}  // namespace

void work_for_root(Ranks& ranks, const std::vector<Unit>& units, const RunDirectory& directory,
                   const Json& origin, double lease) {
  Mail mail(ranks, lease);  // which may have the root's "end" while a unit still runs
  try {
    if (work_until_told(mail, ranks, units, directory, origin)) return;
    send(ranks, 0, "leave");
  } catch (const std::exception& error) {
    say_failed(ranks, error);
  }
  while (mail.wait().word != "end") continue;
}

}  // namespace elbo
