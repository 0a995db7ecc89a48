"""Recorders for the training loops of others: ``transformers``, ``lightning`` and ``accelerate``, a module each."""
