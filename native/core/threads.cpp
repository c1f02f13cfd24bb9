#include "threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace shortlist {

std::size_t thread_count(std::size_t threads) {
  if (threads != 0) return threads;
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

void parallel_for(std::size_t pieces, std::size_t threads, const std::function<void(std::size_t, std::size_t)>& work,
                  const std::function<void(double)>& tick) {
  threads = std::min(thread_count(threads), pieces);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stopped{false};
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto run = [&](std::size_t worker) {
    try {
      while (!stopped.load(std::memory_order_relaxed)) {
        const std::size_t piece = next.fetch_add(1, std::memory_order_relaxed);
        if (piece >= pieces) return;
        work(piece, worker);
        if (worker == 0 && tick) tick(static_cast<double>(piece + 1) / static_cast<double>(pieces));
      }
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      // What stops the calling thread is the cause; the others may only have been told to stop.
      if (!failure || worker == 0) failure = std::current_exception();
      stopped = true;
    }
  };
  std::vector<std::thread> others;
  try {
    for (std::size_t worker = 1; worker < threads; ++worker) others.emplace_back(run, worker);
  } catch (...) {
    // The system refused another thread: the ones that run share the work.
  }
  run(0);
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
  if (tick) tick(1.0);
}

}  // namespace shortlist
