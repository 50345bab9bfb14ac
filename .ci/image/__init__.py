"""What a Dockerfile says, done in a folder instead of an image. Standard library alone."""
