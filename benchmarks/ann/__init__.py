"""Nearest-neighbour engines side by side: data sets, engines, sweeps and reports."""
