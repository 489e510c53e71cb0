"""The rows of a build in their order, on this machine's disk and in samples."""
