"""Leaks: a checklist for data sets and runs, and planted leaks that it must find."""
