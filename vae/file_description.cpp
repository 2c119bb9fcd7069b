#include "vae/file_description.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "tensor/error.h"

namespace elbo {
namespace {

int64_t number_of(const SafetensorsFile& file, const char* what, std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 1 || number > (1 << 20))
    fail("[load] {}: the metadata's '{}' must be a positive number, got '{}'", file.path, what, text);
  return number;
}

}  // namespace

const std::string& described(const SafetensorsFile& file, const char* what) {
  const auto found = file.metadata.find(what);
  if (found == file.metadata.end())
    fail("[load] {}: the metadata do not say '{}'; is it a model that elbo train wrote?", file.path, what);
  return found->second;
}

int64_t number_in(const SafetensorsFile& file, const char* what) {
  return number_of(file, what, described(file, what));
}

double decimal_in(const SafetensorsFile& file, const char* what) {
  const std::string& text = described(file, what);
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(number > 0) || !std::isfinite(number))
    fail("[load] {}: the metadata's '{}' must be a positive number, got '{}'", file.path, what, text);
  return number;
}

std::vector<int64_t> numbers_in(const SafetensorsFile& file, const char* what) {
  std::vector<int64_t> numbers;
  std::string_view rest = described(file, what);
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    numbers.push_back(number_of(file, what, rest.substr(0, comma)));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return numbers;
}

bool is_model_of(const SafetensorsFile& file, std::string_view prefix) {
  const auto model = file.metadata.find("model");
  return model != file.metadata.end() && model->second.starts_with(prefix);
}

void check_sizes(const SafetensorsFile& file, int64_t dimensions, const std::vector<int64_t>& hidden,
                 int64_t latent) {
  int64_t held = 0, in = dimensions;
  for (const NamedTensor& tensor : file.tensors) held += tensor.value.elements();
  std::vector<int64_t> widths = hidden;
  widths.push_back(latent);
  for (const int64_t width : widths) {
    if (in * width > held)
      fail("[load] {}: the metadata speak of a larger network than the file holds", file.path);
    in = width;
  }
}

}  // namespace elbo
