"""The core's API: MLOps engineers start Pipelines, watch them, compare releases, and see what the fleet runs."""
