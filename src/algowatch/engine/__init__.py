"""The composition root: reads the configuration; builds, wires, starts, reloads and stops everything in one process."""
