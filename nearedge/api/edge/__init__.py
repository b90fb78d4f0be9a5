"""The edge's API: what a site's models are, how they are doing, and what a person may do about it."""
