"""One file that carries releases to a site without a network."""
