"""Proof that Tinylab computes what published code computes: golden files, recomputed and compared."""
