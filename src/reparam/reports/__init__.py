"""Figures, tables and the page, made from run folders."""
