// Memory for the search of one query or of a batch, kept from query to query so that none is allocated for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "search/scan.h"
#include "search/topk.h"

namespace shortlist {

// One of several queries that are searched together.
struct BatchQuery {
  CodedQuery coded;         // for the rows
  CodedQuery coded_leaves;  // for the centroids of leaves
  Survivors survivors;      // first of the leaves, then of the rows
  Excluded excluded;
  std::vector<Cell> leaves;  // to scan, the best first
  std::vector<float> query;  // as scored
  std::vector<std::uint8_t> row_query;
  std::vector<std::uint8_t> centroid_query;
};

// A cell that a query visits.
struct Visit {
  Cell cell;
  std::uint32_t query;
};

struct Batch {
  std::vector<BatchQuery> queries;
  std::vector<Visit> first_visits;
  std::vector<Visit> visits;
  std::vector<Visit> by_cell;
  std::vector<std::uint32_t> ends;                             // by cell
  std::vector<std::pair<std::uint32_t, std::uint32_t>> turns;  // best leaf, query
  std::vector<std::uint32_t> rows;
  std::vector<std::int32_t> sums;
};

struct Workspace {
  std::vector<float> query;                  // as scored
  std::vector<float> augmented;              // as coded
  std::vector<std::uint8_t> centroid_query;  // coded for the centroids
  std::vector<std::uint8_t> row_query;       // coded for the rows
  std::vector<float> table;
  std::vector<float> group_scores;
  std::vector<float> cell_scores;
  std::vector<Cell> cells;
  Excluded excluded;
  Survivors survivors;
  ScanSpace scan;
  std::vector<std::uint32_t> few;      // positions, where a filter allows few
  std::vector<std::uint32_t> in_part;  // positions of one segment, by its own count
  std::vector<float> scores;
  std::vector<Scored> best;
  Batch batch;
};

// Lends workspaces to the threads that search one index. A thread takes the lock for two pointer moves.
class WorkspacePool {
 public:
  class Loan {
   public:
    explicit Loan(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
    ~Loan() { pool_.give(std::move(workspace_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Workspace& operator*() const { return *workspace_; }

   private:
    WorkspacePool& pool_;
    std::unique_ptr<Workspace> workspace_;
  };

 private:
  std::unique_ptr<Workspace> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<Workspace> workspace = std::move(free_.back());
        free_.pop_back();
        return workspace;
      }
    }
    return std::make_unique<Workspace>();
  }
  void give(std::unique_ptr<Workspace> workspace) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

}  // namespace shortlist
