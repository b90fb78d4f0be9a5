"""Pull requests on the forges that git repositories live on."""
