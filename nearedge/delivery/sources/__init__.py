"""Where models come from: folders, git, the web, buckets and registries."""
