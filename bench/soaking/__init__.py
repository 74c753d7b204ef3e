"""Hours of traffic with faults: see bench/soak."""
