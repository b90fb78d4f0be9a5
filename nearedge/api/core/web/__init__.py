"""The page at `/`: HTML made on the server, for who works with the Pipelines; it needs no network and no JavaScript."""
