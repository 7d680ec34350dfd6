"""Command lines of the three stages."""

import os

# OpenMP threads that wait for each other by spinning make a training step twenty times slower as
# soon as another process wants a core. It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
