#include "nn/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "tensor/file.h"

namespace elbo {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors is little-endian, and so is this code");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit, in bytes
constexpr std::string_view kMetadata = "__metadata__";

/// An element type of the format. Half-precision ones are widened when read and never written.
struct ElementType {
  std::string_view name;
  uint64_t bytes;
  DType dtype;
  bool half = false;
};
constexpr std::array kElementTypes{
    ElementType{"F32", 4, DType::f32},       ElementType{"F64", 8, DType::f64},
    ElementType{"U8", 1, DType::u8},         ElementType{"I64", 8, DType::i64},
    ElementType{"F16", 2, DType::f32, true}, ElementType{"BF16", 2, DType::f32, true},
};

/// What the header says of one tensor.
struct Entry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
};

struct Header {
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
};

/// Takes the header apart while it is parsed. Never builds a document, so depth and size of hostile JSON cost
/// nothing, and sees what a document would hide: a name that comes twice.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  explicit HeaderReader(const std::string& path) : path_(path) {}

  Header take() {
    for (const Entry& entry : header_.entries)
      if (!entry.dtype || !entry.shape || !entry.offsets)
        refuse("tensor {} lacks {}", quote(entry.name),
               !entry.dtype   ? "a dtype"
               : !entry.shape ? "a shape"
                              : "data_offsets");
    return std::move(header_);
  }

  bool null() override { misplaced("null"); }
  bool boolean(bool) override { misplaced("true or false"); }
  bool number_integer(number_integer_t value) override {
    refuse("{} holds {}, which is negative", where(), value);
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::list) misplaced("a number");
    if (list_->size() == Shape::kMaxRank)
      fail("[safetensors] {}: {} has more than {} numbers; elbo's tensors have at most {} axes", quote(path_),
           where(), Shape::kMaxRank, Shape::kMaxRank);
    list_->push_back(value);
    return true;
  }
  bool number_float(number_float_t, const string_t& text) override {
    refuse("{} holds {}, which is no integer of 64 bits", where(), quote(text));
  }
  bool string(string_t& text) override {
    if (place_ == Place::metadata)
      header_.metadata[key_] = std::move(text);
    else if (place_ == Place::tensor && key_ == "dtype")
      header_.entries.back().dtype = std::move(text);
    else
      misplaced("a string");
    return true;
  }
  bool binary(binary_t&) override { misplaced("binary data"); }

  bool start_object(size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == kMetadata) {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      header_.entries.push_back({key_, {}, {}, {}});
      place_ = Place::tensor;
    } else {
      misplaced("an object");
    }
    return true;
  }
  bool key(string_t& text) override {
    key_ = std::move(text);
    if (place_ == Place::top && !names_.insert(key_).second) refuse("the name {} comes twice", quote(key_));
    if (place_ == Place::metadata && header_.metadata.count(key_))
      refuse("the metadata key {} comes twice", quote(key_));
    if (place_ == Place::tensor) {
      const Entry& entry = header_.entries.back();
      if (key_ != "dtype" && key_ != "shape" && key_ != "data_offsets")
        refuse("tensor {} has an unknown field {}", quote(entry.name), quote(key_));
      if ((key_ == "dtype" && entry.dtype) || (key_ == "shape" && entry.shape) ||
          (key_ == "data_offsets" && entry.offsets))
        refuse("tensor {} has its {} twice", quote(entry.name), key_);
    }
    return true;
  }
  bool end_object() override {
    place_ = Place::top;  // also after the outermost one: the parser lets nothing follow that
    return true;
  }
  bool start_array(size_t) override {
    if (place_ != Place::tensor || key_ == "dtype") misplaced("a list");
    Entry& entry = header_.entries.back();
    list_ = key_ == "shape" ? &entry.shape.emplace() : &entry.offsets.emplace();
    place_ = Place::list;
    return true;
  }
  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("the header is not valid JSON at its byte {}", position);
  }

 private:
  enum class Place { outside, top, metadata, tensor, list };

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("[safetensors] {}: {}; the file is damaged or of another format", quote(path_),
         fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void misplaced(const char* what) const { refuse("{} may not be {}", where(), what); }
  std::string where() const {
    switch (place_) {
      case Place::outside:
        break;
      case Place::top:
        return fmt::format("the entry {}", quote(key_));
      case Place::metadata:
        return fmt::format("the metadata {}", quote(key_));
      case Place::tensor:
      case Place::list:
        return fmt::format("the {} of tensor {}", key_, quote(header_.entries.back().name));
    }
    return "the header";
  }

  const std::string& path_;
  Header header_;
  std::set<std::string> names_;
  Place place_ = Place::outside;
  std::string key_;
  std::vector<uint64_t>* list_ = nullptr;
};

