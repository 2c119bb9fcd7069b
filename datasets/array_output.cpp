#include "datasets/array_output.h"

#include <unistd.h>
#include <zlib.h>

#include <filesystem>

#include "datasets/npy.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

uint32_t crc_of(uint32_t before, std::string_view bytes) {
  return static_cast<uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

uint64_t byte_count(const ArrayPlan& plan) {
  return static_cast<uint64_t>(plan.shape.elements()) * static_cast<uint64_t>(size_of(plan.dtype));
}

}  // namespace

ArrayOutput::ArrayOutput(const std::string& path, Format format, const std::vector<ArrayPlan>& arrays)
    : format_(format) {
  for (const ArrayPlan& plan : arrays) places_.push_back({.plan = plan});
  if (format == Format::npz)
    plan_npz(path);
  else
    plan_npy(path);
  for (Place& place : places_) write(place, npy_header(place.plan.dtype, place.plan.shape));
}

void ArrayOutput::MadeFolders::make(const std::string& path) {
  fs::path so_far;
  std::error_code error;
  for (const fs::path& part : fs::path(path)) {
    so_far /= part;
    if (part.empty()) continue;  // the end of "a/b/"
    if (fs::create_directory(so_far, error)) paths.push_back(so_far.string());
    if (error) fail("[file] cannot make the folder {}: {}", quote(so_far.string()), error.message());
  }
}

ArrayOutput::MadeFolders::~MadeFolders() {
  for (auto folder = paths.rbegin(); folder != paths.rend(); ++folder)
    if (::rmdir(folder->c_str()) != 0) return;  // which refuses what holds anything
}

void ArrayOutput::plan_npz(const std::string& path) {
  if (fs::is_directory(path)) fail("[file] {} is a folder; name a file", quote(path));
  folders_.make(fs::path(path).parent_path().string());
  files_.push_back(std::make_unique<NewFile>(path));
  uint64_t at = 0;
  for (Place& place : places_) {
    const uint64_t size = npy_header(place.plan.dtype, place.plan.shape).size() + byte_count(place.plan);
    entries_.push_back({.name = place.plan.name + ".npy", .size = size, .offset = at});
    place.file = files_[0].get();
    place.at = at + zip_header(entries_.back()).size();
    place.end = at = place.at + size;
  }
}

void ArrayOutput::plan_npy(const std::string& path) {
  std::error_code error;
  if (fs::exists(path, error) && !fs::is_directory(path, error))
    fail("[file] {} is a file; name a folder", quote(path));
  if (fs::is_directory(path, error) && !fs::is_empty(path, error))
    fail("[file] {} is not empty and nothing is written over; name a new folder", quote(path));
  folders_.make(path);
  for (Place& place : places_) {
    files_.push_back(std::make_unique<NewFile>((fs::path(path) / (place.plan.name + ".npy")).string()));
    place.file = files_.back().get();
    place.end = npy_header(place.plan.dtype, place.plan.shape).size() + byte_count(place.plan);
  }
}

void ArrayOutput::write(Place& place, std::string_view bytes) {
  place.file->write(place.at, bytes);
  place.at += bytes.size();
  if (format_ == Format::npz) place.crc = crc_of(place.crc, bytes);
}

void ArrayOutput::append(size_t array, const Tensor& rows) {
  Place& place = places_.at(array);
  const Shape& whole = place.plan.shape;
  Shape some = whole;
  if (rows.rank() > 0 && some.rank() > 0) some[0] = rows.size(0);
  if (!(rows.shape() == some) || rows.dtype() != place.plan.dtype ||
      static_cast<uint64_t>(rows.byte_count()) > place.end - place.at)
    fail("[arrays] rows of {} {} do not fit what is left of {}, {} {}", name(rows.dtype()),
         rows.shape().str(), place.plan.name, name(place.plan.dtype), whole.str());
  write(place, {static_cast<const char*>(rows.bytes()), static_cast<size_t>(rows.byte_count())});
}

void ArrayOutput::finish() {
  for (const Place& place : places_)
    if (place.at != place.end) fail("[arrays] {} is not complete", place.plan.name);
  if (format_ == Format::npz) {
    uint64_t end = 0;
    for (size_t i = 0; i < places_.size(); ++i) {
      entries_[i].crc = places_[i].crc;
      files_[0]->write(entries_[i].offset, zip_header(entries_[i]));
      end = places_[i].end;
    }
    files_[0]->write(end, zip_directory(entries_, end));
  }
  for (const auto& file : files_) file->finish();
}

}  // namespace elbo
