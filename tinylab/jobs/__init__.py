"""One file a kind of job; its `run(config, context)` does the work and returns what the run found."""
