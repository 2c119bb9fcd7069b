#include <fmt/format.h>

#include <complex>

#include "datasets/mobius_network.h"

namespace elbo {

Tensor mobius_transform(const Tensor& z) {
  if (z.rank() != 2 || z.size(1) != 2) fail("[mobius_transform] z must be (N, 2), got {}", z.shape().str());
  const Tensor values = Tensor::empty(z.shape(), DType::f64);
  for (int64_t n = 0; n < z.size(0); ++n) {
    const std::complex<double> at(z.at(2 * n), z.at(2 * n + 1));
    const std::complex<double> to = (at + std::complex<double>(1, 4)) / (at + std::complex<double>(7, 4));
    values.data<double>()[2 * n] = to.real();
    values.data<double>()[2 * n + 1] = to.imag();
  }
  return values;
}

std::string mobius_network_source(const ReluNet& net) {
  std::string text =
      "// Written by `elbo yacoby-mobius --write`; not to be edited.\n"
      "#include \"datasets/mobius_network.h\"\n\n"
      "namespace elbo {\n\n"
      "// clang-format off\n";
  text += fmt::format("const char* const kMobiusFingerprint = \"{}\";\n\n", fingerprint(net));
  text += "ReluNet mobius_network() {\n";
  const auto add = [&](const char* name, const Tensor& values, const std::string& shape) {
    text += fmt::format("  const Tensor {} = Tensor::from<double>({{{}}}, {{", name, shape);
    const std::vector<double> numbers = values.to_vector();
    for (size_t i = 0; i < numbers.size(); ++i)
      text += fmt::format("{}{:.17g}", i == 0 ? "\n      " : i % 4 == 0 ? ",\n      " : ", ", numbers[i]);
    text += "});\n";
  };
  const int64_t hidden = net.hidden_bias.elements();
  add("hidden_weight", net.hidden_weight, fmt::format("{}, 2", hidden));
  add("hidden_bias", net.hidden_bias, std::to_string(hidden));
  add("output_weight", net.output_weight, fmt::format("2, {}", hidden));
  add("output_bias", net.output_bias, "2");
  return text +
         "  return {hidden_weight, hidden_bias, output_weight, output_bias};\n"
         "}\n"
         "// clang-format on\n\n"
         "}  // namespace elbo\n";
}

}  // namespace elbo
