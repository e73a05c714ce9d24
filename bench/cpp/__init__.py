"""Native benchmarks, and the script that runs them."""
