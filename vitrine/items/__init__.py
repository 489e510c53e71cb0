"""Items as they are delivered: which files are meant, the rows in them, and what can be said of a row alone."""
