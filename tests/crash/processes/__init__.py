"""Real processes, killed by real signals, on real disks and databases."""
