"""Figures, tables and the page, of run folders."""
