"""The page for browsers at `/`: its files, and the figures that it shows."""
