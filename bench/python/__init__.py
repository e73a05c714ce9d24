"""Benchmarks of the Python package beside other libraries."""
