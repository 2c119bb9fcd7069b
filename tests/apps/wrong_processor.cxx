// A program that must never come this far (wrong_processor.sh): what runs before main counts, too.
#include <unistd.h>

namespace {
const int early = [] {
  const char text[] = "an initialiser ran\n";
  return static_cast<int>(write(STDERR_FILENO, text, sizeof text - 1));
}();
}  // namespace

int main() { return early > 0 ? 0 : 1; }
