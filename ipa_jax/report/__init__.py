"""report.html: one page about one or more runs."""
