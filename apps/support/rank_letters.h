// What ranks (ranks.h) say to each other: letters of a word, what belongs to it, and files; and what is the
// same for all that mpirun starts. Knows no experiment and no training.
#pragma once

#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "apps/support/json.h"
#include "apps/support/ranks.h"

namespace elbo {

struct RankLetter {
  std::string word;
  Json about;
  std::string files;
};
void send(Ranks& ranks, int to, const std::string& word, const Json& about = nullptr,
          std::string_view files = {});
RankLetter letter_in(const RankMessage& message);
/// The next that comes; asleep until then.
RankLetter next_letter(Ranks& ranks);

/// Tells the root that this rank works no more, and why.
void say_failed(Ranks& ranks, const std::exception& error);

/// What the root says to the others where it has nothing, or nothing more, for them: the word "end".
void end_ranks(Ranks& ranks);

/// The cores of this process, if mpirun gave it some; else its share of all.
int64_t threads_of(const Ranks& ranks);

/// A folder of this rank's, for as long as it works.
class OwnFolder {
 public:
  OwnFolder();
  ~OwnFolder();
  OwnFolder(const OwnFolder&) = delete;
  OwnFolder& operator=(const OwnFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace elbo
