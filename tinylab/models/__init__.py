"""Networks, and reading them from folders. Models only compute: no loss, no gate, no file access inside."""
