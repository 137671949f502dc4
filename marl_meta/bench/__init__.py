"""Benchmarks: what this machine does, beside peers where they are installed, and whether the project's marks hold."""
