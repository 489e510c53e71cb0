"""A report for people: Markdown, tables, plots and grids of pictures."""
