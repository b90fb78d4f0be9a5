"""Runs on a cluster: PipelineRuns of Tekton through the Kubernetes API (ADR 0033)."""