Header parse_header(const std::string& path, const std::string& text) {
  // The parser would skip a byte order mark and stop at a zero byte, both of which the format forbids.
  if (text.empty() || text[0] != '{' || text.find('\0') != std::string::npos)
    fail("[safetensors] {}: the header is not a JSON object; is this a safetensors file?", quote(path));
  HeaderReader reader(path);
  nlohmann::json::sax_parse(text, &reader);
  return reader.take();
}

/// A tensor whose place in the file has been checked.
struct PlacedTensor {
  const ElementType* type;
  Shape shape;
  uint64_t begin, end;  // bytes from the header's end
};

/// Checks one entry by itself: dtype, shape, and that the two explain its bytes.
PlacedTensor plan_entry(const std::string& path, const Entry& entry) {
  const auto type =
      std::find_if(kElementTypes.begin(), kElementTypes.end(),
                   [&](const ElementType& candidate) { return candidate.name == *entry.dtype; });
  if (type == kElementTypes.end())
    fail("[safetensors] {}: tensor {} has dtype {}; elbo reads F32, F64, U8, I64, F16 and BF16", quote(path),
         quote(entry.name), quote(*entry.dtype));
  // Sizes of 0 are left out of the product, so that no product of some of the axes can overflow either.
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max() / 8;
  uint64_t product = 1;
  PlacedTensor plan{&*type, {}, 0, 0};
  for (uint64_t size : *entry.shape) {
    if (size > kMost / product)
      fail("[safetensors] {}: the shape ({}) of tensor {} overflows; the file is damaged", quote(path),
           fmt::join(*entry.shape, ", "), quote(entry.name));
    product *= std::max<uint64_t>(size, 1);
    plan.shape.push_back(static_cast<int64_t>(size));
  }
  const uint64_t bytes = static_cast<uint64_t>(plan.shape.elements()) * type->bytes;
  const std::vector<uint64_t>& offsets = *entry.offsets;
  if (offsets.size() != 2 || offsets[1] < offsets[0] || offsets[1] - offsets[0] != bytes)
    fail(
        "[safetensors] {}: the data_offsets [{}] of tensor {} do not span the {} bytes of {} {}; the file is "
        "damaged",
        quote(path), fmt::join(offsets, ", "), quote(entry.name), bytes, type->name, plan.shape.str());
  plan.begin = offsets[0];
  plan.end = offsets[1];
  return plan;
}

/// Checks that the tensors tile the data exactly: no gap, no overlap, nothing before or after.
void check_tiling(const std::string& path, const Header& header, const std::vector<PlacedTensor>& plans,
                  uint64_t data_bytes) {
  std::vector<size_t> order(plans.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::pair(plans[a].begin, plans[a].end) < std::pair(plans[b].begin, plans[b].end);
  });
  uint64_t at = 0;
  for (size_t i : order) {
    if (plans[i].begin != at)
      fail("[safetensors] {}: tensor {} starts at byte {} of the data, which {} {}; the file is damaged",
           quote(path), quote(header.entries[i].name), plans[i].begin,
           plans[i].begin < at ? "overlaps another that ends at" : "leaves a gap from", at);
    at = plans[i].end;
  }
  if (at != data_bytes)
    fail("[safetensors] {}: the header describes {} bytes of data, the file has {}; is it complete?",
         quote(path), at, data_bytes);
}

float bfloat16_to_float(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

/// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. Every value is exact in float.
float half_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t{bits} >> 15 << 31, exponent = bits >> 10 & 0x1fu, fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);  // infinity or NaN
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero or subnormal
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

Tensor read_tensor(const InputFile& file, uint64_t offset, const PlacedTensor& plan) {
  const Tensor result = Tensor::empty(plan.shape, plan.type->dtype);
  const std::span<std::byte> bytes{static_cast<std::byte*>(result.bytes()),
                                   static_cast<size_t>(result.byte_count())};
  if (!plan.type->half) {
    file.read(offset, bytes);
    return result;
  }
  std::vector<uint16_t> halves(static_cast<size_t>(result.elements()));
  file.read(offset, std::as_writable_bytes(std::span(halves)));
  std::transform(halves.begin(), halves.end(), result.data<float>(),
                 plan.type->name == "F16" ? half_to_float : bfloat16_to_float);
  return result;
}

/// `text` as a JSON string.
std::string json_string(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail("[safetensors] cannot write the text {}: it is not UTF-8", quote(text));
  }
}

