// A codebook as Python holds it, and bytes in and out.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <memory>
#include <span>

#include "codebook.h"

namespace shortlist::bindings {

namespace nb = nanobind;

struct PyCodebook {
  std::shared_ptr<const Codebook> codebook;
};

// A bytes object that save(allocate) fills, without the GIL.
nb::object to_bytes(const std::function<void(const std::function<char*(std::size_t)>& allocate)>& save);

// The bytes of an object, kept while this lives.
class Buffer {
 public:
  explicit Buffer(nb::handle object);
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::span<const char> bytes() const {
    return {static_cast<const char*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_;
};

}  // namespace shortlist::bindings
