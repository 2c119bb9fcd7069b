// ArrayOutput: arrays that are written together, some rows of each at a time, so that none is ever whole in
// memory. NumPy opens what they become: one .npz file, or a folder with a .npy file for each.
//
//   ArrayOutput out("codes.npz", ArrayOutput::Format::npz, {{"means", DType::f32, {n, k}}});
//   for (...) out.append(0, rows);            // (some, k), the next ones
//   out.finish();
//
// Files have their names only when all are whole. The same arrays make the same bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/new_file.h"
#include "datasets/zip_parts.h"
#include "tensor/tensor.h"

namespace elbo {

struct ArrayPlan {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  ///< (N, ...)
};

class ArrayOutput {
 public:
  enum class Format { npz, npy };

  /// `path` is that of the file, or of the folder, which is made with its missing parents. Throws Error when
  /// there is such a file, anything in such a folder, or nothing can be written there.
  ArrayOutput(const std::string& path, Format format, const std::vector<ArrayPlan>& arrays);

  /// The next rows of an array, on the CPU. Throws Error for another type or shape, and more rows than
  /// planned.
  void append(size_t array, const Tensor& rows);
  /// Throws Error unless all rows have been appended.
  void finish();

 private:
  struct Place {
    ArrayPlan plan;
    NewFile* file = nullptr;
    uint64_t at = 0, end = 0;  ///< where the next row and where what follows the array begins
    uint32_t crc = 0;          ///< of what is written of it
  };
  /// Folders that were made for the files; those that stay empty go again.
  struct MadeFolders {
    std::vector<std::string> paths;  // innermost last
    void make(const std::string& path);
    ~MadeFolders();
  };
  void write(Place& place, std::string_view bytes);
  void plan_npz(const std::string& path);
  void plan_npy(const std::string& path);

  Format format_;
  MadeFolders folders_;                          // outlive the files in them
  std::vector<std::unique_ptr<NewFile>> files_;  // one for all arrays, or one for each
  std::vector<Place> places_;
  std::vector<ZipEntry> entries_;  // of an .npz
};

}  // namespace elbo
