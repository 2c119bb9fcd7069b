// Paths: a build for any processor (ELBO_NATIVE=OFF) is several programs. `elbo` itself runs on every
// processor of its architecture. Beside it, in a folder of the path's name, lie others with the same
// commands, whose numeric libraries are compiled for more (cmake/paths.cmake). It hands over to the best of
// those that the processor can run, or to the one that the environment's ELBO_CPU names.
//
// They are programs, and not functions side by side in one, because a function of a header is compiled into
// many files and the linker keeps one of them: the path for every processor would get some that need AVX-512.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace elbo::processor {

/// The path that this program is: "native", the only one of its build, "baseline", or a level of x86-64 as
/// "v3".
extern const char* const own_path;

struct Path {
  std::string name;
  uint64_t needs;  // extensions, as in processor.h
};

/// What this build is made of, each better than those before; the program that is called is the first.
const std::vector<Path>& all_paths();

/// The file of a path other than the first, for the program `called`: beside it where it was built, in
/// libexec where it was installed. Empty where there is none.
std::string file_of_path(const std::string& called, const std::string& path);

/// Which path to take, or why that cannot be said: one of the two is empty.
struct Choice {
  std::string path, error;
};

/// Of `paths` the one that is `wanted` or, for null and "", the last one that needs nothing beyond what is
/// `present` and that `has_file`.
Choice choose_path(const std::vector<Path>& paths, const char* wanted, uint64_t present,
                   const std::function<bool(const std::string&)>& has_file);

/// The program to run in the place of this one, whose file is `called`: itself where it is right. An error
/// where ELBO_CPU asks for what cannot be.
struct Program {
  std::string file, error;
};
Program program_to_run(const std::string& called);

}  // namespace elbo::processor
