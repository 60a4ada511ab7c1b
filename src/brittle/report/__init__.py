"""From a run folder to numbers, figures, a table for the terminal and one HTML page. Imports no torch."""