void check_writable(const std::vector<NamedTensor>& tensors) {
  std::set<std::string> names;
  for (const auto& [name, value] : tensors) {
    if (name == kMetadata) fail("[safetensors] the tensor name {} is reserved by the format", quote(name));
    if (!names.insert(name).second)
      fail("[safetensors] two tensors are named {}; names in a file must differ", quote(name));
    if (!value.defined()) fail("[safetensors] tensor {} has no value to write", quote(name));
    if (value.device() != Device::cpu)
      fail("[safetensors] tensor {} is on {}; copy it to the CPU first", quote(name),
           elbo::name(value.device()));
  }
}

std::string_view type_name(DType dtype) {
  const auto matches = [&](const ElementType& type) { return type.dtype == dtype && !type.half; };
  return std::find_if(kElementTypes.begin(), kElementTypes.end(), matches)->name;
}

}  // namespace

bool SafetensorsFile::contains(std::string_view name) const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const NamedTensor& tensor) { return tensor.name == name; });
}

const Tensor& SafetensorsFile::at(std::string_view name) const {
  for (const NamedTensor& tensor : tensors)
    if (tensor.name == name) return tensor.value;
  constexpr size_t kShown = 20;
  std::string known;
  for (size_t i = 0; i < std::min(tensors.size(), kShown); ++i)
    known += (i ? ", " : "") + quote(tensors[i].name);
  if (tensors.size() > kShown) known += fmt::format(" and {} more", tensors.size() - kShown);
  fail("[safetensors] {} has no tensor {}; it has {}", quote(path), quote(name),
       known.empty() ? "none" : known);
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(tensors);
  // Widest elements first in the data, so that all are aligned for readers that map the file.
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].value.dtype()) > size_of(tensors[b].value.dtype());
  });
  std::vector<int64_t> begins(tensors.size());
  std::vector<std::string_view> pieces(2);  // the length and the header, once they are known
  int64_t at = 0;
  for (size_t i : order) {
    const Tensor& value = tensors[i].value;
    begins[i] = at;
    at += value.byte_count();
    pieces.emplace_back(static_cast<const char*>(value.bytes()), static_cast<size_t>(value.byte_count()));
  }

  std::string header = "{";
  const auto begin_entry = [&](const std::string& name) {
    header += fmt::format("{}{}:", header.size() > 1 ? "," : "", json_string(name));
  };
  if (!metadata.empty()) {
    begin_entry(std::string(kMetadata));
    const char* separator = "{";
    for (const auto& [key, text] : metadata) {
      header += fmt::format("{}{}:{}", separator, json_string(key), json_string(text));
      separator = ",";
    }
    header += "}";
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, value] = tensors[i];
    std::vector<int64_t> sizes;
    for (int axis = 0; axis < value.rank(); ++axis) sizes.push_back(value.size(axis));
    begin_entry(name);
    header += fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", type_name(value.dtype()),
                          fmt::join(sizes, ","), begins[i], begins[i] + value.byte_count());
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');  // the data starts 8-byte aligned
  if (header.size() > kMaxHeader)
    fail(
        "[safetensors] a header of {} bytes is over the format's limit of {}; write less metadata or fewer "
        "tensors",
        header.size(), kMaxHeader);

  const auto length = std::bit_cast<std::array<char, kLengthBytes>>(uint64_t{header.size()});
  pieces[0] = {length.data(), length.size()};
  pieces[1] = header;
  write_file_atomically(path, pieces);
}

SafetensorsFile read_safetensors(const std::string& path) {
  const InputFile file(path);
  uint64_t length = 0;
  if (file.size() < kLengthBytes)
    fail("[safetensors] {} has {} bytes, too few for a safetensors file", quote(path), file.size());
  file.read(0, std::as_writable_bytes(std::span(&length, 1)));
  if (length > kMaxHeader || length > file.size() - kLengthBytes)
    fail("[safetensors] {}: a header of {} bytes cannot be in a file of {}; damaged, or another format?",
         quote(path), length, file.size());
  std::string text(length, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(text)));

  Header header = parse_header(path, text);
  std::vector<PlacedTensor> plans;
  for (const Entry& entry : header.entries) plans.push_back(plan_entry(path, entry));
  const uint64_t data = kLengthBytes + length;
  check_tiling(path, header, plans, file.size() - data);

  SafetensorsFile result{{}, std::move(header.metadata), path};
  for (size_t i = 0; i < plans.size(); ++i)
    result.tensors.push_back(
        {std::move(header.entries[i].name), read_tensor(file, data + plans[i].begin, plans[i])});
  return result;
}

}  // namespace elbo
