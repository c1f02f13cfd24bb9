// Work in pieces over a few threads that live for one call: a process that forks between calls stays sound, and
// starting a thread costs some 20 microseconds, which only batches pay.
#pragma once

#include <cstddef>
#include <functional>

namespace shortlist {

// How many threads to use when the caller asks for `threads` (0 = as many as the machine offers).
std::size_t thread_count(std::size_t threads);

// Calls work(piece, worker) for every piece in [0, pieces), worker in [0, threads); the caller's thread is
// worker 0 and calls `tick` (where given) after each of its pieces. Whatever a piece or `tick` throws first stops
// the rest and is thrown again here.
void parallel_for(std::size_t pieces, std::size_t threads,
                  const std::function<void(std::size_t piece, std::size_t worker)>& work,
                  const std::function<void(double fraction)>& tick = nullptr);

}  // namespace shortlist
