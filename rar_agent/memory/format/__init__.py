"""A memory on disk: immutable files, generations that switch atomically, one writer."""
