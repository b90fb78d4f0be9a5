"""Images built from a Containerfile by buildah: the runtime base, and the images that Tasks run in."""
