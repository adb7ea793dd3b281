"""Speed with accuracy (``python -m benchmarks.speed``) and a stress run (``benchmarks.stress``)."""
