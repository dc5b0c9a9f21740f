"""Weights on disk: safetensors folders, published checkpoints, those that ship."""
