// Columns and conditions as Python gives them, and columns as it gets them.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

#include "index.h"
#include "search/condition.h"

namespace shortlist::bindings {

namespace nb = nanobind;

// What shortlist.index.attributes.as_columns gives, for `rows` rows.
std::vector<Column> read_columns(nb::handle columns, std::size_t rows);

// What shortlist.index.conditions.plan gives.
Condition read_condition(nb::handle plan);

// The names and types of the columns of a snapshot.
nb::dict types_of(const Snapshot& snapshot);

// What rows have in every column, by its name: lists of values, None where a value is missing.
nb::dict values_of(const Snapshot& snapshot, std::span<const std::uint32_t> rows);

}  // namespace shortlist::bindings
